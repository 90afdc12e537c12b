//! Policies and their bindings, read from the objects that the server holds.

use serde_json::Value;

use super::expression::{Base, Expression, Facts};
use crate::api::meta;
use crate::api::request::Target;
use crate::api::selector::Selector;
use crate::api::store::Store;

/// All policies that a binding names, by name.
#[derive(Debug)]
pub(crate) struct Policies {
    pub(super) validating: Vec<Policy>,
    pub(super) mutating: Vec<Policy>,
    pub(super) base: Base,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) kind: &'static str,
    pub(super) name: String,
    rules: Vec<Value>,
    within: Selector,
    pub(super) conditions: Vec<Expression>,
    pub(super) variables: Vec<(String, Expression)>,
    pub(super) action: Action,
    bindings: Vec<(String, Selector)>,
}

#[derive(Debug)]
pub(super) enum Action {
    Validate(Vec<Validation>),
    Mutate(Vec<Expression>),
}

#[derive(Debug)]
pub(super) struct Validation {
    expression: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
    reason: String,
}

const GROUP: &str = "admissionregistration.k8s.io";

impl Policies {
    pub(super) fn compile(store: &Store) -> Policies {
        let all =
            |plural: &str| -> Vec<Value> { store.under(&format!("{GROUP}/{plural}/")).map(|(_, object)| (**object).clone()).collect() };
        let compiled = |kind: &'static str, policies: &str, bindings: &str| -> Vec<Policy> {
            let bindings = all(bindings);
            all(policies)
                .iter()
                .map(|policy| Policy::compile(kind, policy, &bindings))
                .filter(|policy| !policy.bindings.is_empty())
                .collect()
        };
        Policies {
            validating: compiled("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicybindings"),
            mutating: compiled("MutatingAdmissionPolicy", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
            base: Base::default(),
        }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn expression(of: &Value) -> Expression {
    Expression::compile(of["expression"].as_str().unwrap_or_default())
}

impl Policy {
    fn compile(kind: &'static str, policy: &Value, bindings: &[Value]) -> Policy {
        let spec = &policy["spec"];
        let name = meta::text(policy, "name").to_owned();
        let action = if kind == "MutatingAdmissionPolicy" {
            // Other patches than JSON patches give no list of operations, and so fail closed.
            let mutation = |mutation: &Value| expression(&mutation["jsonPatch"]);
            Action::Mutate(list(spec, "mutations").iter().map(mutation).collect())
        } else {
            Action::Validate(list(spec, "validations").iter().map(Validation::compile).collect())
        };
        // A binding that only warns or records refuses nothing.
        let denies = |binding: &Value| {
            kind == "MutatingAdmissionPolicy" || list(&binding["spec"], "validationActions").iter().any(|action| action == "Deny")
        };
        let bindings = bindings
            .iter()
            .filter(|binding| binding["spec"]["policyName"] == name.as_str() && denies(binding))
            .map(|binding| {
                let selector = Selector::of_labels(&binding["spec"]["matchResources"]["namespaceSelector"]);
                (meta::text(binding, "name").to_owned(), selector)
            })
            .collect();
        let variable = |variable: &Value| (variable["name"].as_str().unwrap_or_default().to_owned(), expression(variable));
        Policy {
            kind,
            name,
            rules: list(&spec["matchConstraints"], "resourceRules").to_vec(),
            within: Selector::of_labels(&spec["matchConstraints"]["namespaceSelector"]),
            conditions: list(spec, "matchConditions").iter().map(expression).collect(),
            variables: list(spec, "variables").iter().map(variable).collect(),
            action,
            bindings,
        }
    }

    /// Whether it is about such requests.
    pub(super) fn rules_match(&self, operation: &str, target: &Target<'_>) -> bool {
        let resource = match target.subresource {
            "" => target.kind.plural.clone(),
            subresource => format!("{}/{subresource}", target.kind.plural),
        };
        let any = |rule: &Value, name: &str, wanted: &str| list(rule, name).iter().any(|found| found == "*" || found == wanted);
        self.rules.iter().any(|rule| {
            any(rule, "operations", operation)
                && any(rule, "apiGroups", &target.kind.group)
                && any(rule, "apiVersions", &target.kind.version)
                && any(rule, "resources", &resource)
        })
    }

    /// The first binding that holds in this namespace.
    pub(super) fn binding_for(&self, namespace: Option<&Value>) -> Option<&str> {
        let inside = |selector: &Selector| namespace.is_none_or(|namespace| selector.matches(namespace));
        if !inside(&self.within) {
            return None;
        }
        self.bindings.iter().find(|(_, selector)| inside(selector)).map(|(name, _)| name.as_str())
    }
}

impl Validation {
    fn compile(validation: &Value) -> Validation {
        Validation {
            expression: expression(validation),
            message: validation["message"].as_str().map(str::to_owned),
            message_expression: validation["messageExpression"].as_str().map(Expression::compile),
            reason: validation["reason"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// # Errors
    /// Why it refuses, and the reason that the status gets.
    pub(super) fn judge(&self, base: &Base, facts: &Facts, variables: &[(String, Expression)]) -> Result<(), (String, String)> {
        let why = match self.expression.evaluate(base, facts, variables) {
            Ok(Value::Bool(true)) => return Ok(()),
            Ok(_) => {
                let said = self.message_expression.as_ref().map(|message| message.evaluate(base, facts, variables));
                let said = said.and_then(Result::ok).and_then(|text| text.as_str().map(str::to_owned));
                said.or_else(|| self.message.clone()).unwrap_or_else(|| format!("failed expression: {}", self.expression.text()))
            }
            Err(why) => format!("expression '{}' resulted in error: {why}", self.expression.text()),
        };
        Err((why, self.reason.clone()))
    }
}
