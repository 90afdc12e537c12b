//! Whether the cluster's kinds are those that this program knows.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _};
use reeve_core::Digest;
use serde_json::Value;

use super::report::{Area, Check, Level};

/// Of fields as many are named.
const NAMED_FIELDS: usize = 5;
const ADVICE: &str = "bring it up to date with reeve crds apply, or use the kubectl-reeve of the operator's release";

/// Looks at each kind.
pub(super) async fn look(client: &Client) -> Vec<Check> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut checks = Vec::new();
    for known in reeve_api::crds() {
        let name = known.name_any();
        checks.push(match api.get_opt(&name).await {
            Ok(found) => {
                let (level, message) = compare(&known, found.as_ref());
                Check::new(level, Area::Operator, format!("kind {name}"), message)
            }
            Err(error) => Check::unread(Area::Operator, "kind", &name, &error),
        });
    }
    checks
}

fn compare(known: &CustomResourceDefinition, found: Option<&CustomResourceDefinition>) -> (Level, String) {
    let Some(found) = found else { return (Level::Fail, "it is not there: reeve crds apply makes it".to_owned()) };
    let version = found.spec.versions.iter().find(|version| version.name == reeve_api::VERSION);
    let Some(version) = version.filter(|version| version.served) else {
        return (Level::Fail, format!("it does not serve {}: {ADVICE}", reeve_api::VERSION));
    };
    let conditions = found.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if !conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
        return (Level::Fail, format!("it is not established: kubectl describe crd {} says why", found.name_any()));
    }
    let ours = known.spec.versions.iter().find(|version| version.name == reeve_api::VERSION);
    let (ours, theirs) = (ours.map_or(Value::Null, schema), schema(version));
    let missing: Vec<String> = fields(&ours).difference(&fields(&theirs)).cloned().collect();
    if !missing.is_empty() {
        let more = missing.len().saturating_sub(NAMED_FIELDS);
        let named = missing.into_iter().take(NAMED_FIELDS).collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        return (Level::Warn, format!("it has no field {named}{more}: {ADVICE}"));
    }
    match (Digest::of_canonical(&ours), Digest::of_canonical(&theirs)) {
        (Ok(ours), Ok(theirs)) if ours == theirs => (Level::Ok, format!("{}, as this program knows it", reeve_api::VERSION)),
        (Ok(ours), Ok(theirs)) => {
            let short = |digest: Digest| digest.hex().chars().take(12).collect::<String>();
            (Level::Warn, format!("its schema is {}, this program's {}: {ADVICE}", short(theirs), short(ours)))
        }
        (Err(error), _) | (_, Err(error)) => (Level::Warn, format!("its schema cannot be compared: {error}")),
    }
}

fn schema(version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion) -> Value {
    serde_json::to_value(version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref())).unwrap_or_default()
}

/// The paths of all fields of a schema: `spec.limits.tokens`, `spec.votes.*.verdict`, `spec.tasks[].name`.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(schema, String::new(), &mut found);
    found
}

fn walk(schema: &Value, path: String, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, inner) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            found.insert(path.clone());
            walk(inner, path, found);
        }
    }
    if let Some(items) = schema.get("items") {
        walk(items, format!("{path}[]"), found);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(values, format!("{path}.*"), found);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::json;

    fn approvals() -> CustomResourceDefinition {
        let mut crd = reeve_api::crds().into_iter().find(|crd| crd.name_any() == "approvals.reeve.dev").unwrap();
        crd.status = serde_json::from_value(json!({ "conditions": [{ "type": "Established", "status": "True" }] })).unwrap();
        crd
    }

    /// The kind of the cluster after an edit of its JSON.
    fn edited(edit: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
        let mut crd = serde_json::to_value(approvals()).unwrap();
        edit(&mut crd);
        serde_json::from_value(crd).unwrap()
    }

    #[test]
    fn a_kind_that_came_back_from_the_server_is_the_same() {
        assert_eq!(compare(&approvals(), Some(&edited(|_| {}))), (Level::Ok, "v1alpha1, as this program knows it".to_owned()));
    }

    #[test]
    fn a_field_that_the_cluster_does_not_have_is_named() {
        let older = edited(|crd| {
            let spec = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
            spec.as_object_mut().unwrap().remove("subject");
        });
        let (level, message) = compare(&approvals(), Some(&older));
        assert_eq!(level, Level::Warn);
        assert!(message.starts_with("it has no field spec.subject, spec.subject.action, ") && message.contains(" and 1 more"), "{message}");
    }

    #[test]
    fn a_rule_that_was_dropped_shows_in_the_digest() {
        let weaker = edited(|crd| {
            let spec = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
            spec.as_object_mut().unwrap().remove("x-kubernetes-validations").unwrap();
        });
        let (level, message) = compare(&approvals(), Some(&weaker));
        assert_eq!(level, Level::Warn);
        assert!(message.starts_with("its schema is "), "{message}");
    }

    #[test]
    fn a_kind_that_is_not_served_is_a_failure() {
        assert_eq!(compare(&approvals(), None).0, Level::Fail);
        assert_eq!(compare(&approvals(), Some(&edited(|crd| crd["spec"]["versions"][0]["served"] = false.into()))).0, Level::Fail);
        assert_eq!(compare(&approvals(), Some(&edited(|crd| crd["status"] = Value::Null))).0, Level::Fail);
    }

    #[test]
    fn fields_are_found_in_lists_and_maps() {
        let fields = fields(&approvals().spec.versions.first().map_or(Value::Null, schema));
        for path in ["spec.votes.*.verdict", "status.votes[].counted", "spec.subject.key"] {
            assert!(fields.contains(path), "{path}: {fields:?}");
        }
    }
}
