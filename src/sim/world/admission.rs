//! Admission of votes, as far as the operator tests it: a vote in another's name is refused while the policy and its binding are there.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::sabotage::Sabotage;
use super::sim::Sim;
use crate::api::Answer;

/// Name of the policy and of its binding, as the chart has them.
pub(crate) const POLICY: &str = "reeve-approvals";

/// The refusal of a vote that the operator forges to see whether it is refused.
pub(crate) fn judge(sim: &Sim, request: &Request<Bytes>) -> Option<Answer> {
    let votes =
        request.method() == Method::PATCH && request.uri().path().contains("/approvals/") && !request.uri().path().ends_with("/status");
    if !votes || !in_force(sim) {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    body["spec"]["votes"].as_object()?;
    let message = format!(
        "approvals.reeve.dev {name:?} is forbidden: ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request: \
         a service account has no vote"
    );
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422, "message": message,
    });
    Some(Answer::Whole(422, status.into()))
}

fn in_force(sim: &Sim) -> bool {
    let there = |plural| sim.api.object("admissionregistration.k8s.io", plural, "", POLICY).is_some();
    let taken_for_granted = sim.sabotage == Some(Sabotage::AdmissionUnseen);
    taken_for_granted || (there("validatingadmissionpolicies") && there("validatingadmissionpolicybindings"))
}
