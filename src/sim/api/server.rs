//! The server itself: one state, changed by one request at a time.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::admission::Admission;
use super::kinds::Kinds;
use super::request::{Caller, PatchType, Query, Target};
use super::status::Failure;
use super::store::Store;
use super::watch::Watch;

/// Bytes of a request that kube-apiserver reads at most.
const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// Changes that a watch may lag behind, unless told otherwise. kube-apiserver remembers by time; here a test says when to forget.
const HISTORY: usize = 100_000;

/// What comes of a request.
#[derive(Debug)]
pub enum Answer {
    /// The whole answer: HTTP status code and JSON body.
    Whole(u16, Arc<Value>),
    /// Events, as they come: ask [`ApiServer::next_event`].
    Watch(Box<Watch>),
}

/// An API server in memory.
///
/// A clone is a world of its own, made in the time of copying one pointer an object.
///
/// Guarantees: the same seed, kinds and requests, with the same times, give the same answers to the byte.
#[derive(Clone, Debug)]
pub struct ApiServer {
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) store: Store,
    pub(crate) admission: Admission,
    uids: u64,
}

/// What of a request all its handling needs.
pub(crate) struct Asked<'a> {
    pub(crate) now: Timestamp,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    pub(crate) query: Query,
    /// Who is written into `managedFields`.
    pub(crate) manager: String,
    /// Only the metadata of objects is asked for (`Accept: application/json;as=PartialObjectMetadata…`).
    pub(crate) metadata_only: bool,
}

impl ApiServer {
    /// An empty server with the namespaces that every cluster has.
    #[must_use]
    pub fn new(seed: u64, now: Timestamp, kinds: impl Into<Arc<Kinds>>) -> ApiServer {
        let mut server = ApiServer { kinds: kinds.into(), store: Store::new(HISTORY), admission: Admission::default(), uids: seed };
        for name in ["default", "kube-system"] {
            server.add_namespace(now, name);
        }
        server
    }

    /// Makes a namespace, as `kubectl create namespace` does. One that exists stays as it is.
    pub fn add_namespace(&mut self, now: Timestamp, name: &str) {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string();
        let request = http::Request::post("/api/v1/namespaces").body(Bytes::from(body));
        if let Ok(request) = request {
            self.handle(now, &Caller::user("system:admin"), &request);
        }
    }

    /// The version of the last write.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.store.version()
    }

    /// Forgets what happened up to this version: watches and continued lists from before are answered `410 Gone`.
    pub fn compact(&mut self, upto: u64) {
        self.store.compact(upto);
    }

    /// All objects there are, by key `group/plural/namespace/name`.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.store.all().map(|(key, object)| (key.as_str(), object.as_ref()))
    }

    /// Objects whose keys begin so, in the order of keys.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
        self.store.under(prefix).map(|(_, object)| object)
    }

    /// One object: the plural of its kind, its namespace (empty if it has none) and name.
    #[must_use]
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        let kind = self.kinds.find(group, plural)?;
        self.store.get(&super::request::key(kind, namespace, name)).map(AsRef::as_ref)
    }

    /// Answers a request of `caller` at time `now`.
    pub fn handle(&mut self, now: Timestamp, caller: &Caller, request: &http::Request<Bytes>) -> Answer {
        match self.route(now, caller, request) {
            Ok(answer) => answer,
            Err(failure) => Answer::Whole(failure.code, Arc::new(failure.body())),
        }
    }

    fn route(&mut self, now: Timestamp, caller: &Caller, request: &http::Request<Bytes>) -> Result<Answer, Failure> {
        let kinds = Arc::clone(&self.kinds);
        let path = request.uri().path();
        if let Some(body) = discovery(&kinds, request.method(), path) {
            return Ok(Answer::Whole(200, Arc::new(body)));
        }
        let target = Target::parse(&kinds, path)?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let manager = manager(&query, request);
        let accept = request.headers().get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
        let metadata_only = accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
        let asked = Asked { now, caller, query, manager, metadata_only };
        if request.body().len() > MAX_REQUEST_BYTES {
            return Err(Failure::too_large(format!("Request entity too large: limit is {MAX_REQUEST_BYTES}")));
        }
        let whole = |(code, body)| Answer::Whole(code, body);
        match (request.method(), target.name.is_empty()) {
            (&Method::GET, false) if !asked.query.is("watch") => self.get(&asked, &target).map(whole),
            (&Method::GET, _) if asked.query.is("watch") => self.watch(&asked, &target).map(|watch| Answer::Watch(Box::new(watch))),
            (&Method::GET, _) => self.list(&asked, &target).map(whole),
            (&Method::POST, true) => self.create(&asked, &target, request.body()).map(whole),
            (&Method::PUT, false) => self.replace(&asked, &target, request.body()).map(whole),
            (&Method::PATCH, false) => {
                let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let patch = PatchType::of(content_type.unwrap_or_default());
                self.patch(&asked, &target, patch, request.body()).map(whole)
            }
            (&Method::DELETE, false) if target.subresource.is_empty() => self.delete(&asked, &target, request.body()).map(whole),
            (&Method::DELETE, true) => self.delete_all(&asked, &target, request.body()).map(whole),
            _ => Err(Failure::method_not_allowed("the server does not allow this method on the requested resource")),
        }
    }

    /// The next UID. Looks like a random one, and is a function of the seed and of how many came before.
    pub(crate) fn next_uid(&mut self) -> String {
        let (high, low) = (self.next_random(), self.next_random());
        let (high, low) = ((high & !0xf000) | 0x4000, (low & !(3 << 62)) | (2 << 62));
        format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xffff, low >> 48, low & 0xffff_ffff_ffff)
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn next_random(&mut self) -> u64 {
        self.uids = self.uids.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.uids;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Who the fields that a request changes belong to: `fieldManager`, or the program's name.
fn manager(query: &Query, request: &http::Request<Bytes>) -> String {
    let named = query.text("fieldManager");
    if !named.is_empty() {
        return named.to_owned();
    }
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let program = agent.split('/').next().unwrap_or_default();
    if program.is_empty() { "unknown".to_owned() } else { program.to_owned() }
}

/// Answers to questions about the server and not about objects.
fn discovery(kinds: &Kinds, method: &Method, path: &str) -> Option<Value> {
    if method != Method::GET {
        return None;
    }
    match path {
        "/version" => Some(json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0-simulated", "platform": "linux/amd64",
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "" })),
        _ => kinds.resource_list(path),
    }
}
