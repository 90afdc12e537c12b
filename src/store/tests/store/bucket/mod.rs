//! A store that speaks as much of S3's REST protocol as artifacts need, over a real socket of loopback. It checks every signature, forgets
//! nothing that it was asked, and fails as a test tells it to.
//!
//! From the public reference: https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html
#![allow(dead_code, reason = "two crates' tests share it, and neither needs all")]

mod answers;
mod signature;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use turns::Turns;

pub(crate) const BUCKET: &str = "team-artifacts";
pub(crate) const REGION: &str = "eu-test-1";
/// No error, log line or status may hold it.
pub(crate) const SECRET: &str = "secret-of-the-bucket-5513";

/// The store. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct FakeS3 {
    /// What is given as the endpoint.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    kept: Mutex<Kept>,
    turns: Turns,
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Object>,
    asked: Vec<Asked>,
    faults: Vec<(Method, String, Fault, usize)>,
    /// How many keys a list gives at once; 0 for as many as S3 does.
    page: usize,
    /// Its clock is so far behind this machine's.
    behind: Duration,
}

#[derive(Clone)]
struct Object {
    bytes: Vec<u8>,
    modified: SystemTime,
}

/// A request as it arrived, with a signature that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Access key of who asks.
    pub(crate) by: String,
    pub(crate) method: Method,
    /// Empty for the bucket.
    pub(crate) key: String,
}

/// What is done to a request instead of answering it.
#[derive(Clone)]
pub(crate) enum Fault {
    /// It fails with this status and code.
    Fails(u16, &'static str),
    /// The body ends in the middle, and the connection with it.
    Cut,
    /// Another body of the same length.
    Wrong,
    /// It is done, and no answer ever comes.
    DoneUnanswered,
    /// It is neither done nor answered.
    Silent,
    /// It is done when this opens, even if nobody listens any more.
    Held(Gate),
}

/// Holds a request until a test lets it go.
#[derive(Clone)]
pub(crate) struct Gate {
    reached: Arc<watch::Sender<bool>>,
    open: Arc<watch::Sender<bool>>,
    done: Arc<watch::Sender<bool>>,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        let shut = || Arc::new(watch::channel(false).0);
        Gate { reached: shut(), open: shut(), done: shut() }
    }

    /// Waits until the request is there.
    pub(crate) async fn reached(&self) {
        self.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }

    /// Lets it go, and waits until it is done.
    pub(crate) async fn opens(&self) {
        self.open.send_replace(true);
        self.done.subscribe().wait_for(|done| *done).await.unwrap();
    }
}

impl FakeS3 {
    pub(crate) async fn start() -> FakeS3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { kept: Mutex::default(), turns: Turns::default() });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FakeS3 { url, shared }
    }

    /// What AWS's programs find in their environment, as this user of the store. Any name is one; each has the same secret.
    pub(crate) fn environment(user: &str) -> HashMap<&'static str, String> {
        HashMap::from([
            ("AWS_ACCESS_KEY_ID", user.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ])
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap()
    }

    /// What has been asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.kept().asked.clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.kept().objects.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.kept().objects.get(key).map(|object| object.bytes.clone())
    }

    /// Past the protocol.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.kept().objects.insert(key.to_owned(), Object { bytes: bytes.to_vec(), modified: SystemTime::now() });
    }

    /// Past the protocol.
    pub(crate) fn remove(&self, key: &str) {
        self.kept().objects.remove(key).unwrap();
    }

    /// Makes all keys that hold this text so much older.
    pub(crate) fn age(&self, of: &str, by: Duration) {
        for (_, object) in self.kept().objects.iter_mut().filter(|(key, _)| key.contains(of)) {
            object.modified -= by;
        }
    }

    /// The next so many requests of this method whose key (of a list: prefix) holds this text meet this fault.
    pub(crate) fn fails(&self, method: Method, key: &str, fault: Fault, times: usize) {
        self.kept().faults.push((method, key.to_owned(), fault, times));
    }

    pub(crate) fn works(&self) {
        self.kept().faults.clear();
    }

    pub(crate) fn gives_at_once(&self, keys: usize) {
        self.kept().page = keys;
    }

    pub(crate) fn clock_is_behind(&self, by: Duration) {
        self.kept().behind = by;
    }

    /// From here on requests are carried out in this order of their users; one that has none left, and those who are finished, are not
    /// waited for.
    pub(crate) fn takes_in_turn(&self, users: impl IntoIterator<Item = &'static str>) {
        self.shared.turns.set(users);
    }

    /// This user asks nothing more.
    pub(crate) fn is_finished(&self, user: &'static str) {
        self.shared.turns.finished(user);
    }
}

impl Kept {
    fn fault(&mut self, method: &Method, key: &str) -> Option<Fault> {
        let place = self.faults.iter().position(|(of, part, _, times)| of == method && key.contains(part.as_str()) && *times > 0)?;
        self.faults[place].3 -= 1;
        Some(self.faults[place].2.clone())
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return answers::error(400, "IncompleteBody") };
    let by = match signature::check(&parts, &body) {
        Ok(by) => by,
        Err((status, code)) => return answers::error(status, code),
    };
    let path = signature::decoded(parts.uri.path(), false);
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    if bucket != BUCKET {
        return answers::error(404, "NoSuchBucket");
    }
    let query = signature::query(parts.uri.query().unwrap_or_default());
    let about = if key.is_empty() { query.get("prefix").cloned().unwrap_or_default() } else { key.to_owned() };
    let turn = shared.turns.of(&by).await;
    let fault = {
        let mut kept = shared.kept.lock().unwrap();
        kept.asked.push(Asked { by, method: parts.method.clone(), key: key.to_owned() });
        kept.fault(&parts.method, &about)
    };
    let act = || answers::of(&mut shared.kept.lock().unwrap(), &parts, key, &query, &body);
    match fault {
        None => act(),
        Some(Fault::Fails(status, code)) => answers::error(status, code),
        Some(Fault::Cut) => answers::cut(act()).await,
        Some(Fault::Wrong) => answers::wrong(act()).await,
        Some(Fault::Silent) => {
            drop(turn);
            std::future::pending().await
        }
        Some(Fault::DoneUnanswered) => {
            act();
            drop(turn);
            std::future::pending().await
        }
        Some(Fault::Held(gate)) => {
            // The turn is over: others go on. What is held is done on its own, whether its asker still lives or not.
            drop(turn);
            gate.reached.send_replace(true);
            let (shared, parts, key) = (Arc::clone(&shared), parts.clone(), key.to_owned());
            let held = tokio::spawn(async move {
                let _ = gate.open.subscribe().wait_for(|open| *open).await;
                let answer = answers::of(&mut shared.kept.lock().unwrap(), &parts, &key, &query, &body);
                gate.done.send_replace(true);
                answer
            });
            held.await.unwrap_or_else(|_| Response::new(Body::empty()))
        }
    }
}
