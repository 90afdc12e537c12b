//! What answers on the stream to a Pod: a sandbox whose ledger outlives every operator, and every stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reeve_core::tool::wire::{self, code, method};
use reeve_operator::{ByteStream, Streams};
use rmcp::model::{CustomRequest, CustomResult, ErrorCode, ErrorData};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::chance::between;
use super::faults::{Phase, Point};
use super::sabotage::Sabotage;
use super::sim::{Shared, Sim};
use super::tools::Workspace;

/// Between the operator and a sandbox.
const BUFFER_BYTES: usize = 64 * 1024;

/// Every sandbox that ever was, by the UID of its Pod.
#[derive(Default)]
pub(crate) struct Sandboxes {
    by_pod: BTreeMap<String, Sandbox>,
    /// Effects by their keys over all sandboxes, with how often each was begun.
    begun: BTreeMap<String, u32>,
    /// Runs that had two sandboxes at one time.
    doubled: BTreeSet<String>,
}

struct Sandbox {
    name: String,
    run_uid: String,
    /// Cancelled when the Pod's processes end.
    alive: CancellationToken,
    /// Its server was told to end.
    ended: bool,
    /// The highest that said hello.
    epoch: u64,
    workspace: Workspace,
    handles: BTreeMap<String, (String, wire::Canonical)>,
    ledger: BTreeMap<String, Entry>,
}

/// A call that was begun.
#[derive(Clone)]
struct Entry {
    ends_ms: u64,
    outcome: wire::Outcome,
}

/// What a request came to.
enum Answer {
    /// This, at that moment.
    At(u64, Value),
    Refused(i32, String),
}

impl Sandboxes {
    pub(crate) fn started(&mut self, uid: &str, pod: &Value) {
        let labels = &pod["metadata"]["labels"];
        let run_uid = labels[reeve_api::label::RUN_UID].as_str().unwrap_or_default().to_owned();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let sandbox = Sandbox {
            name,
            run_uid,
            alive: CancellationToken::new(),
            ended: false,
            epoch: 0,
            workspace: Workspace::default(),
            handles: BTreeMap::new(),
            ledger: BTreeMap::new(),
        };
        if self.living().any(|other| other.run_uid == sandbox.run_uid) {
            self.doubled.insert(sandbox.run_uid.clone());
        }
        self.by_pod.entry(uid.to_owned()).or_insert(sandbox);
    }

    /// The processes of this Pod are dead.
    pub(crate) fn gone(&mut self, uid: &str) {
        if let Some(sandbox) = self.by_pod.get(uid) {
            sandbox.alive.cancel();
        }
    }

    /// Only the processes of these Pods live on.
    pub(crate) fn keep(&self, pods: &BTreeSet<String>) {
        for (uid, sandbox) in &self.by_pod {
            if !pods.contains(uid) {
                sandbox.alive.cancel();
            }
        }
    }

    /// Whether its server has ended by itself.
    pub(crate) fn has_ended(&self, uid: &str) -> bool {
        self.by_pod.get(uid).is_some_and(|sandbox| sandbox.ended)
    }

    /// Effects by key, with how often each was begun.
    pub(crate) fn begun(&self) -> &BTreeMap<String, u32> {
        &self.begun
    }

    fn living(&self) -> impl Iterator<Item = &Sandbox> {
        self.by_pod.values().filter(|sandbox| !sandbox.alive.is_cancelled() && !sandbox.ended)
    }

    /// UIDs of runs of which more than one Pod was alive at one time.
    pub(crate) fn doubled(&self) -> &BTreeSet<String> {
        &self.doubled
    }

    /// UIDs of runs that have a Pod alive.
    pub(crate) fn runs(&self) -> BTreeSet<String> {
        self.living().map(|sandbox| sandbox.run_uid.clone()).collect()
    }
}

impl Sim {
    /// A request on a stream that was opened under this epoch.
    fn serve(&mut self, uid: &str, epoch: u64, request: &str, asked: Value) -> Answer {
        let (seed, now) = (self.seed, self.now_ms());
        let at = now + between(seed, &format!("{request} {asked}"), 1, 5);
        let Some(sandbox) = self.sandboxes.by_pod.get_mut(uid) else { return internal("no such sandbox") };
        if request == method::HELLO {
            return greet(sandbox, asked, at);
        }
        if epoch < sandbox.epoch {
            return Answer::Refused(code::FENCED, format!("epoch {} has said hello", sandbox.epoch));
        }
        let answered = match request {
            method::IMPORT => read(asked).map(|import: wire::Import| json(at, &sandbox.workspace.import(&import))),
            method::RESOLVE => read(asked).map(|resolve| resolved(sandbox, resolve, at)),
            method::LOOKUP if self.sabotage == Some(Sabotage::CallsAgain) => Ok(json(at, &wire::Recorded::Absent)),
            method::LOOKUP => read(asked).map(|lookup| look_up(sandbox, &lookup, now, at)),
            method::CHECKPOINT => Ok(json(at, &sandbox.workspace.checkpoint())),
            method::FETCH => read(asked).map(|fetch: wire::Fetch| match sandbox.workspace.fetch(&fetch) {
                Some(chunk) => json(at, &chunk),
                None => internal("no such blob"),
            }),
            method::HALT => Ok(json(at, &halt(sandbox, now))),
            method::SHUTDOWN => {
                sandbox.ended = true;
                self.kubelet.look();
                Ok(Answer::At(at, Value::Null))
            }
            method::CALL => read(asked).map(|call: wire::Call| self.call(uid, &call, now)),
            other => Err(internal(&format!("no such method: {other}"))),
        };
        answered.unwrap_or_else(|refused| refused)
    }

    fn call(&mut self, uid: &str, call: &wire::Call, now: u64) -> Answer {
        let seed = self.seed;
        let Some(sandbox) = self.sandboxes.by_pod.get_mut(uid) else { return internal("no such sandbox") };
        let forgets = self.sabotage == Some(Sabotage::CallsAgain);
        if sandbox.ledger.contains_key(&call.key) && !forgets {
            return Answer::Refused(code::KEY_USED, "this key was used".to_owned());
        }
        let canonical = match sandbox.handles.remove(&call.handle) {
            Some((key, canonical)) if key == call.key => canonical,
            _ => return Answer::Refused(code::HANDLE, "no such handle".to_owned()),
        };
        let took = between(seed, &format!("call {}", call.key), 2, 120);
        let outcome = sandbox.workspace.run(&canonical, took, call.confinement.timeout_ms);
        let ends_ms = now + outcome.duration_ms;
        sandbox.ledger.insert(call.key.clone(), Entry { ends_ms, outcome: outcome.clone() });
        let key = self.tale.named(&call.key);
        self.tale.tell(format!("sandbox   {} {} -> {:?}", key, told(&canonical), outcome.status));
        if !self.puts_off(&call.key) {
            self.begins(&call.key);
        }
        json(ends_ms, &outcome)
    }

    /// The effect of a call begins.
    pub(crate) fn begins(&mut self, key: &str) {
        *self.sandboxes.begun.entry(key.to_owned()).or_default() += 1;
        self.oracle.executed(key);
    }
}

/// A call in brief.
fn told(canonical: &wire::Canonical) -> String {
    let what = if canonical.argv.is_empty() {
        canonical.paths.iter().map(|path| path.path.clone()).collect::<Vec<_>>().join(" ")
    } else {
        canonical.argv.join(" ")
    };
    format!("{} {what}", canonical.tool.as_str())
}

fn greet(sandbox: &mut Sandbox, asked: Value, at: u64) -> Answer {
    let hello: wire::Hello = match read(asked) {
        Ok(hello) => hello,
        Err(refused) => return refused,
    };
    if hello.run_uid != sandbox.run_uid {
        return Answer::Refused(code::INVALID, format!("this sandbox serves run {}", sandbox.run_uid));
    }
    if hello.epoch < sandbox.epoch {
        return Answer::Refused(code::FENCED, format!("epoch {} has said hello", sandbox.epoch));
    }
    sandbox.epoch = hello.epoch;
    json(at, &wire::Welcome { version: "simulated".to_owned(), landlock_abi: 7, workspace: sandbox.workspace.loaded() })
}

fn resolved(sandbox: &mut Sandbox, resolve: wire::Resolve, at: u64) -> Answer {
    match sandbox.workspace.resolve(&resolve) {
        Ok(canonical) => {
            let handle = format!("h{}", sandbox.handles.len() + sandbox.ledger.len());
            sandbox.handles.insert(handle.clone(), (resolve.key, canonical.clone()));
            json(at, &wire::Resolved { handle, canonical })
        }
        Err((code, message)) => Answer::Refused(code, message),
    }
}

fn look_up(sandbox: &Sandbox, lookup: &wire::Lookup, now: u64, at: u64) -> Answer {
    match sandbox.ledger.get(&lookup.key) {
        None => json(at, &wire::Recorded::Absent),
        Some(entry) if entry.ends_ms <= now.saturating_add(lookup.wait_ms) => {
            json(entry.ends_ms.max(at), &wire::Recorded::Done { outcome: entry.outcome.clone() })
        }
        Some(_) => json(now.saturating_add(lookup.wait_ms), &wire::Recorded::Running),
    }
}

fn halt(sandbox: &mut Sandbox, now: u64) -> wire::Halted {
    let mut calls = 0;
    for entry in sandbox.ledger.values_mut().filter(|entry| entry.ends_ms > now) {
        entry.ends_ms = now;
        entry.outcome.status = wire::Status::Halted;
        calls += 1;
    }
    wire::Halted { calls }
}

fn read<T: serde::de::DeserializeOwned>(asked: Value) -> Result<T, Answer> {
    serde_json::from_value(asked).map_err(|error| Answer::Refused(code::INVALID, error.to_string()))
}

fn json(at: u64, answer: &impl serde::Serialize) -> Answer {
    match serde_json::to_value(answer) {
        Ok(value) => Answer::At(at, value),
        Err(error) => internal(&error.to_string()),
    }
}

fn internal(message: &str) -> Answer {
    Answer::Refused(code::INTERNAL, message.to_owned())
}

/// Opens streams to the sandboxes of a world.
pub(crate) struct Host(pub(crate) Arc<Shared>);

impl Streams for Host {
    fn open(&self, namespace: String, pod: String) -> BoxFuture<'static, Result<ByteStream, String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let delay = between(shared.lock().seed, &format!("exec {namespace}/{pod}"), 1, 20);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let (uid, alive) = {
                let sim = shared.lock();
                let running =
                    sim.sandboxes.by_pod.iter().find(|(_, sandbox)| sandbox.name == pod && !sandbox.alive.is_cancelled() && !sandbox.ended);
                let (uid, sandbox) = running.ok_or_else(|| format!("exec in Pod {namespace}/{pod}: it does not run"))?;
                (uid.clone(), sandbox.alive.clone())
            };
            let (near, far) = tokio::io::duplex(BUFFER_BYTES);
            let attached = Attached { shared: Arc::clone(&shared), uid, epoch: Arc::default() };
            let served = alive.clone();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = served.cancelled() => {}
                    () = async { if let Ok(serving) = attached.serve(far).await { drop(serving.waiting().await) } } => {}
                }
            });
            let (output, input) = tokio::io::split(near);
            let ended = async move {
                alive.cancelled().await;
                "the connection broke".to_owned()
            };
            Ok(ByteStream { output: Box::new(output), input: Box::new(input), ended: Box::pin(ended) })
        })
    }
}

/// One stream.
#[derive(Clone)]
struct Attached {
    shared: Arc<Shared>,
    uid: String,
    epoch: Arc<std::sync::atomic::AtomicU64>,
}

impl ServerHandler for Attached {
    async fn on_custom_request(&self, request: CustomRequest, _: RequestContext<RoleServer>) -> Result<CustomResult, ErrorData> {
        let mut asked = request.params.unwrap_or_default();
        if let Some(asked) = asked.as_object_mut() {
            asked.remove("_meta");
        }
        let Some((answer, phase)) = self.serve_one(&request.method, asked) else { return std::future::pending().await };
        if phase == Some(Phase::Lost) {
            self.shared.kill_now();
            return std::future::pending().await;
        }
        let answer = match answer {
            Answer::At(at, value) => {
                let until = self.shared.instant_of(at);
                tokio::time::sleep_until(until).await;
                Ok(CustomResult::new(value))
            }
            Answer::Refused(code, message) => Err(ErrorData::new(ErrorCode(code), message, None)),
        };
        if phase == Some(Phase::After) {
            self.shared.kill_soon(&mut self.shared.lock());
        }
        answer
    }
}

impl Attached {
    /// None: the operator died before it was done.
    fn serve_one(&self, request: &str, asked: Value) -> Option<(Answer, Option<Phase>)> {
        let mut sim = self.shared.lock();
        let last = asked["last"] == true;
        let effect = matches!(request, method::CALL | method::CHECKPOINT | method::SHUTDOWN) || (request == method::IMPORT && last);
        let phase = if effect { sim.pass(Point::Effect) } else { None };
        if phase == Some(Phase::Before) {
            self.shared.kill(&mut sim);
            return None;
        }
        let order = std::sync::atomic::Ordering::SeqCst;
        if request == method::HELLO {
            self.epoch.store(asked["epoch"].as_u64().unwrap_or(0), order);
        }
        let answer = sim.serve(&self.uid, self.epoch.load(order), request, asked);
        drop(sim);
        self.shared.rung.notify_one();
        Some((answer, phase))
    }
}
