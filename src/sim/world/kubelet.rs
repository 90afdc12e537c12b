//! What a cluster does by itself: Jobs become Pods, Pods run and end, owners take what they own with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::chance::between;
use super::sim::{Sim, time_of};
use crate::api::{Answer, Caller};

/// Name of the NetworkPolicy of all sandboxes of a namespace.
const WALL: &str = "reeve-sandbox";

/// What it remembers of the objects that it looks after, by UID.
#[derive(Debug, Default)]
pub(crate) struct Kubelet {
    /// The version of the API server that was looked at.
    seen: Option<u64>,
    /// Since when an object waits for its next step, and for which.
    waits: BTreeMap<(String, &'static str), u64>,
    /// Jobs that had their Pod.
    made: std::collections::BTreeSet<String>,
    next_ms: Option<u64>,
}

impl Kubelet {
    /// When there is something to do without anything new.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Has it look again.
    pub(crate) fn look(&mut self) {
        self.seen = None;
    }
}

/// One thing to do to an object, after a while.
struct Task {
    uid: String,
    what: &'static str,
    least_ms: u64,
    most_ms: u64,
}

impl Sim {
    /// Does all that is due.
    pub(crate) fn work(&mut self) {
        loop {
            let now = self.now_ms();
            let due = self.kubelet.next_ms.is_some_and(|due| due <= now);
            if self.kubelet.seen == Some(self.api.version()) && !due {
                return;
            }
            self.kubelet.seen = Some(self.api.version());
            self.kubelet.next_ms = None;
            while self.api.collect_garbage(time_of(now)).is_some() {}
            let pods = self.all("/pods/");
            // Whose object is gone, by whatever hand, ends too.
            self.sandboxes.keep(&pods.iter().map(|pod| text(pod, "uid")).collect());
            for job in self.all("batch/jobs/") {
                let own = pods.iter().find(|pod| owned_by(pod, &job));
                self.look_after_job(&job, own.map(AsRef::as_ref));
            }
            for pod in self.all("/pods/") {
                self.look_after_pod(&pod);
            }
            self.spread();
        }
    }

    /// Of each object under this prefix, what it was when this was asked.
    fn all(&self, prefix: &str) -> Vec<Arc<Value>> {
        self.api.under(prefix).cloned().collect()
    }

    /// Whether this may be done now; if not, it is noted when.
    fn is_due(&mut self, task: &Task) -> bool {
        let now = self.now_ms();
        let since = *self.kubelet.waits.entry((task.uid.clone(), task.what)).or_insert(now);
        let due = since + between(self.seed, &format!("{} of {}", task.what, task.uid), task.least_ms, task.most_ms);
        if due <= now {
            return true;
        }
        self.kubelet.next_ms = Some(self.kubelet.next_ms.map_or(due, |next| next.min(due)));
        false
    }

    fn look_after_job(&mut self, job: &Value, pod: Option<&Value>) {
        let uid = text(job, "uid");
        let over = job["status"]["completionTime"].is_string() || failed(job);
        if over || job["metadata"]["deletionTimestamp"].is_string() {
            return;
        }
        if let Some(seconds) = job["spec"]["activeDeadlineSeconds"].as_u64() {
            let deadline = Task { uid: format!("{uid} {seconds}"), what: "deadline", least_ms: seconds * 1000, most_ms: seconds * 1000 };
            // Counted from the Job's making, which is when it is first seen.
            let now = self.now_ms();
            let began = *self.kubelet.waits.entry((uid.clone(), "deadline")).or_insert(now);
            self.kubelet.waits.insert((deadline.uid.clone(), "deadline"), began);
            if self.is_due(&deadline) {
                let condition = json!({ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" });
                self.status("batch", "jobs", job, &json!({ "conditions": [condition], "failed": 1 }));
                if let Some(pod) = pod {
                    self.remove(pod);
                }
                self.tale.tell(format!("cluster   job/{} is over its deadline", text(job, "name")));
                return;
            }
        }
        match pod.map(|pod| pod["status"]["phase"].as_str().unwrap_or_default()) {
            None if !self.kubelet.made.contains(&uid) => {
                if self.is_due(&Task { uid: uid.clone(), what: "pod", least_ms: 5, most_ms: 60 }) {
                    self.kubelet.made.insert(uid);
                    self.make_pod(job);
                }
            }
            Some("Succeeded") => {
                let at = self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let condition = json!({ "type": "Complete", "status": "True" });
                self.status("batch", "jobs", job, &json!({ "completionTime": at, "succeeded": 1, "conditions": [condition] }));
            }
            Some("Failed") => {
                let condition = json!({ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded" });
                self.status("batch", "jobs", job, &json!({ "failed": 1, "conditions": [condition] }));
            }
            // Its Pod is gone and it makes no other: backoffLimit is 0.
            None => {
                let condition = json!({ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded" });
                self.status("batch", "jobs", job, &json!({ "failed": 1, "conditions": [condition] }));
            }
            Some(_) => {}
        }
    }

    fn make_pod(&mut self, job: &Value) {
        let (name, namespace) = (text(job, "name"), text(job, "namespace"));
        let template = &job["spec"]["template"];
        let mut spec = template["spec"].clone();
        spec["nodeName"] = json!("node");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{name}-0"), "namespace": namespace, "labels": template["metadata"]["labels"],
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": text(job, "uid"), "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": spec,
        });
        self.ask("POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod);
    }

    fn look_after_pod(&mut self, pod: &Value) {
        let (uid, phase) = (text(pod, "uid"), pod["status"]["phase"].as_str().unwrap_or_default());
        if pod["metadata"]["deletionTimestamp"].is_string() {
            if self.is_due(&Task { uid, what: "end", least_ms: 100, most_ms: 2_000 }) {
                self.remove(pod);
            }
            return;
        }
        if matches!(phase, "" | "Pending") {
            if self.is_due(&Task { uid: uid.clone(), what: "start", least_ms: 20, most_ms: 900 }) {
                let running = json!({ "name": "sandbox", "imageID": "image@sha256:1", "state": { "running": {} }, "ready": true });
                self.status("", "pods", pod, &json!({ "phase": "Running", "containerStatuses": [running] }));
                self.sandboxes.started(&uid, pod);
                let of_a_run = pod["metadata"]["labels"][reeve_api::label::RUN_UID].is_string();
                if of_a_run && self.api.object("networking.k8s.io", "networkpolicies", &text(pod, "namespace"), WALL).is_none() {
                    self.oracle.found(format!("pod/{} has begun, and nothing holds its network", text(pod, "name")));
                }
            }
            return;
        }
        if phase == "Running" && self.sandboxes.has_ended(&uid) {
            let ended = json!({ "name": "sandbox", "imageID": "image@sha256:1", "state": { "terminated": { "exitCode": 0 } } });
            self.status("", "pods", pod, &json!({ "phase": "Succeeded", "containerStatuses": [ended] }));
            self.sandboxes.gone(&uid);
        }
    }

    /// Ends a Pod's processes and takes its object away.
    pub(crate) fn remove(&mut self, pod: &Value) {
        let (name, namespace) = (text(pod, "name"), text(pod, "namespace"));
        self.sandboxes.gone(&text(pod, "uid"));
        self.ask("DELETE", &format!("/api/v1/namespaces/{namespace}/pods/{name}"), &json!({ "gracePeriodSeconds": 0 }));
    }

    /// The Pod ends with its node.
    pub(crate) fn evict(&mut self, pod: &Value) {
        self.sandboxes.gone(&text(pod, "uid"));
        self.status("", "pods", pod, &json!({ "phase": "Failed", "reason": "Evicted", "message": "its node went away" }));
    }

    fn status(&mut self, group: &str, plural: &str, object: &Value, status: &Value) {
        let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
        let path = format!("{root}/namespaces/{}/{plural}/{}/status", text(object, "namespace"), text(object, "name"));
        self.ask("PATCH", &path, &json!({ "status": status }));
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) {
        let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, "application/merge-patch+json");
        let Ok(request) = request.body(Bytes::from(body.to_string())) else { return };
        let now = self.now();
        let answer = self.api.handle(now, &Caller::user("system:kube-controller-manager"), &request);
        if let Answer::Whole(code, body) = answer
            && code >= 300
        {
            self.tale.tell(format!("cluster   {method} {path} {code} {}", body["message"]));
        }
    }
}

fn owned_by(object: &Value, owner: &Value) -> bool {
    let uid = &owner["metadata"]["uid"];
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|reference| reference["uid"] == *uid)
}

fn failed(job: &Value) -> bool {
    job["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Failed" && condition["status"] == "True")
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_owned()
}
