#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::*;

const APPROVE: Right = Right {
    verbs: &["approve"],
    group: "reeve.dev",
    resource: "approvals",
    subresource: Subresource::None,
    reach: Reach::Anywhere,
    names: Vec::new(),
};

/// One rule, in order: groups, resources, verbs, names.
fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names })
}

/// A cluster in which bob has this rule everywhere.
fn bob_may(rule: &Value) -> Rbac {
    Rbac {
        cluster_roles: vec![serde_json::from_value(json!({ "metadata": { "name": "r" }, "rules": [rule] })).unwrap()],
        cluster_bindings: vec![cluster_binding("b", "r", &[json!({ "kind": "User", "name": "bob" })])],
        ..Rbac::default()
    }
}

fn cluster_binding(name: &str, role: &str, subjects: &[Value]) -> ClusterRoleBinding {
    let labels = json!({ "kubernetes.io/bootstrapping": "rbac-defaults" });
    let metadata = if name.starts_with("system:") { json!({ "name": name, "labels": labels }) } else { json!({ "name": name }) };
    let role = json!({ "kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io" });
    serde_json::from_value(json!({ "metadata": metadata, "roleRef": role, "subjects": subjects })).unwrap()
}

fn binding(namespace: &str, kind: &str, role: &str, subject: &Value) -> RoleBinding {
    let role = json!({ "kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io" });
    serde_json::from_value(json!({ "metadata": { "name": "b", "namespace": namespace }, "roleRef": role, "subjects": [subject] })).unwrap()
}

/// `scope: who (names)`, one an entry.
fn shown(holders: &Holders) -> Vec<String> {
    let one = |(scope, (subject, names)): (&Scope, (&Subject, &Names))| match names {
        Names::All => format!("{scope}: {subject}"),
        Names::Only(names) => format!("{scope}: {subject} ({})", names.iter().cloned().collect::<Vec<_>>().join(" ")),
    };
    holders.given.iter().flat_map(|(scope, subjects)| subjects.iter().map(move |held| one((scope, held)))).collect()
}

#[test]
fn a_rule_gives_what_the_authorizer_of_kubernetes_lets_through() {
    let approve = APPROVE;
    let status = Right { verbs: &["update", "patch"], subresource: Subresource::Of("status"), ..APPROVE };
    let token = Right {
        verbs: &["create"],
        group: "",
        resource: "serviceaccounts",
        subresource: Subresource::Of("token"),
        reach: Reach::Anywhere,
        names: vec!["reeve".to_owned()],
    };
    let pods = Right { resource: "pods", subresource: Subresource::None, names: Vec::new(), ..token.clone() };
    let extras = Right {
        verbs: &["impersonate"],
        group: "authentication.k8s.io",
        resource: "userextras",
        subresource: Subresource::Any,
        reach: Reach::Cluster,
        names: Vec::new(),
    };
    let all = "cluster-wide: User:bob";
    for (what, right, rule, expected) in [
        ("the verb by name", &approve, rule(&["reeve.dev"], &["approvals"], &["approve"], &[]), Some(all)),
        ("everything", &approve, rule(&["*"], &["*"], &["*"], &[]), Some(all)),
        ("another verb", &approve, rule(&["reeve.dev"], &["approvals"], &["get", "patch"], &[]), None),
        ("another group", &approve, rule(&["apps"], &["*"], &["*"], &[]), None),
        ("a subresource only", &approve, rule(&["reeve.dev"], &["approvals/status"], &["*"], &[]), None),
        ("one of a name", &approve, rule(&["reeve.dev"], &["approvals"], &["approve"], &["a", "b"]), Some("cluster-wide: User:bob (a b)")),
        ("the resource, not its status", &status, rule(&["reeve.dev"], &["approvals"], &["*"], &[]), None),
        ("the status by name", &status, rule(&["reeve.dev"], &["approvals/status"], &["patch"], &[]), Some(all)),
        ("every status", &status, rule(&["reeve.dev"], &["*/status"], &["update"], &[]), Some(all)),
        ("a form that nothing matches", &status, rule(&["reeve.dev"], &["approvals/*"], &["*"], &[]), None),
        ("tokens of this account", &token, rule(&[""], &["serviceaccounts/token"], &["create"], &["reeve"]), Some(all)),
        ("tokens of another account", &token, rule(&[""], &["serviceaccounts/token"], &["create"], &["other"]), None),
        ("creating what has a name", &pods, rule(&[""], &["pods"], &["create"], &["one"]), None),
        ("creating", &pods, rule(&[""], &["pods"], &["create"], &[]), Some(all)),
        ("any key of extras", &extras, rule(&["authentication.k8s.io"], &["userextras/scopes"], &["impersonate"], &[]), Some(all)),
        ("extras without a key", &extras, rule(&["authentication.k8s.io"], &["userextras"], &["impersonate"], &[]), None),
        ("paths, which are no resources", &approve, json!({ "nonResourceURLs": ["*"], "verbs": ["*"] }), None),
    ] {
        let found = shown(&who(&bob_may(&rule), right));
        assert_eq!(found.first().map(String::as_str), expected, "{what}");
    }
}

#[test]
fn a_binding_gives_in_its_namespace_only_and_nothing_on_what_has_none() {
    let everything = json!({ "metadata": { "name": "all" }, "rules": [rule(&["*"], &["*"], &["*"], &[])] });
    let role = json!({ "metadata": { "name": "voters", "namespace": "team" }, "rules": [rule(&["reeve.dev"], &["approvals"], &["approve"], &[])] });
    let group = json!({ "kind": "Group", "name": "keyholders" });
    let rbac = Rbac {
        cluster_roles: vec![serde_json::from_value(everything).unwrap()],
        roles: vec![serde_json::from_value(role).unwrap()],
        bindings: vec![
            binding("team", "Role", "voters", &group),
            binding("other", "Role", "voters", &group),
            binding("ops", "ClusterRole", "all", &json!({ "kind": "ServiceAccount", "name": "ci" })),
            binding("ops", "ClusterRole", "gone", &json!({ "kind": "User", "name": "bob" })),
        ],
        ..Rbac::default()
    };
    assert_eq!(shown(&who(&rbac, &APPROVE)), ["ops: ServiceAccount:ops/ci", "team: Group:keyholders"]);
    assert_eq!(shown(&who(&rbac, &Right { reach: Reach::Namespace("team".to_owned()), ..APPROVE })), ["team: Group:keyholders"]);
    assert!(shown(&who(&rbac, &Right { reach: Reach::Cluster, ..APPROVE })).is_empty());
}

#[test]
fn what_several_bindings_give_adds_up() {
    let named = |names: &[&str]| rule(&["reeve.dev"], &["approvals"], &["approve"], names);
    let role = |name: &str, rule: Value| serde_json::from_value(json!({ "metadata": { "name": name }, "rules": [rule] })).unwrap();
    let bob = [json!({ "kind": "User", "name": "bob" })];
    let mut rbac = Rbac {
        cluster_roles: vec![role("one", named(&["a"])), role("two", named(&["b"])), role("all", named(&[]))],
        cluster_bindings: vec![cluster_binding("1", "one", &bob), cluster_binding("2", "two", &bob)],
        ..Rbac::default()
    };
    assert_eq!(shown(&who(&rbac, &APPROVE)), ["cluster-wide: User:bob (a b)"]);
    rbac.cluster_bindings.push(cluster_binding("3", "all", &bob));
    assert_eq!(shown(&who(&rbac, &APPROVE)), ["cluster-wide: User:bob"]);
}

#[test]
fn the_controllers_of_kubernetes_are_told_apart_only_where_its_own_bindings_name_them() {
    let collector = json!({ "kind": "ServiceAccount", "name": "generic-garbage-collector", "namespace": "kube-system" });
    let masters = json!({ "kind": "Group", "name": "system:masters" });
    let mut rbac = bob_may(&rule(&["*"], &["*"], &["*"], &[]));
    rbac.cluster_bindings = vec![cluster_binding("system:controller:x", "r", &[collector.clone(), masters])];
    let holders = who(&rbac, &APPROVE);
    assert_eq!(shown(&holders), ["cluster-wide: Group:system:masters"]);
    assert_eq!(holders.kubernetes.len(), 1);
    rbac.cluster_bindings = vec![cluster_binding("handmade", "r", &[collector])];
    assert_eq!(shown(&who(&rbac, &APPROVE)), ["cluster-wide: ServiceAccount:kube-system/generic-garbage-collector"]);
}

#[test]
fn a_service_account_is_one_however_a_binding_names_it() {
    let user = json!({ "kind": "User", "name": "system:serviceaccount:ci:deployer" });
    let account = json!({ "kind": "ServiceAccount", "name": "deployer", "namespace": "ci" });
    let nowhere = json!({ "kind": "ServiceAccount", "name": "lost" });
    let mut rbac = bob_may(&rule(&["*"], &["*"], &["*"], &[]));
    rbac.cluster_bindings = vec![cluster_binding("b", "r", &[user, account, nowhere])];
    assert_eq!(shown(&who(&rbac, &APPROVE)), ["cluster-wide: ServiceAccount:ci/deployer"]);
}
