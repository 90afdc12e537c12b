//! Admission policies: the ValidatingAdmissionPolicies and MutatingAdmissionPolicies that the server holds, where a binding names them.
//!
//! Source: kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy and .../mutating-admission-policy.

mod expression;
mod literals;
mod policy;
mod rights;

use std::sync::Arc;

use serde_json::{Value, json};

use super::meta;
use super::patch;
use super::request::Target;
use super::server::{ApiServer, Asked};
use super::status::{About, Failure};
use expression::Facts;
use policy::{Action, Policies, Policy};
pub use rights::Right;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }
}

/// The compiled policies of one state of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    compiled: Option<(u64, Arc<Policies>)>,
    rights: Vec<Right>,
}

/// A request that policies judge.
struct Review<'a> {
    operation: Operation,
    target: &'a Target<'a>,
    name: &'a str,
    facts: Facts,
}

impl ApiServer {
    /// Gives a right, as a RoleBinding would. Rights are what admission policies ask the authorizer for; no request is refused for want of
    /// one otherwise.
    pub fn allow(&mut self, right: Right) {
        self.admission.rights.push(right);
    }

    fn policies(&mut self) -> Arc<Policies> {
        let version = self.store.policies_version();
        match &self.admission.compiled {
            Some((compiled, policies)) if *compiled == version => Arc::clone(policies),
            Some(_) | None => {
                let policies = Arc::new(Policies::compile(&self.store));
                self.admission.compiled = Some((version, Arc::clone(&policies)));
                policies
            }
        }
    }

    /// Lets the mutating policies change the object.
    ///
    /// # Errors
    /// A policy that cannot be evaluated.
    pub(crate) fn mutate(
        &mut self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        object: &mut Value,
        live: Option<&Value>,
    ) -> Result<(), Failure> {
        let policies = self.policies();
        let operation = if live.is_some() { Operation::Update } else { Operation::Create };
        for policy in policies.mutating.iter().filter(|policy| policy.rules_match(operation.name(), target)) {
            let name = meta::text(object, "name").to_owned();
            let review = self.review(asked, target, operation, &name, Some(object), live);
            if !self.applies(policy, &review)? {
                continue;
            }
            let Action::Mutate(mutations) = &policy.action else { continue };
            for mutation in mutations {
                let operations = mutation.evaluate(&policies.base, &review.facts, &policy.variables);
                let operations =
                    operations.and_then(|value| value.as_array().cloned().ok_or_else(|| "it gave no list of patches".to_owned()));
                let failed = |why: &str| denied(&review, policy, &format!("expression resulted in error: {why}"), "");
                let operations = operations.map_err(|why| failed(&why))?;
                patch::json(object, &operations).map_err(|patch::DoesNotFit| failed("the patch does not fit the object"))?;
            }
            target.kind.complete(object);
        }
        Ok(())
    }

    /// Asks the validating policies.
    ///
    /// # Errors
    /// The first refusal; also a policy that cannot be evaluated, as all of them fail closed.
    pub(crate) fn admit(
        &mut self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        operation: Operation,
        object: Option<&Value>,
        live: Option<&Value>,
    ) -> Result<(), Failure> {
        let policies = self.policies();
        for policy in policies.validating.iter().filter(|policy| policy.rules_match(operation.name(), target)) {
            let name = object.or(live).map(|object| meta::text(object, "name").to_owned()).unwrap_or_default();
            let review = self.review(asked, target, operation, &name, object, live);
            if !self.applies(policy, &review)? {
                continue;
            }
            let Action::Validate(validations) = &policy.action else { continue };
            for validation in validations {
                if let Err((why, reason)) = validation.judge(&policies.base, &review.facts, &policy.variables) {
                    return Err(denied(&review, policy, &why, &reason));
                }
            }
        }
        Ok(())
    }

    fn review<'a>(
        &self,
        asked: &Asked<'_>,
        target: &'a Target<'a>,
        operation: Operation,
        name: &'a str,
        object: Option<&Value>,
        live: Option<&Value>,
    ) -> Review<'a> {
        let kind = target.kind;
        let (kinds, resource) = (
            json!({ "group": kind.group, "version": kind.version, "kind": kind.kind }),
            json!({ "group": kind.group, "version": kind.version, "resource": kind.plural }),
        );
        let caller = asked.caller;
        let request = json!({
            "kind": kinds, "resource": resource, "subResource": target.subresource, "requestKind": kinds, "requestResource": resource,
            "requestSubResource": target.subresource, "name": name, "namespace": target.namespace, "operation": operation.name(),
            "userInfo": { "username": caller.username, "groups": caller.groups, "uid": "", "extra": {} },
            "dryRun": asked.query.dry_run(), "options": {},
        });
        let namespace = self.store.get(&format!("/namespaces/{}", target.namespace)).map(|found| (**found).clone());
        let authorizer = rights::authorizer(&self.admission.rights, caller);
        let facts = Facts { object: object.cloned(), old: live.cloned(), request, namespace, authorizer };
        Review { operation, target, name, facts }
    }

    /// Whether a binding names the policy for this namespace and the policy's own conditions hold.
    fn applies(&mut self, policy: &Policy, review: &Review<'_>) -> Result<bool, Failure> {
        assert!(policy.rules_match(review.operation.name(), review.target));
        if policy.binding_for(review.facts.namespace.as_ref()).is_none() {
            return Ok(false);
        }
        let policies = self.policies();
        for condition in &policy.conditions {
            match condition.evaluate(&policies.base, &review.facts, &[]) {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(other) => return Err(denied(review, policy, &format!("a match condition gave {other}"), "")),
                Err(why) => return Err(denied(review, policy, &format!("a match condition resulted in error: {why}"), "")),
            }
        }
        Ok(true)
    }
}

fn denied(review: &Review<'_>, policy: &Policy, why: &str, reason: &str) -> Failure {
    let binding = policy.binding_for(review.facts.namespace.as_ref()).unwrap_or_default();
    let message = format!("{} '{}' with binding '{binding}' denied request: {why}", policy.kind, policy.name);
    let mut failure = Failure::forbidden(About { name: review.name, ..review.target.about() }, &message);
    if let Some(details) = &mut failure.details {
        details["causes"] = json!([{ "message": message }]);
    }
    let (code, reason) = match reason {
        "Forbidden" => (403, "Forbidden"),
        "Unauthorized" => (401, "Unauthorized"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    Failure { code, reason, ..failure }
}
