#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::*;

const JUDGED: (&[&str], &[&str]) = (&["approvals"], &["CREATE", "UPDATE"]);

fn policy(edit: impl FnOnce(&mut Value)) -> ValidatingAdmissionPolicy {
    let rule = json!({ "apiGroups": ["reeve.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["approvals"] });
    let mut policy = json!({
        "metadata": { "name": "reeve-approvals", "generation": 1 },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule] },
            "validations": [{ "expression": "true" }]
        },
        "status": { "observedGeneration": 1, "typeChecking": {} }
    });
    edit(&mut policy);
    serde_json::from_value(policy).unwrap()
}

fn binding(edit: impl FnOnce(&mut Value)) -> ValidatingAdmissionPolicyBinding {
    let mut binding = json!({
        "metadata": { "name": "reeve-approvals" },
        "spec": { "policyName": "reeve-approvals", "validationActions": ["Deny"] }
    });
    edit(&mut binding);
    serde_json::from_value(binding).unwrap()
}

fn places(names: &[&str], all: bool) -> Judged {
    let place = |name: &&str| Place { name: (*name).to_owned(), labels: BTreeMap::from([(NAME_LABEL.to_owned(), (*name).to_owned())]) };
    Judged { places: names.iter().map(place).collect(), all }
}

/// As the chart writes it for some namespaces.
fn only(names: &[&str]) -> Value {
    json!({ "namespaceSelector": { "matchExpressions": [{ "key": NAME_LABEL, "operator": "In", "values": names }] } })
}

#[test]
fn a_policy_of_the_chart_is_in_force() {
    let found = validates("reeve-approvals", Some(&policy(|_| {})), Some(&binding(|_| {})), &places(&["team"], true), JUDGED);
    assert_eq!(found, (Level::Ok, "in force".to_owned()));
    let some = binding(|binding| binding["spec"]["matchResources"] = only(&["team", "reeve-system"]));
    let found = validates("reeve-approvals", Some(&policy(|_| {})), Some(&some), &places(&["team", "reeve-system"], false), JUDGED);
    assert_eq!(found, (Level::Ok, "in force".to_owned()));
}

#[test]
fn what_takes_a_policy_out_of_force_is_a_failure_that_says_what() {
    type Edit = fn(&mut Value);
    let nothing: Edit = |_| {};
    let cases: [(Edit, Edit, &str); 13] = [
        (|policy| policy["spec"]["failurePolicy"] = "Ignore".into(), nothing, "its failurePolicy is Ignore"),
        (|policy| policy["spec"]["validations"] = json!([]), nothing, "it has no validations"),
        (
            |policy| policy["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE"]),
            nothing,
            "it does not judge UPDATE of approvals",
        ),
        (
            |policy| policy["spec"]["matchConstraints"]["resourceRules"][0]["resourceNames"] = json!(["one"]),
            nothing,
            "it does not judge CREATE of approvals",
        ),
        (|policy| policy["spec"]["matchConstraints"] = Value::Null, nothing, "it does not judge CREATE of approvals"),
        (nothing, |binding| binding["spec"]["validationActions"] = json!(["Warn", "Audit"]), "does not Deny; its actions are Warn, Audit"),
        (nothing, |binding| binding["spec"]["policyName"] = "other".into(), "its binding is of the policy other"),
        (nothing, |binding| binding["spec"]["paramRef"] = json!({ "name": "p" }), "its binding has parameters"),
        (nothing, |binding| binding["spec"]["matchResources"] = only(&["reeve-system"]), "its namespaceSelector leaves out team"),
        (nothing, |binding| binding["spec"]["matchResources"] = only(&["team", "reeve-system"]), "not every one to come"),
        (
            |policy| policy["spec"]["matchConstraints"]["objectSelector"] = json!({ "matchLabels": { "a": "b" } }),
            nothing,
            "leaves out objects",
        ),
        (
            nothing,
            |binding| binding["spec"]["matchResources"] = json!({ "excludeResourceRules": [{ "resources": ["approvals"] }] }),
            "leaves out resources",
        ),
        (
            nothing,
            |binding| binding["spec"]["matchResources"] = json!({ "resourceRules": [{ "resources": ["goals"] }] }),
            "for some resources only",
        ),
    ];
    let judged = places(&["team", "reeve-system"], true);
    for (edit_policy, edit_binding, words) in cases {
        let (level, why) = validates("reeve-approvals", Some(&policy(edit_policy)), Some(&binding(edit_binding)), &judged, JUDGED);
        assert_eq!(level, Level::Fail, "{why}");
        assert!(why.contains(words), "{why}");
    }
    for (there, bound) in [(false, true), (true, false)] {
        let (policy, binding) = (policy(nothing), binding(nothing));
        let found = validates("reeve-approvals", there.then_some(&policy), bound.then_some(&binding), &judged, JUDGED);
        assert_eq!(found.0, Level::Fail);
        assert!(found.1.contains("is not there"), "{}", found.1);
    }
}

#[test]
fn expressions_that_may_fail_are_warned_of() {
    let warned = policy(|policy| {
        let warnings = json!([{ "fieldRef": "spec.validations[0].expression", "warning": "undefined field\n'votes'" }]);
        policy["status"]["typeChecking"] = json!({ "expressionWarnings": warnings });
    });
    let (level, why) = checked(&warned);
    assert_eq!(level, Level::Warn);
    assert!(why.ends_with("spec.validations[0].expression: undefined field 'votes'"), "{why}");
    assert_eq!(checked(&policy(|policy| policy["metadata"]["generation"] = 2.into())).0, Level::Warn);
}

#[test]
fn a_policy_that_writes_is_missed_with_a_warning() {
    let policy = json!({ "spec": { "failurePolicy": "Fail" } });
    let binding = json!({ "spec": { "policyName": "reeve-requester" } });
    assert_eq!(writes("reeve-requester", Some(&policy), Some(&binding)).0, Level::Ok);
    for (policy, binding) in [
        (None, Some(&binding)),
        (Some(&policy), None),
        (Some(&policy), Some(&json!({ "spec": { "policyName": "other" } }))),
        (Some(&json!({ "spec": { "failurePolicy": "Ignore" } })), Some(&binding)),
    ] {
        assert_eq!(writes("reeve-requester", policy, binding).0, Level::Warn);
    }
}
