//! Mistakes that somebody could make in the operator, made where it meets the world: a lane that misses one proves nothing.
//!
//! The operator's code stays as it is. What it asks for is changed on its way, so that the world sees what a wrong operator would have done.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use super::sim::Sim;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A Job's name is made up anew each time, as with `generateName`.
    MadeUpNames,
    /// A call whose answer was lost is made again without asking the ledger.
    CallsAgain,
    /// `AlreadyExists` is taken for success, whoever owns what is there.
    SwallowedConflict,
    /// A Job that is to be deleted is left.
    ForgottenJob,
    /// Changes of Approvals ring nobody.
    DeafToVotes,
    /// Time is read once, at the start.
    StoppedClock,
    /// A write that is refused is taken for written.
    LostStatus,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 7] = [
        Sabotage::MadeUpNames,
        Sabotage::CallsAgain,
        Sabotage::SwallowedConflict,
        Sabotage::ForgottenJob,
        Sabotage::DeafToVotes,
        Sabotage::StoppedClock,
        Sabotage::LostStatus,
    ];
}

/// What a mistake makes of a request.
pub(crate) enum Bent {
    /// It goes on, as it is or changed.
    On(Request<Bytes>),
    /// It is not done, and its sender believes that it was.
    Believed(Value),
}

/// A request on its way, bent by the mistake of this world.
pub(crate) fn bend(sim: &mut Sim, request: Request<Bytes>) -> Bent {
    let path = request.uri().path().to_owned();
    let jobs = path.contains("/jobs");
    match sim.sabotage {
        Some(Sabotage::MadeUpNames) if jobs && request.method() == Method::POST => Bent::On(renamed(sim, request)),
        Some(Sabotage::ForgottenJob) if jobs && request.method() == Method::DELETE => Bent::Believed(serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        })),
        Some(Sabotage::LostStatus) if path.contains("/agentruns/") && path.ends_with("/status") && says_success(&request) => {
            let name = path.trim_end_matches("/status");
            let found =
                sim.api.objects().find(|(key, _)| name.ends_with(key.rsplit('/').next().unwrap_or("-")) && key.contains("agentruns"));
            let object = found.map(|(_, object)| object.clone());
            object.map_or(Bent::On(request), Bent::Believed)
        }
        Some(Sabotage::SwallowedConflict) if jobs && request.method() == Method::POST => {
            let name = name_in(request.body());
            let there = sim.api.objects().find(|(key, _)| key.starts_with("batch/jobs/") && key.ends_with(&format!("/{name}")));
            let object = there.map(|(_, object)| object.clone());
            object.map_or(Bent::On(request), Bent::Believed)
        }
        Some(_) | None => Bent::On(request),
    }
}

fn name_in(body: &Bytes) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn says_success(request: &Request<Bytes>) -> bool {
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    body["status"]["phase"] == "Succeeded"
}

fn renamed(sim: &Sim, request: Request<Bytes>) -> Request<Bytes> {
    let (parts, body) = request.into_parts();
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = format!("{}-{}", body["metadata"]["name"].as_str().unwrap_or_default(), sim.now_ms());
    body["metadata"]["name"] = Value::from(name);
    Request::from_parts(parts, Bytes::from(body.to_string()))
}
