//! The two servers, each behind the same words.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use reeve_sim::api::{Answer, ApiServer, Caller, Kind, Kinds, Watch};
use reeve_tests::deadline;
use serde_json::{Value, json};

use super::normal::Seen;
use super::requests::{KINDS, Step};

/// The label by which the chart's policies are bound to the tests' namespaces (`tests/admission.yaml`).
pub(super) const LABEL: &str = "reeve.dev/test";

/// What the names of namespaces begin with in which they are.
pub(super) const JUDGED: &str = "reeve-simulator-judged-";

/// The ConfigMap that a controller makes in each namespace.
pub(super) const ROOT_CA: &str = "kube-root-ca.crt";

/// What a side remembers of the objects that it was shown: what `$uid`, `$version` and `$past` in a body stand for.
#[derive(Default)]
struct Memory {
    objects: BTreeMap<String, (String, String, String)>,
}

impl Memory {
    fn learn(&mut self, path: &str, body: &Value) {
        let text = |name: &str| body["metadata"][name].as_str().map(str::to_owned);
        let (Some(uid), Some(version)) = (text("uid"), text("resourceVersion")) else { return };
        let before = self.objects.get(path).map(|(_, version, past)| (version.clone(), past.clone()));
        let past = match before {
            Some((last, past)) if last == version => past,
            Some((last, _)) => last,
            None => "1".to_owned(),
        };
        self.objects.insert(path.to_owned(), (uid, version, past));
    }

    fn fill(&self, path: &str, body: &Value) -> Value {
        let nothing = ("00000000-0000-4000-8000-000000000000".to_owned(), "1".to_owned(), "1".to_owned());
        let (uid, version, past) = self.objects.get(path).unwrap_or(&nothing);
        let text = body.to_string().replace("$uid", uid).replace("$version", version).replace("$past", past);
        serde_json::from_str(&text).unwrap()
    }

    fn request(&self, step: &Step, namespace: &str) -> Request<Vec<u8>> {
        let body = step.body.as_ref().map(|body| self.fill(&step.object(), body).to_string().into_bytes()).unwrap_or_default();
        let path = step.path.replace("{ns}", namespace);
        Request::builder()
            .method(step.method)
            .uri(path)
            .header("content-type", step.content_type)
            .header("accept", step.accept)
            .header("user-agent", "tests/1")
            .body(body)
            .unwrap()
    }
}

/// The real server.
pub(super) struct Real {
    client: Client,
    namespace: String,
    seen: Seen,
    memory: Memory,
    from: BTreeMap<&'static str, String>,
}

impl Real {
    pub(super) async fn new(client: Client, namespace: &str) -> Real {
        let mut real =
            Real { client, namespace: namespace.to_owned(), seen: Seen::default(), memory: Memory::default(), from: BTreeMap::new() };
        for path in KINDS {
            let (_, list) = real.ask(Request::get(path.replace("{ns}", namespace)).body(Vec::new()).unwrap()).await;
            real.from.insert(path, list["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        }
        real
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> (u16, Value) {
        let response = self.client.send(request.map(Body::from)).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect_bytes().await.unwrap();
        (code, serde_json::from_slice(&body).unwrap_or_else(|_| json!({ "text": String::from_utf8_lossy(&body) })))
    }

    pub(super) async fn send(&mut self, step: &Step) -> (u16, Value) {
        let (code, body) = self.ask(self.memory.request(step, &self.namespace)).await;
        self.memory.learn(&step.object(), &body);
        (code, self.seen.normal(&body, &self.namespace))
    }

    /// The first events of a kind since the beginning.
    pub(super) async fn events(&mut self, path: &'static str, count: usize) -> Vec<Value> {
        if count == 0 {
            return Vec::new();
        }
        let at = format!("{}?watch=true&resourceVersion={}", path.replace("{ns}", &self.namespace), self.from[path]);
        let lines = self.client.request_stream(Request::get(at).body(Vec::new()).unwrap()).await.unwrap().lines();
        let lines = tokio::time::timeout(deadline(), lines.take(count).try_collect::<Vec<String>>()).await;
        let lines = lines.expect("as many events as the simulator had").unwrap();
        lines.iter().map(|line| self.seen.normal(&serde_json::from_str(line).unwrap(), &self.namespace)).collect()
    }

    /// Takes away all that a sequence left.
    pub(super) async fn clear(&self) {
        for path in KINDS {
            let path = path.replace("{ns}", &self.namespace);
            let (_, list) = self.ask(Request::get(&path).body(Vec::new()).unwrap()).await;
            let items = list["items"].as_array().unwrap();
            for item in items.iter().filter(|item| item["metadata"]["finalizers"].is_array()) {
                let name = item["metadata"]["name"].as_str().unwrap();
                let patch = json!({ "metadata": { "finalizers": null } }).to_string().into_bytes();
                let patch = Request::patch(format!("{path}/{name}")).header("content-type", "application/merge-patch+json").body(patch);
                self.ask(patch.unwrap()).await;
            }
            for item in items {
                let name = item["metadata"]["name"].as_str().unwrap();
                // That one comes back by itself.
                if name != ROOT_CA {
                    self.ask(Request::delete(format!("{path}/{name}")).body(Vec::new()).unwrap()).await;
                }
            }
        }
    }
}

/// The simulator's.
pub(super) struct Simulated {
    server: ApiServer,
    namespace: String,
    seen: Seen,
    memory: Memory,
    watches: Vec<(&'static str, Watch)>,
    now: Timestamp,
    caller: Caller,
}

/// What a watch from the beginning has seen.
pub(super) struct Events {
    pub(super) path: &'static str,
    pub(super) seen: Vec<Value>,
}

impl Simulated {
    pub(super) fn new(world: &Model, namespace: &str) -> Simulated {
        let (now, caller) = (world.now, world.caller.clone());
        let mut server = world.server.clone();
        let labels = json!({ LABEL: if namespace.starts_with(JUDGED) { "true" } else { "false" } });
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
        server.install(now, &[object]).unwrap();
        let from = server.version();
        let mut watches = Vec::new();
        for path in KINDS {
            let at = format!("{}?watch=true&resourceVersion={from}", path.replace("{ns}", namespace));
            match server.handle(now, &caller, &Request::get(at).body(Bytes::new()).unwrap()) {
                Answer::Watch(watch) => watches.push((path, *watch)),
                Answer::Whole(code, body) => panic!("no watch: {code} {body}"),
            }
        }
        Simulated { server, namespace: namespace.to_owned(), seen: Seen::default(), memory: Memory::default(), watches, now, caller }
    }

    pub(super) fn send(&mut self, step: &Step) -> (u16, Value) {
        let request = self.memory.request(step, &self.namespace).map(Bytes::from);
        match self.server.handle(self.now, &self.caller, &request) {
            Answer::Whole(code, body) => {
                self.memory.learn(&step.object(), &body);
                (code, self.seen.normal(&body, &self.namespace))
            }
            Answer::Watch(_) => panic!("nobody asked for a watch"),
        }
    }

    pub(super) fn events(&mut self) -> Vec<Events> {
        let mut all = Vec::new();
        for (path, mut watch) in std::mem::take(&mut self.watches) {
            let events: Vec<Value> = std::iter::from_fn(|| self.server.next_event(&mut watch)).collect();
            let seen = events.iter().map(|event| self.seen.normal(event, &self.namespace)).collect();
            all.push(Events { path, seen });
        }
        all
    }
}

/// A simulated server that has the real one's kinds and admission policies, to be copied for each sequence.
pub(super) struct Model {
    server: ApiServer,
    now: Timestamp,
    caller: Caller,
}

impl Model {
    pub(super) async fn of(client: &Client) -> Model {
        let list = async |path: &str| -> Vec<Value> {
            let list: Value = client.request(Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
            let (version, kind) = (list["apiVersion"].clone(), list["kind"].as_str().unwrap().trim_end_matches("List").to_owned());
            let object = |item: &Value| {
                let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": item["metadata"]["name"] } });
                object["spec"] = item["spec"].clone();
                object
            };
            list["items"].as_array().unwrap().iter().map(object).collect()
        };
        let mut kinds = Kinds::builtin();
        for crd in list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await {
            if crd["spec"]["group"] == "reeve.dev" {
                kinds.add(Kind::from_crd(&crd).unwrap());
            }
        }
        let now = Timestamp::now();
        let mut server = ApiServer::new(1, now, kinds);
        for policies in [
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ] {
            server.install(now, &list(&format!("/apis/admissionregistration.k8s.io/v1/{policies}")).await).unwrap();
        }
        Model { server, now, caller: caller(client).await }
    }
}

/// Who the tests are to the real server.
async fn caller(client: &Client) -> Caller {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string().into_bytes();
    let request =
        Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews").header("content-type", "application/json").body(review);
    let review: Value = client.request(request.unwrap()).await.unwrap();
    let user = &review["status"]["userInfo"];
    let groups = user["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap().to_owned()).collect();
    Caller { username: user["username"].as_str().unwrap().to_owned(), groups }
}
