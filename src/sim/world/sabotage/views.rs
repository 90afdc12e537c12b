//! What a wrong operator makes of what it is shown.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::Sabotage;
use crate::world::objects;
use crate::world::sim::Sim;

/// Kinds whose status is written by comparison with what was shown before.
const COMPARED: [&str; 5] = ["RiskBudget", "PolicySet", "AgentProfile", "ModelProvider", "KillSwitch"];

/// An answer on its way to the operator.
pub(crate) fn answered(sim: &Sim, request: &Request<Bytes>, mut body: Arc<Value>) -> Arc<Value> {
    if sim.sabotage.is_none() || request.method() != Method::GET {
        return body;
    }
    let shown = Arc::make_mut(&mut body);
    let kind = shown["kind"].as_str().unwrap_or_default().to_owned();
    match kind.strip_suffix("List") {
        Some("KillSwitch") if sim.sabotage == Some(Sabotage::FailsOpen) => shown["items"] = json!([]),
        Some(of) => shown["items"].as_array_mut().into_iter().flatten().for_each(|object| seen(sim, of, object)),
        None => {
            let cached = sim.mind.cached.get(shown["metadata"]["uid"].as_str().unwrap_or_default());
            if let Some(cached) = cached.filter(|_| sim.sabotage == Some(Sabotage::ReadsFromCache)) {
                *shown = cached.clone();
            }
            seen(sim, &kind, shown);
        }
    }
    body
}

/// An event of a watch on its way to the operator. None: it is not heard.
pub(crate) fn told(sim: &mut Sim, kind: &str, mut event: Value) -> Option<Value> {
    let approval = kind == "Approval";
    match sim.sabotage {
        None => return Some(event),
        Some(Sabotage::DeafToEdits) if kind == "AgentRun" && event["type"] == "MODIFIED" => return None,
        Some(Sabotage::DeafToVotes) if approval && event["type"] == "MODIFIED" => return None,
        Some(Sabotage::ReadsFromCache) if approval => {
            let uid = event["object"]["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            sim.mind.cached.insert(uid, event["object"].clone());
        }
        Some(_) => {}
    }
    seen(sim, kind, &mut event["object"]);
    Some(event)
}

/// An object as a wrong operator sees it.
pub(super) fn seen(sim: &Sim, kind: &str, object: &mut Value) {
    match (sim.sabotage, kind) {
        (Some(Sabotage::TrustsOwnCondition), "KillSwitch") => match objects::reason(object) {
            Some("Engaged" | "Stopping") => object["spec"]["engaged"] = json!(true),
            Some("Released") => object["spec"]["engaged"] = json!(false),
            Some(_) | None => {}
        },
        (Some(Sabotage::NeverSuspends), "AgentRun") if object["spec"].is_object() => object["spec"]["suspended"] = json!(false),
        (Some(Sabotage::ForgetsItsStatus), kind) if COMPARED.contains(&kind) => {
            if let Some(object) = object.as_object_mut() {
                object.remove("status");
            }
        }
        (Some(Sabotage::DeafToDenials), "Approval") => {
            if let Some(votes) = object["spec"]["votes"].as_object_mut() {
                votes.retain(|_, vote| vote["verdict"] != "Deny");
            }
        }
        (Some(Sabotage::RequesterVotes), "Approval") => {
            let requester = object["spec"]["requestedBy"].as_str().unwrap_or_default().to_owned();
            if let Some(votes) = object["spec"]["votes"].as_object_mut()
                && let Some(vote) = votes.remove(&requester)
            {
                votes.insert("anybody".to_owned(), vote);
            }
        }
        (Some(Sabotage::ApprovalByName), "Approval") => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(asked) = sim.mind.asked.get(name) {
                let votes = object["spec"]["votes"].clone();
                object["spec"] = asked["spec"].clone();
                if votes.is_object() {
                    object["spec"]["votes"] = votes;
                }
                object["metadata"]["ownerReferences"] = asked["metadata"]["ownerReferences"].clone();
            }
        }
        _ => {}
    }
}
