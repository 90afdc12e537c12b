//! The release that is looked at: what its Deployment says of it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::report::{Area, Check, Level, UNREAD};
use crate::cluster::said;
use crate::exit::Failure;
use crate::read_api::Reeve;
use crate::timeline::text::one_line;

/// What the admission policies of a release are called after its own name, and what each must judge: resources, and what is done to them.
pub(super) const VALIDATING: [(&str, &[&str], &[&str]); 7] = [
    ("approvals", &["approvals"], &["CREATE", "UPDATE"]),
    ("budgets", &["riskbudgets"], &["CREATE", "UPDATE", "DELETE"]),
    ("killswitches", &["killswitches"], &["CREATE", "UPDATE", "DELETE"]),
    ("requester", &["goals", "agentruns"], &["CREATE"]),
    ("status", STATUSES, &["UPDATE"]),
    ("goal-runs", &["agentruns"], &["CREATE", "UPDATE"]),
    ("secret-refs", &["modelproviders"], &["CREATE", "UPDATE"]),
];
const STATUSES: &[&str] = &[
    "agentprofiles/status",
    "agentruns/status",
    "approvals/status",
    "goals/status",
    "killswitches/status",
    "modelproviders/status",
    "policysets/status",
    "riskbudgets/status",
];
/// The same of those that write: Kubernetes 1.36 and newer.
pub(super) const MUTATING: [&str; 2] = ["requester", "approval-decision"];

/// A release of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// Namespace of the operator.
    pub(super) namespace: String,
    /// The chart's full name: of its Deployment, and before the names of its policies.
    pub(super) name: String,
    /// The operator's ServiceAccount.
    pub(super) service_account: String,
    /// Namespaces that it works in; none means all.
    pub(super) watches: Vec<String>,
    /// Its Deployment could not be read: where it works is not known.
    pub(super) is_guessed: bool,
}

impl Installed {
    /// As the chart names things, where its Deployment cannot be read.
    pub(super) fn of_release(namespace: &str, release: Option<&str>) -> Installed {
        let name = Reeve::full_name(release);
        Installed { namespace: namespace.to_owned(), service_account: name.clone(), name, watches: Vec::new(), is_guessed: true }
    }

    fn of(deployment: &Deployment, namespace: &str) -> Installed {
        let name = deployment.name_any();
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let service_account = pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
        let watches = pod.map_or_else(Vec::new, |pod| pod.containers.iter().flat_map(watches).collect());
        Installed { namespace: namespace.to_owned(), name, service_account, watches, is_guessed: false }
    }

    /// Whether its admission policies judge what is asked in this namespace: where it works, and in its own.
    pub(super) fn judges(&self, namespace: &str) -> bool {
        self.watches.is_empty() || namespace == self.namespace || self.watches.iter().any(|watched| watched == namespace)
    }

    /// The names of all its admission policies, which are those of their bindings.
    pub(super) fn policies(&self) -> Vec<String> {
        VALIDATING.iter().map(|(policy, _, _)| policy).chain(&MUTATING).map(|policy| self.policy(policy)).collect()
    }

    /// The name of one.
    pub(super) fn policy(&self, policy: &str) -> String {
        format!("{}-{policy}", self.name)
    }

    /// The release that is there, and whether its operator is ready.
    pub(super) async fn find(client: &Client, reeve: &Reeve) -> Result<(Installed, Check), Failure> {
        let namespace = reeve.namespace();
        let check = |level, message: String| Check::new(level, Area::Operator, "Deployment", message);
        let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let by_name = || Installed::of_release(namespace, reeve.release());
        let found = match api.list(&ListParams::default().labels(&reeve.labels())).await {
            Ok(found) => found.items,
            Err(error) => return Ok((by_name(), check(Level::Warn, format!("{UNREAD}{}", said(&error))))),
        };
        match found.as_slice() {
            [] => {
                let message =
                    format!("no Deployment in namespace {namespace} has the labels {}: is --reeve-namespace right?", reeve.labels());
                Ok((by_name(), check(Level::Fail, message)))
            }
            [one] => {
                let (level, message) = readiness(one);
                Ok((Installed::of(one, namespace), check(level, message)))
            }
            several => {
                let releases: Vec<&str> =
                    several.iter().filter_map(|found| found.labels().get("app.kubernetes.io/instance")).map(String::as_str).collect();
                Err(Failure::unusable(format!(
                    "there are several operators in namespace {namespace}; choose one by --reeve-release: {}",
                    releases.join(", ")
                )))
            }
        }
    }
}

fn watches(container: &Container) -> impl Iterator<Item = String> {
    container.args.iter().flatten().filter_map(|argument| argument.strip_prefix("--watch-namespace=").map(str::to_owned))
}

fn readiness(deployment: &Deployment) -> (Level, String) {
    let name = deployment.name_any();
    let status = deployment.status.clone().unwrap_or_default();
    let (ready, wanted) = (status.ready_replicas.unwrap_or(0), deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1));
    let behind = status.observed_generation < deployment.metadata.generation;
    if ready > 0 && ready >= wanted && !behind {
        return (Level::Ok, format!("{name} has {ready} of {wanted} ready"));
    }
    let conditions = status.conditions.unwrap_or_default();
    let why = conditions.iter().find(|condition| condition.type_ == "Available").and_then(|condition| condition.message.clone());
    (Level::Fail, format!("{name} has {ready} of {wanted} ready: {}", one_line(&why.unwrap_or_else(|| "it does not say why".to_owned()))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use serde_json::{Value, json};

    fn deployment(status: &Value) -> Deployment {
        let args = ["operator", "--watch-namespace=team-a", "--watch-namespace=team-b", "--lease-name=agents-reeve"];
        let pod = json!({ "serviceAccountName": "steward", "containers": [{ "name": "reeve", "args": args }] });
        let spec = json!({ "replicas": 1, "selector": {}, "template": { "spec": pod } });
        serde_json::from_value(json!({ "metadata": { "name": "agents-reeve", "generation": 2 }, "spec": spec, "status": status })).unwrap()
    }

    #[test]
    fn a_release_is_what_its_deployment_says() {
        let installed = Installed::of(&deployment(&json!({})), "ops");
        assert_eq!((installed.name.as_str(), installed.service_account.as_str()), ("agents-reeve", "steward"));
        assert_eq!(installed.watches, ["team-a", "team-b"]);
        for (namespace, judged) in [("team-a", true), ("team-b", true), ("ops", true), ("default", false)] {
            assert_eq!(installed.judges(namespace), judged, "{namespace}");
        }
        assert_eq!(installed.policy("approvals"), "agents-reeve-approvals");
        assert!(installed.policies().contains(&"agents-reeve-approval-decision".to_owned()));
    }

    #[test]
    fn the_policies_that_are_looked_at_are_those_of_the_chart() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/reeve/templates");
        let names = std::fs::read_to_string(folder.join("_names.tpl")).unwrap();
        let defined = |list: &str| {
            let (_, rest) = names.split_once(&format!("{{{{- define \"{list}\" -}}}}\n[")).unwrap();
            let (list, _) = rest.split_once(']').unwrap();
            list.split(", ").map(str::to_owned).collect::<BTreeSet<String>>()
        };
        assert_eq!(defined("reeve.validatingPolicies"), VALIDATING.iter().map(|(policy, _, _)| (*policy).to_owned()).collect());
        assert_eq!(defined("reeve.mutatingPolicies"), MUTATING.iter().map(|policy| (*policy).to_owned()).collect());
    }

    #[test]
    fn the_status_of_each_kind_is_looked_at() {
        let kinds = reeve_api::crds().into_iter().map(|crd| format!("{}/status", crd.spec.names.plural));
        assert_eq!(STATUSES.iter().map(|resource| (*resource).to_owned()).collect::<BTreeSet<_>>(), kinds.collect());
    }

    #[test]
    fn a_release_that_cannot_be_read_is_named_as_the_chart_names_it() {
        assert_eq!(Installed::of_release("n", None).name, "reeve");
        assert_eq!(Installed::of_release("n", Some("reeve-canary")).name, "reeve-canary");
        assert_eq!(Installed::of_release("n", Some("agents")).name, "agents-reeve");
    }

    #[test]
    fn an_operator_that_is_not_ready_is_a_failure_with_its_reason() {
        assert_eq!(readiness(&deployment(&json!({ "observedGeneration": 2, "readyReplicas": 1 }))).0, Level::Ok);
        assert_eq!(readiness(&deployment(&json!({ "observedGeneration": 1, "readyReplicas": 1 }))).0, Level::Fail);
        let conditions = json!([{ "type": "Available", "status": "False", "message": "Deployment does not have minimum availability." }]);
        let (level, why) = readiness(&deployment(&json!({ "observedGeneration": 2, "conditions": conditions })));
        assert_eq!((level, why.as_str()), (Level::Fail, "agents-reeve has 0 of 1 ready: Deployment does not have minimum availability."));
    }
}
