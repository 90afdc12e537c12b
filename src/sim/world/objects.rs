//! Requests and objects in the words of a tale.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;

use super::sim::Sim;

/// A kind in one short word, and where its objects lie.
pub(crate) const KINDS: [(&str, &str, &str, &str); 18] = [
    ("run", "reeve.dev", "v1alpha1", "agentruns"),
    ("goal", "reeve.dev", "v1alpha1", "goals"),
    ("approval", "reeve.dev", "v1alpha1", "approvals"),
    ("profile", "reeve.dev", "v1alpha1", "agentprofiles"),
    ("provider", "reeve.dev", "v1alpha1", "modelproviders"),
    ("policy", "reeve.dev", "v1alpha1", "policysets"),
    ("budget", "reeve.dev", "v1alpha1", "riskbudgets"),
    ("kill", "reeve.dev", "v1alpha1", "killswitches"),
    ("job", "batch", "v1", "jobs"),
    ("pod", "", "v1", "pods"),
    ("configmap", "", "v1", "configmaps"),
    ("secret", "", "v1", "secrets"),
    ("wall", "networking.k8s.io", "v1", "networkpolicies"),
    ("vap", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"),
    ("vapbinding", "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"),
    ("map", "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies"),
    ("mapbinding", "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings"),
    ("event", "", "v1", "events"),
];

/// Path of an object: `run/r1` in a namespace. None for a word that is no kind.
pub(crate) fn path(word: &str, namespace: &str, name: &str) -> Option<String> {
    let (_, group, version, plural) = KINDS.iter().find(|(known, ..)| *known == word)?;
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let place = if group.starts_with("admission") { String::new() } else { format!("/namespaces/{namespace}") };
    Some(format!("{root}{place}/{plural}/{name}"))
}

/// The word of an object's kind.
pub(crate) fn word_of(object: &Value) -> Option<&'static str> {
    let (kind, group) = (object["kind"].as_str()?, object["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group));
    let plural = match kind {
        "KillSwitch" => "killswitches".to_owned(),
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    KINDS.iter().find(|(_, known, _, found)| *known == group && *found == plural).map(|(word, ..)| *word)
}

/// Plural, namespace and name of an object of ours, as an outcome names it.
pub(crate) fn key_of(object: &Value) -> String {
    let word = word_of(object).unwrap_or_default();
    let plural = KINDS.iter().find(|(known, ..)| *known == word).map_or("", |(.., plural)| plural);
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{plural}/{}/{}", text("namespace"), text("name"))
}

/// Whether a request changes something if it is granted.
pub(crate) fn writes(request: &Request<Bytes>) -> bool {
    request.method() != Method::GET && !request.uri().query().unwrap_or_default().contains("dryRun")
}

/// The last steps of a request's path, with the kind in one word: `run/r1/status`.
pub(crate) fn place(path: &str) -> String {
    let steps: Vec<&str> = path.split('/').collect();
    let Some((at, (word, ..))) = steps.iter().enumerate().find_map(|(at, step)| {
        let known = KINDS.iter().find(|(_, _, _, plural)| plural == step)?;
        Some((at, known))
    }) else {
        return steps.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join("/");
    };
    let rest = steps[at + 1..].join("/");
    if rest.is_empty() { (*word).to_owned() } else { format!("{word}/{rest}") }
}

/// Tells a write of the operator, and shows its result to the oracle.
pub(crate) fn tell(sim: &mut Sim, request: &Request<Bytes>, code: u16, body: &Value, before: u64) {
    let moved = if code >= 300 {
        format!("{code} {}", body["reason"].as_str().unwrap_or_default())
    } else if sim.api.version() == before {
        "unchanged".to_owned()
    } else {
        shown(body)
    };
    let verb = match request.method().as_str() {
        "POST" => "create",
        "PUT" => "replace",
        "PATCH" => "patch",
        "DELETE" => "delete",
        other => other,
    };
    let name = if verb == "create" { format!("/{}", body["metadata"]["name"].as_str().unwrap_or_default()) } else { String::new() };
    let line = format!("operator  {verb} {}{name} {moved}", place(request.uri().path()));
    sim.tale.tell(line.trim_end());
    if code < 300 {
        sim.oracle.written(body);
    }
}

/// The state of an object in brief: its phase, and its Ready condition where that is not plain.
pub(crate) fn shown(object: &Value) -> String {
    let status = &object["status"];
    let phase = status["phase"].as_str().unwrap_or_default();
    let ready = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let ready = ready.map(|ready| {
        let said = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        format!("Ready={} {}", said("status"), said("reason"))
    });
    [Some(phase.to_owned()).filter(|phase| !phase.is_empty()), ready].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The reason of an object's Ready condition.
pub(crate) fn reason(object: &Value) -> Option<&str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready")?["reason"].as_str()
}
