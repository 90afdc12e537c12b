//! The rights on which Reeve's promises stand, and who holds them.

use kube::api::ListParams;
use kube::{Api, Client};

use super::installed::Installed;
use super::rbac::{Holders, Names, Rbac, Reach, Right, Subject, Subresource, who};
use super::report::{Area, Check, Held, Level, UNREAD};
use crate::cluster::said;

/// Of strangers as many are named in the line of a check; all of them stand below it.
const NAMED_STRANGERS: usize = 3;

const CHANGE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const SPOIL: &[&str] = &["update", "patch", "delete", "deletecollection"];
const WRITE: &[&str] = &["create", "update", "patch"];
const READ: &[&str] = &["get", "list", "watch"];
/// A WebSocket opens with a GET.
const OPEN: &[&str] = &["get", "create"];
const REGISTRATION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// A question: who holds any of these rights.
struct Question {
    /// In the words of the report.
    check: &'static str,
    rights: Vec<Right>,
    /// A right without which the others are worth nothing.
    only_with: Option<Right>,
}

impl Question {
    fn new(check: &'static str, rights: Vec<Right>) -> Question {
        Question { check, rights, only_with: None }
    }
}

/// Looks at every question. Where roles cannot be read, that is what is found.
pub(super) async fn look(client: &Client, installed: &Installed) -> Vec<Check> {
    match read(client).await {
        Ok(rbac) => questions(installed).iter().map(|question| answer(&rbac, installed, question)).collect(),
        Err(error) => {
            let message = format!("{UNREAD}{}; ask somebody who may list roles and bindings everywhere", said(&error));
            vec![Check::new(Level::Warn, Area::Rights, "who may do what", message)]
        }
    }
}

async fn read(client: &Client) -> Result<Rbac, kube::Error> {
    let all = ListParams::default();
    Ok(Rbac {
        cluster_roles: Api::all(client.clone()).list(&all).await?.items,
        roles: Api::all(client.clone()).list(&all).await?.items,
        cluster_bindings: Api::all(client.clone()).list(&all).await?.items,
        bindings: Api::all(client.clone()).list(&all).await?.items,
    })
}

fn answer(rbac: &Rbac, installed: &Installed, question: &Question) -> Check {
    let holders = question.rights.iter().map(|right| who(rbac, right)).fold(Holders::default(), Holders::or);
    let holders = question.only_with.iter().map(|right| who(rbac, right)).fold(holders, |holders, also| holders.and(&also));
    let strangers: Vec<String> =
        holders.subjects().into_iter().filter_map(|subject| strange(subject, installed).map(|why| format!("{subject} is {why}"))).collect();
    let mut message = match (holders.subjects().len(), strangers.as_slice()) {
        (0, _) => "nobody".to_owned(),
        (1, []) => "1 subject".to_owned(),
        (n, []) => format!("{n} subjects"),
        (_, strangers) if strangers.len() > NAMED_STRANGERS => {
            format!("{}; and {} more", strangers[..NAMED_STRANGERS].join("; "), strangers.len() - NAMED_STRANGERS)
        }
        (_, strangers) => strangers.join("; "),
    };
    if !holders.kubernetes.is_empty() {
        message.push_str(&format!(" (and {} of Kubernetes' own)", holders.kubernetes.len()));
    }
    let level = if strangers.is_empty() { Level::Ok } else { Level::Warn };
    let held = holders.given.iter().map(|(scope, subjects)| Held {
        scope: scope.to_string(),
        subjects: subjects.iter().map(|(subject, names)| shown(subject, names)).collect(),
    });
    Check {
        holders: held.collect(),
        kubernetes: holders.kubernetes.iter().map(Subject::to_string).collect(),
        ..Check::new(level, Area::Rights, question.check, message)
    }
}

fn shown(subject: &Subject, names: &Names) -> String {
    match names {
        Names::All => subject.to_string(),
        Names::Only(names) => format!("{subject} (only {})", names.iter().cloned().collect::<Vec<_>>().join(" ")),
    }
}

/// Why a person should look at it that this one holds such a right.
fn strange(subject: &Subject, installed: &Installed) -> Option<&'static str> {
    match subject {
        Subject::Group(name) if name == "system:authenticated" => Some("everybody who can log in"),
        Subject::Group(name) if name == "system:unauthenticated" => Some("everybody who can reach the API server"),
        Subject::Group(name) if name == "system:serviceaccounts" || name.starts_with("system:serviceaccounts:") => Some("many programs"),
        Subject::User(name) if name == "system:anonymous" => Some("everybody who can reach the API server"),
        Subject::ServiceAccount { namespace, name } if *namespace == installed.namespace && *name == installed.service_account => None,
        Subject::ServiceAccount { .. } => Some("a program"),
        Subject::Group(_) | Subject::User(_) => None,
    }
}

fn right(verbs: &'static [&'static str], group: &'static str, resource: &'static str, reach: Reach) -> Right {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, "*")) => (resource, Subresource::Any),
        Some((resource, subresource)) => (resource, Subresource::Of(subresource)),
        None => (resource, Subresource::None),
    };
    Right { verbs, group, resource, subresource, reach, names: Vec::new() }
}

fn questions(installed: &Installed) -> Vec<Question> {
    let kinds = |verb, resource| vec![right(verb, reeve_api::GROUP, resource, Reach::Anywhere)];
    let mut questions = vec![
        Question::new("approve and deny", kinds(&["approve"], "approvals")),
        Question::new("raise budgets", kinds(&["raise"], "riskbudgets")),
        Question::new("release kill switches", kinds(&["release"], "killswitches")),
        Question::new("write the status of Approvals", kinds(&["update", "patch"], "approvals/status")),
        Question::new("act as somebody else (impersonate)", impersonation(installed)),
        Question::new("change what proves votes (admission policies)", admission(installed)),
        Question::new("change the kinds (CustomResourceDefinitions)", definitions()),
    ];
    questions.push(certificates());
    questions.extend(beside_the_operator(installed));
    questions.extend(passing_on());
    questions
}

/// ServiceAccounts matter where the operator's is: no other one is believed more than a person. From 1.35 on, acting as another can be
/// granted in part, under verbs of its own.
fn impersonation(installed: &Installed) -> Vec<Right> {
    const ALL: &[&str] = &["impersonate"];
    const USER: &[&str] = &["impersonate:user-info"];
    const ACCOUNT: &[&str] = &["impersonate:serviceaccount"];
    const AUTHENTICATION: &str = "authentication.k8s.io";
    let account = |verbs, group| Right {
        names: vec![installed.service_account.clone()],
        ..right(verbs, group, "serviceaccounts", Reach::Namespace(installed.namespace.clone()))
    };
    vec![
        right(ALL, "", "users", Reach::Cluster),
        right(ALL, "", "groups", Reach::Cluster),
        right(ALL, AUTHENTICATION, "userextras/*", Reach::Cluster),
        right(ALL, AUTHENTICATION, "uids", Reach::Cluster),
        right(USER, AUTHENTICATION, "users", Reach::Cluster),
        right(USER, AUTHENTICATION, "groups", Reach::Cluster),
        account(ALL, ""),
        account(ACCOUNT, AUTHENTICATION),
    ]
}

/// A client certificate is whoever it says. To approve one takes a right on the requests and one on who signs them; a kubelet's counts too, for
/// the kubelet of the operator's node may make its tokens.
fn certificates() -> Question {
    const CERTIFICATES: &str = "certificates.k8s.io";
    let names = ["kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/*"];
    let signers = right(&["approve"], CERTIFICATES, "signers", Reach::Cluster);
    Question {
        check: "mint client certificates (approve signing requests)",
        rights: vec![right(&["update", "patch"], CERTIFICATES, "certificatesigningrequests/approval", Reach::Cluster)],
        only_with: Some(Right { names: names.map(str::to_owned).to_vec(), ..signers }),
    }
}

/// To spoil a policy that is there; and to make one that changes what others write, which a new policy that only refuses cannot.
fn admission(installed: &Installed) -> Vec<Right> {
    let ours = |resource| Right { names: installed.policies(), ..right(SPOIL, REGISTRATION, resource, Reach::Cluster) };
    let any = |resource| right(CHANGE, REGISTRATION, resource, Reach::Cluster);
    vec![
        ours("validatingadmissionpolicies"),
        ours("validatingadmissionpolicybindings"),
        any("mutatingadmissionpolicies"),
        any("mutatingadmissionpolicybindings"),
        any("mutatingwebhookconfigurations"),
    ]
}

fn definitions() -> Vec<Right> {
    let names = reeve_api::crds().into_iter().filter_map(|crd| crd.metadata.name).collect();
    vec![Right { names, ..right(SPOIL, "apiextensions.k8s.io", "customresourcedefinitions", Reach::Cluster) }]
}

/// What makes the operator's name, its keys or its memory one's own. The kubelet of its node may too: no role says so, the Node authorizer
/// does.
fn beside_the_operator(installed: &Installed) -> [Question; 4] {
    let here = |verbs, group, resource| right(verbs, group, resource, Reach::Namespace(installed.namespace.clone()));
    let token = Right { names: vec![installed.service_account.clone()], ..here(&["create"], "", "serviceaccounts/token") };
    let enter = vec![
        here(OPEN, "", "pods/exec"),
        here(OPEN, "", "pods/attach"),
        here(&["update", "patch"], "", "pods/ephemeralcontainers"),
        right(OPEN, "", "nodes/proxy", Reach::Cluster),
    ];
    let run = [("", "pods"), ("", "replicationcontrollers"), ("batch", "jobs"), ("batch", "cronjobs")];
    let run = run.into_iter().chain(["deployments", "replicasets", "statefulsets", "daemonsets"].map(|resource| ("apps", resource)));
    [
        Question::new("make tokens of the operator's ServiceAccount", vec![token]),
        Question::new("enter the operator's Pod (exec, attach, debug)", enter),
        Question::new(
            "run Pods in the operator's namespace, under its ServiceAccount",
            run.map(|(group, resource)| here(WRITE, group, resource)).collect(),
        ),
        Question::new("read Secrets in the operator's namespace", vec![here(READ, "", "secrets")]),
    ]
}

fn passing_on() -> [Question; 2] {
    let roles = |verbs| vec![right(verbs, RBAC, "roles", Reach::Anywhere), right(verbs, RBAC, "clusterroles", Reach::Cluster)];
    let in_namespaces = |resource| right(WRITE, RBAC, resource, Reach::Anywhere);
    let everywhere = |resource| right(WRITE, RBAC, resource, Reach::Cluster);
    // A ClusterRole can be bound in one namespace by whoever may bind there.
    let mut beyond = roles(&["escalate", "bind"]);
    beyond.push(right(&["bind"], RBAC, "clusterroles", Reach::Anywhere));
    let own = vec![in_namespaces("roles"), in_namespaces("rolebindings"), everywhere("clusterroles"), everywhere("clusterrolebindings")];
    [
        Question::new("give rights that they do not hold (escalate, bind)", beyond),
        Question::new("pass on rights that they hold (roles and bindings)", own),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::json;

    /// A cluster in which these have everything, everywhere.
    fn all_powerful(subjects: &serde_json::Value) -> Rbac {
        let role = json!({ "metadata": { "name": "all" }, "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
        let to = json!({ "kind": "ClusterRole", "name": "all", "apiGroup": RBAC });
        let binding = json!({ "metadata": { "name": "b" }, "roleRef": to, "subjects": subjects });
        Rbac {
            cluster_roles: vec![serde_json::from_value(role).unwrap()],
            cluster_bindings: vec![serde_json::from_value(binding).unwrap()],
            ..Rbac::default()
        }
    }

    #[test]
    fn who_may_everything_is_named_at_every_question() {
        let installed = Installed::of_release("reeve-system", None);
        let rbac = all_powerful(&json!([{ "kind": "Group", "name": "system:masters" }]));
        let questions = questions(&installed);
        assert_eq!(questions.len(), 14);
        for question in &questions {
            let check = answer(&rbac, &installed, question);
            assert_eq!((check.level, check.message.as_str()), (Level::Ok, "1 subject"), "{}", question.check);
            assert_eq!(check.holders, [Held { scope: "cluster-wide".to_owned(), subjects: vec!["Group:system:masters".to_owned()] }]);
            let nobody = answer(&Rbac::default(), &installed, question);
            assert_eq!((nobody.level, nobody.message.as_str()), (Level::Ok, "nobody"));
        }
    }

    #[test]
    fn everybody_and_programs_are_warned_of_but_the_operator_is_not() {
        let installed = Installed::of_release("reeve-system", None);
        for (subject, why) in [
            (json!({ "kind": "Group", "name": "system:authenticated" }), Some("Group:system:authenticated is everybody who can log in")),
            (
                json!({ "kind": "User", "name": "system:anonymous" }),
                Some("User:system:anonymous is everybody who can reach the API server"),
            ),
            (json!({ "kind": "Group", "name": "system:serviceaccounts:ci" }), Some("Group:system:serviceaccounts:ci is many programs")),
            (json!({ "kind": "ServiceAccount", "name": "x", "namespace": "ci" }), Some("ServiceAccount:ci/x is a program")),
            (json!({ "kind": "ServiceAccount", "name": "reeve", "namespace": "reeve-system" }), None),
            (json!({ "kind": "User", "name": "bob" }), None),
        ] {
            let check = answer(&all_powerful(&json!([subject])), &installed, &questions(&installed)[0]);
            let level = if why.is_some() { Level::Warn } else { Level::Ok };
            assert_eq!((check.level, check.message.as_str()), (level, why.unwrap_or("1 subject")));
        }
    }

    #[test]
    fn certificates_are_minted_by_those_who_hold_both_rights() {
        let group = "certificates.k8s.io";
        let rule = |resource: &str, verb: &str, names: &[&str]| json!({ "apiGroups": [group], "resources": [resource], "verbs": [verb], "resourceNames": names });
        let requests = || rule("certificatesigningrequests/approval", "update", &[]);
        let mut rbac = Rbac::default();
        for (name, rules) in [
            ("alice", vec![requests(), rule("signers", "approve", &["kubernetes.io/kube-apiserver-client"])]),
            ("bob", vec![requests(), rule("signers", "approve", &["example.com/other"])]),
            ("mallory", vec![rule("signers", "approve", &[])]),
        ] {
            let to = json!({ "kind": "ClusterRole", "name": name, "apiGroup": RBAC });
            let subjects = json!([{ "kind": "User", "name": name }]);
            rbac.cluster_roles.push(serde_json::from_value(json!({ "metadata": { "name": name }, "rules": rules })).unwrap());
            rbac.cluster_bindings
                .push(serde_json::from_value(json!({ "metadata": { "name": name }, "roleRef": to, "subjects": subjects })).unwrap());
        }
        let check = answer(&rbac, &Installed::of_release("reeve-system", None), &certificates());
        assert_eq!(check.holders, [Held { scope: "cluster-wide".to_owned(), subjects: vec!["User:alice".to_owned()] }]);
    }

    #[test]
    fn many_strangers_are_counted_and_all_are_listed() {
        let installed = Installed::of_release("reeve-system", None);
        let programs: Vec<_> = (0..5).map(|n| json!({ "kind": "ServiceAccount", "name": format!("p{n}"), "namespace": "ci" })).collect();
        let check = answer(&all_powerful(&json!(programs)), &installed, &questions(&installed)[0]);
        assert!(check.message.ends_with("; and 2 more"), "{}", check.message);
        assert_eq!(check.holders[0].subjects.len(), 5);
    }
}
