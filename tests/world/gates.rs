//! Approvals, budgets and kill switches, as people meet them.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use reeve_api::{AgentRun, Approval, ApprovalPhase, Goal, KillSwitch, RiskBudget};
use reeve_store::Artifacts;
use serde_json::{Value, json};

use super::outcome::ready;
use super::{Person, Rows, World};

/// The policy and the binding that hold the votes of one world, made for it alone: a test may edit and delete them.
pub struct OwnAdmission {
    client: kube::Client,
    /// Name of both.
    pub name: String,
}

impl OwnAdmission {
    /// The policy.
    pub fn policies(&self) -> Api<ValidatingAdmissionPolicy> {
        Api::all(self.client.clone())
    }

    /// The binding.
    pub fn bindings(&self) -> Api<ValidatingAdmissionPolicyBinding> {
        Api::all(self.client.clone())
    }

    /// Deletes both, if they are there. They are in no namespace: those of a test that failed stay until `hack/test` clears them away.
    pub async fn remove(self) {
        let parameters = DeleteParams::default();
        let binding = self.bindings().delete(&self.name, &parameters).await.map(drop);
        let policy = self.policies().delete(&self.name, &parameters).await.map(drop);
        for deleted in [binding, policy] {
            match deleted {
                Ok(()) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => panic!("{} is left behind: {error}", self.name),
            }
        }
    }
}

impl World {
    /// A person who may approve.
    pub async fn approver(&self, name: &str) -> Person {
        self.user(name, &[("reeve.dev", "approvals", &["approve", "get", "list", "watch", "patch", "update"])]).await
    }

    /// The chart's policy on approvals and a binding of it, copied for this namespace.
    pub async fn own_admission(&self) -> OwnAdmission {
        let own = OwnAdmission { client: self.client(), name: format!("reeve-{}", self.namespace()) };
        let policy = own.policies().get("reeve-approvals").await.unwrap();
        let copied = ObjectMeta { name: Some(own.name.clone()), ..ObjectMeta::default() };
        let policy = ValidatingAdmissionPolicy { metadata: copied.clone(), status: None, ..policy };
        own.policies().create(&PostParams::default(), &policy).await.unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
            "metadata": {"name": own.name},
            "spec": {
                "policyName": own.name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace()}}},
            },
        }))
        .unwrap();
        own.bindings().create(&PostParams::default(), &binding).await.unwrap();
        // The chart's own is bound to the other tests' namespaces only.
        let label = json!({"metadata": {"labels": {"reeve.dev/test-own-admission": "true"}}});
        let namespaces: Api<Namespace> = Api::all(self.client());
        namespaces.patch(self.namespace(), &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
        own
    }

    /// Waits until the Approval has this phase.
    pub async fn approval_is(&self, name: &str, wanted: ApprovalPhase) -> Approval {
        self.wait::<Approval>(name, wanted.as_str(), |found| phase(found) == Some(wanted)).await
    }

    /// Has somebody approve the merge of this Goal, and waits for its good end.
    pub async fn merged(&self, goal: &str) -> Goal {
        let approval = self.asks(&format!("{goal}-merge")).await;
        self.approver("merger").await.votes(&approval, "merger", "Approve").await.unwrap();
        self.reached(goal).await
    }

    /// A RiskBudget with these limits.
    pub async fn budget(&self, name: &str, limits: Value) {
        self.put(&budget(name, &limits)).await;
        self.wait::<RiskBudget>(name, "in force", |budget| {
            budget.status.as_ref().is_some_and(|status| status.observed_generation == budget.metadata.generation)
        })
        .await;
    }

    /// The sums of a budget, once so many tokens are spent and nothing of it is reserved. Its status follows the journal within a second.
    pub async fn spent(&self, name: &str, tokens: i64) -> reeve_api::RiskBudgetStatus {
        let settled = |budget: &RiskBudget| {
            let Some(status) = &budget.status else { return false };
            let nothing = |balance: &Option<reeve_api::Balance>| balance.as_ref().is_some_and(|balance| balance.reserved == 0);
            nothing(&status.tokens) && nothing(&status.tool_calls) && status.tokens.as_ref().is_some_and(|spent| spent.used == tokens)
        };
        self.wait::<RiskBudget>(name, &format!("at {tokens} tokens, all settled"), settled).await.status.unwrap()
    }

    /// Waits until one of these runs has this reason in condition Ready; gives its name and the message.
    pub async fn first_that_is(&self, names: &[String], reason: &str) -> (String, String) {
        let waits = names.iter().map(|name| Box::pin(async move { (name.clone(), self.run_is(name, reason).await) }));
        futures::future::select_all(waits).await.0
    }

    /// The bundle that a Goal's result points at.
    pub async fn result_of(&self, goal: &str) -> Option<String> {
        let uid = self.api::<Goal>().get(goal).await.unwrap().metadata.uid.unwrap();
        let store = Artifacts::open_read_only(&self.data().join("artifacts")).unwrap();
        store.pointed(&format!("goals/{uid}")).await.unwrap().map(|digest| digest.to_string())
    }

    /// Changes one byte of an artifact's file.
    pub fn flip_a_byte(&self, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        let path = self.data().join("artifacts").join(&hex[..2]).join(&hex[2..]);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }

    /// Waits until the clock says so.
    pub async fn until(&self, at: jiff::Timestamp) {
        let left = at.as_millisecond() - jiff::Timestamp::now().as_millisecond();
        let left = std::time::Duration::from_millis(u64::try_from(left).unwrap_or(0) + 1);
        let _ = tokio::time::timeout(left, std::future::pending::<()>()).await;
    }

    /// The rows of the operator's own stream.
    pub async fn operator_rows(&self) -> Rows {
        self.rows_of("operator").await
    }

    /// Engages a KillSwitch of this name.
    pub async fn kill(&self, name: &str) {
        self.put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "KillSwitch", "metadata": {"name": name}, "spec": {"engaged": true, "reason": "a test says so"}})).await;
    }

    /// Releases it.
    pub async fn release(&self, name: &str) {
        self.patch::<KillSwitch>(name, json!({"spec": {"engaged": false}})).await.unwrap();
    }
}

impl Person {
    /// Waits until the run asks for an Approval that can be voted on; gives it.
    pub async fn asks(&self, run: &str) -> Approval {
        let seen = self
            .wait::<AgentRun>(run, "waiting for an approval", |run| {
                run.status.as_ref().is_some_and(|status| ready(&status.conditions).0 == "AwaitingApproval")
            })
            .await;
        let name = seen.status.unwrap().pending_approval.expect("it names its approval").name;
        self.wait::<Approval>(&name, "Pending", |found| phase(found) == Some(ApprovalPhase::Pending)).await
    }

    /// Casts a vote as `kubectl patch approval NAME --type=merge -p '{"spec":{"votes":...}}'` does.
    pub async fn votes(&self, approval: &Approval, user: &str, verdict: &str) -> Result<Approval, String> {
        let name = approval.metadata.name.as_deref().unwrap();
        self.patch::<Approval>(name, json!({"spec": {"votes": {user: {"verdict": verdict, "reason": "read it"}}}})).await
    }

    /// Casts a vote as `kubectl patch approval NAME --type=merge -p '{"spec":{"decision":"Approve"}}'` does.
    pub async fn decides(&self, approval: &Approval, verdict: &str) -> Result<Approval, String> {
        self.patch::<Approval>(approval.metadata.name.as_deref().unwrap(), json!({"spec": {"decision": verdict}})).await
    }
}

/// A RiskBudget with these limits.
pub fn budget(name: &str, limits: &Value) -> Value {
    json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "RiskBudget", "metadata": {"name": name}, "spec": {"limits": limits}})
}

fn phase(approval: &Approval) -> Option<ApprovalPhase> {
    approval.status.as_ref().and_then(|status| status.phase)
}
