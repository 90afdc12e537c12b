//! What a wrong operator asks for.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::Sabotage;
use crate::world::sim::Sim;

/// What a mistake makes of a request.
pub(crate) enum Bent {
    /// It goes on, as it is or changed.
    On(Request<Bytes>),
    /// It is not done, and its sender believes that it was.
    Believed(Value),
}

/// A request on its way, bent by the mistake of this world.
#[allow(clippy::wildcard_enum_match_arm, reason = "most mistakes are made elsewhere")]
pub(crate) fn bend(sim: &mut Sim, request: Request<Bytes>) -> Bent {
    let Some(sabotage) = sim.sabotage else { return Bent::On(request) };
    let path = request.uri().path().to_owned();
    let (jobs, method) = (path.contains("/jobs"), request.method().clone());
    match sabotage {
        Sabotage::MadeUpNames if jobs && method == Method::POST => Bent::On(renamed(sim, request)),
        Sabotage::OrphanJob if jobs && method == Method::POST => {
            Bent::On(changed(request, |body| drop(body["metadata"].as_object_mut().map(|meta| meta.remove("ownerReferences")))))
        }
        Sabotage::ForgottenJob if jobs && method == Method::DELETE => {
            Bent::Believed(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }))
        }
        Sabotage::SwallowedConflict if jobs && method == Method::POST => believed(there(sim, "batch/jobs/", &request), request),
        Sabotage::SwallowedForbidden if path.contains("/networkpolicies/") && method == Method::PATCH => Bent::Believed(body_of(&request)),
        Sabotage::LostStatus if path.contains("/agentruns/") && path.ends_with("/status") && says_success(&request) => {
            let name = path.trim_end_matches("/status").rsplit('/').next().unwrap_or("-").to_owned();
            believed(named(sim, "reeve.dev/agentruns/", &name), request)
        }
        Sabotage::NoUidCheck if path.ends_with("/status") && method == Method::PATCH => Bent::On(changed(request, |body| {
            if let Some(operations) = body.as_array_mut() {
                operations.retain(|operation| operation["op"] != "test");
            }
        })),
        Sabotage::ApprovalByName if path.ends_with("/approvals") && method == Method::POST => by_name(sim, request),
        Sabotage::AdmissionUnseen if path.contains("/validatingadmissionpolicybindings/") && method == Method::GET => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let metadata = json!({ "name": name, "uid": name, "generation": 1 });
            let kind = "ValidatingAdmissionPolicyBinding";
            Bent::Believed(json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": {} }))
        }
        _ => Bent::On(request),
    }
}

/// An Approval is asked for. What is there under its name is taken for it, as if it said what was asked.
fn by_name(sim: &mut Sim, request: Request<Bytes>) -> Bent {
    let asked = body_of(&request);
    let name = asked["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let found = there(sim, "reeve.dev/approvals/", &request);
    sim.mind.asked.insert(name, asked);
    let Some(mut found) = found else { return Bent::On(request) };
    super::views::seen(sim, "Approval", &mut found);
    if let Some(spec) = found["spec"].as_object_mut() {
        spec.remove("votes");
    }
    Bent::Believed(found)
}

fn believed(found: Option<Value>, request: Request<Bytes>) -> Bent {
    found.map_or(Bent::On(request), Bent::Believed)
}

/// The object that has the name of the one that is to be made.
fn there(sim: &Sim, prefix: &str, request: &Request<Bytes>) -> Option<Value> {
    named(sim, prefix, body_of(request)["metadata"]["name"].as_str().unwrap_or_default())
}

fn named(sim: &Sim, prefix: &str, name: &str) -> Option<Value> {
    let found = sim.api.objects().find(|(key, _)| key.starts_with(prefix) && key.rsplit('/').next() == Some(name));
    found.map(|(_, object)| object.clone())
}

fn body_of(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap_or_default()
}

fn says_success(request: &Request<Bytes>) -> bool {
    let body = body_of(request);
    let status = body.as_array().and_then(|operations| operations.iter().find(|operation| operation["path"] == "/status"));
    status.is_some_and(|operation| operation["value"]["phase"] == "Succeeded")
}

fn renamed(sim: &Sim, request: Request<Bytes>) -> Request<Bytes> {
    let now = sim.now_ms();
    changed(request, |body| {
        let name = format!("{}-{now}", body["metadata"]["name"].as_str().unwrap_or_default());
        body["metadata"]["name"] = Value::from(name);
    })
}

fn changed(request: Request<Bytes>, change: impl FnOnce(&mut Value)) -> Request<Bytes> {
    let mut body = body_of(&request);
    change(&mut body);
    request.map(|_| Bytes::from(body.to_string()))
}
