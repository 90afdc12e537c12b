//! Whether admission is in force: the policies of the release as they stand, and a forged vote that must be refused.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, Selector, SelectorExt as _};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use super::installed::{Installed, MUTATING, VALIDATING};
use super::report::{Area, Check, Level, UNREAD};
use crate::cluster::said;
use crate::timeline::text::one_line;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const REGISTRATION: (&str, &str) = ("admissionregistration.k8s.io", "v1");
const WRITES: &str = "MutatingAdmissionPolicy";

type Found = (Level, String);

/// A namespace as selectors see it.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    labels: BTreeMap<String, String>,
}

/// The namespaces whose requests must be judged.
#[derive(Clone, Debug)]
struct Judged {
    places: Vec<Place>,
    /// The operator works in all: one that is made later must be judged too.
    all: bool,
}

/// Looks at each policy of the release.
pub(super) async fn look(client: &Client, installed: &Installed) -> Vec<Check> {
    let judged = judged(client, installed).await;
    let mut checks = Vec::new();
    for (policy, resources, operations) in VALIDATING {
        let name = installed.policy(policy);
        checks.push(match read(client, &name).await {
            Ok((policy, binding)) => {
                let (level, message) = validates(&name, policy.as_ref(), binding.as_ref(), &judged, (resources, operations));
                Check::new(level, Area::Admission, format!("policy {name}"), message)
            }
            Err(error) => Check::unread(Area::Admission, "policy", &name, &error),
        });
    }
    checks.extend(look_at_writers(client, installed).await);
    checks
}

async fn read(
    client: &Client,
    name: &str,
) -> Result<(Option<ValidatingAdmissionPolicy>, Option<ValidatingAdmissionPolicyBinding>), kube::Error> {
    Ok((Api::all(client.clone()).get_opt(name).await?, Api::all(client.clone()).get_opt(name).await?))
}

/// Where it works. Where namespaces cannot be listed, those that are known by name, with the label that each has.
async fn judged(client: &Client, installed: &Installed) -> Judged {
    let all = installed.watches.is_empty();
    let api: Api<Namespace> = Api::all(client.clone());
    let places = match api.list(&ListParams::default()).await {
        Ok(found) => {
            let place = |found: &Namespace| Place { name: found.name_any(), labels: found.labels().clone() };
            found.items.iter().map(place).filter(|place| installed.judges(&place.name)).collect()
        }
        Err(_) => {
            let names = installed.watches.iter().chain([&installed.namespace]);
            names.map(|name| Place { name: name.clone(), labels: BTreeMap::from([(NAME_LABEL.to_owned(), name.clone())]) }).collect()
        }
    };
    Judged { places, all }
}

/// Whether a policy and its binding refuse what they are there to refuse, wherever the operator works.
fn validates(
    name: &str,
    policy: Option<&ValidatingAdmissionPolicy>,
    binding: Option<&ValidatingAdmissionPolicyBinding>,
    judged: &Judged,
    (resources, operations): (&[&str], &[&str]),
) -> Found {
    let fail = |why: String| (Level::Fail, why);
    let Some(policy) = policy else {
        return fail(format!("ValidatingAdmissionPolicy {name} is not there: install the chart with admission.enabled"));
    };
    let Some(binding) = binding else { return fail(format!("ValidatingAdmissionPolicyBinding {name} is not there")) };
    let (spec, bound) = (policy.spec.clone().unwrap_or_default(), binding.spec.clone().unwrap_or_default());
    if spec.failure_policy.as_deref() == Some("Ignore") {
        return fail("its failurePolicy is Ignore, expected Fail: what it cannot judge is let in".to_owned());
    }
    if spec.validations.unwrap_or_default().is_empty() {
        return fail("it has no validations".to_owned());
    }
    if let Some(missed) = not_judged(spec.match_constraints.as_ref(), resources, operations) {
        return fail(format!("it does not judge {missed}"));
    }
    if bound.policy_name.as_deref() != Some(name) {
        return fail(format!("its binding is of the policy {}", bound.policy_name.unwrap_or_default()));
    }
    let actions = bound.validation_actions.unwrap_or_default();
    if !actions.iter().any(|action| action == "Deny") {
        return fail(format!("its binding does not Deny; its actions are {}", actions.join(", ")));
    }
    if bound.param_ref.is_some() {
        return fail("its binding has parameters, which the chart's has not".to_owned());
    }
    let narrowed = [spec.match_constraints.as_ref(), bound.match_resources.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|matched| left_out(matched, judged));
    if let Some(what) = narrowed {
        return fail(what);
    }
    // The binding narrows by namespace and by nothing else.
    if bound.match_resources.as_ref().and_then(|matched| matched.resource_rules.as_ref()).is_some_and(|rules| !rules.is_empty()) {
        return fail("its binding is for some resources only".to_owned());
    }
    checked(policy)
}

/// What no rule of a policy names of all that it must judge: `UPDATE of approvals`.
fn not_judged(matched: Option<&MatchResources>, resources: &[&str], operations: &[&str]) -> Option<String> {
    let rules = matched.and_then(|matched| matched.resource_rules.as_deref()).unwrap_or_default();
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|item| item == "*" || item == wanted);
    let judges = |rule: &NamedRuleWithOperations, resource: &str, operation: &str| {
        let every = rule.resource_names.as_ref().is_none_or(Vec::is_empty) && rule.scope.as_deref() != Some("Cluster");
        let kinds = has(&rule.api_groups, reeve_api::GROUP) && has(&rule.api_versions, reeve_api::VERSION);
        every && kinds && has(&rule.resources, resource) && has(&rule.operations, operation)
    };
    let wanted = resources.iter().flat_map(|resource| operations.iter().map(move |operation| (resource, operation)));
    wanted
        .filter(|(resource, operation)| !rules.iter().any(|rule| judges(rule, resource, operation)))
        .map(|(resource, operation)| format!("{operation} of {resource}"))
        .next()
}

/// What a match leaves out that must be judged.
fn left_out(matched: &MatchResources, judged: &Judged) -> Option<String> {
    if matched.exclude_resource_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
        return Some("it leaves out resources (excludeResourceRules)".to_owned());
    }
    if !selects_all(matched.object_selector.as_ref()) {
        return Some("it leaves out objects by their labels (objectSelector)".to_owned());
    }
    let selector = matched.namespace_selector.as_ref()?;
    let Ok(selector) = Selector::try_from(selector.clone()) else { return Some("its namespaceSelector cannot be read".to_owned()) };
    if selector.selects_all() {
        return None;
    }
    let missed: Vec<&str> =
        judged.places.iter().filter(|place| !selector.matches(&place.labels)).map(|place| place.name.as_str()).collect();
    match (missed.as_slice(), judged.all) {
        ([], false) => None,
        ([], true) => Some("its namespaceSelector covers today's namespaces, but not every one to come".to_owned()),
        (missed, _) => Some(format!("its namespaceSelector leaves out {}", missed.join(", "))),
    }
}

fn selects_all(selector: Option<&LabelSelector>) -> bool {
    selector.is_none_or(|selector| Selector::try_from(selector.clone()).is_ok_and(|selector| selector.selects_all()))
}

/// What Kubernetes says of its expressions.
fn checked(policy: &ValidatingAdmissionPolicy) -> Found {
    let status = policy.status.clone().unwrap_or_default();
    if status.observed_generation < policy.metadata.generation {
        return (Level::Warn, "Kubernetes has not checked its expressions yet".to_owned());
    }
    let warnings = status.type_checking.and_then(|checking| checking.expression_warnings).unwrap_or_default();
    match warnings.first() {
        None => (Level::Ok, "in force".to_owned()),
        Some(first) => {
            let what = format!("{} expressions may fail, such as {}: {}", warnings.len(), first.field_ref, first.warning);
            (Level::Warn, one_line(&what))
        }
    }
}

/// The policies that write who asked and whose a decision is, on servers that have them.
async fn look_at_writers(client: &Client, installed: &Installed) -> Vec<Check> {
    let (group, version) = REGISTRATION;
    let served = match client.list_api_group_resources(&format!("{group}/{version}")).await {
        Ok(list) => list.resources.iter().any(|resource| resource.kind == WRITES),
        Err(error) => {
            return vec![Check::new(Level::Warn, Area::Admission, "policies that write", format!("{UNREAD}{}", said(&error)))];
        }
    };
    if !served {
        let message = "this server has none: people write spec.requestedBy themselves, and vote in spec.votes (kubectl reeve does)";
        return vec![Check::new(Level::Ok, Area::Admission, "policies that write", message)];
    }
    let mut checks = Vec::new();
    for policy in MUTATING {
        let name = installed.policy(policy);
        checks.push(match (object(client, WRITES, &name).await, object(client, &format!("{WRITES}Binding"), &name).await) {
            (Ok(policy), Ok(binding)) => {
                let (level, message) = writes(&name, policy.as_ref(), binding.as_ref());
                Check::new(level, Area::Admission, format!("writing policy {name}"), message)
            }
            (Err(error), _) | (_, Err(error)) => Check::unread(Area::Admission, "writing policy", &name, &error),
        });
    }
    checks
}

async fn object(client: &Client, kind: &str, name: &str) -> Result<Option<Value>, kube::Error> {
    let (group, version) = REGISTRATION;
    let plural = if kind == WRITES { "mutatingadmissionpolicies" } else { "mutatingadmissionpolicybindings" };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    Ok(api.get_opt(name).await?.map(|object| object.data))
}

/// Without them nothing is let in that should not be, but people have to write more themselves: a warning.
fn writes(name: &str, policy: Option<&Value>, binding: Option<&Value>) -> Found {
    let warn = |why: String| (Level::Warn, why);
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    match (policy, binding) {
        (None, _) => {
            warn(format!("MutatingAdmissionPolicy {name} is not there: was the chart installed on an older Kubernetes? Upgrade it"))
        }
        (_, None) => warn(format!("MutatingAdmissionPolicyBinding {name} is not there")),
        (Some(_), Some(binding)) if text(binding, "/spec/policyName") != name => {
            warn(format!("its binding is of the policy {}", one_line(&text(binding, "/spec/policyName"))))
        }
        (Some(policy), Some(_)) if text(policy, "/spec/failurePolicy") == "Ignore" => {
            warn("its failurePolicy is Ignore, expected Fail".to_owned())
        }
        (Some(_), Some(_)) => (Level::Ok, "in force".to_owned()),
    }
}

#[cfg(test)]
mod tests;
