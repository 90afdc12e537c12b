//! The face of the server to the real client: a `tower::Service`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;
use tower::Service;

use super::request::Caller;
use super::server::{Answer, ApiServer};
use super::watch::Watch;

/// A body that is there at once, or one that comes event by event.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// A server that many clients speak to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    server: Arc<Mutex<ApiServer>>,
    /// Rung after every change; the number is the version of the last write.
    changed: watch::Sender<u64>,
}

impl Shared {
    /// Shares this server.
    #[must_use]
    pub fn new(server: ApiServer) -> Shared {
        let (changed, _) = watch::channel(server.version());
        Shared { server: Arc::new(Mutex::new(server)), changed }
    }

    /// Does something with the server, and tells its watches.
    pub fn with<T>(&self, act: impl FnOnce(&mut ApiServer) -> T) -> T {
        let (done, version) = {
            let mut server = self.lock();
            let done = act(&mut server);
            (done, server.version())
        };
        self.changed.send_replace(version);
        done
    }

    fn lock(&self) -> MutexGuard<'_, ApiServer> {
        // A panic of a test while it held the server says nothing against the next test.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client of one caller speaks to. `kube::Client::new(face, namespace)` makes the client.
#[derive(Clone)]
pub struct Face {
    shared: Shared,
    caller: Caller,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Face {
    /// Requests on this face come from `caller`; `clock` says when.
    pub fn new(shared: Shared, caller: Caller, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Face {
        Face { shared, caller, clock: Arc::new(clock) }
    }

    /// Answers one request. Watches stream until they end or are dropped.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<AnswerBody> {
        let now = (self.clock)();
        let answer = self.shared.with(|server| server.handle(now, &self.caller, request));
        match answer {
            Answer::Whole(code, body) => whole(code, &body),
            Answer::Watch(watch) => response(200, self.stream(*watch)),
        }
    }

    fn stream(&self, watch: Watch) -> AnswerBody {
        let (shared, changed) = (self.shared.clone(), self.shared.changed.subscribe());
        let events = futures::stream::unfold((watch, changed), move |(mut watch, mut changed)| {
            let shared = shared.clone();
            async move {
                loop {
                    changed.borrow_and_update();
                    let event = shared.lock().next_event(&mut watch);
                    if let Some(event) = event {
                        return Some((line(&event), (watch, changed)));
                    }
                    // The server is gone: so is the stream.
                    changed.changed().await.ok()?;
                }
            }
        });
        StreamBody::new(events.map(|line| Ok(http_body::Frame::data(line)))).boxed_unsync()
    }
}

impl Service<Request<Body>> for Face {
    type Response = Response<AnswerBody>;
    type Error = kube::Error;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let face = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect_bytes().await?);
            Ok(face.answer(&request))
        }
        .boxed()
    }
}

/// An answer that is complete.
#[must_use]
pub fn whole(code: u16, body: &Value) -> Response<AnswerBody> {
    response(code, Full::new(Bytes::from(body.to_string())).boxed_unsync())
}

fn response(code: u16, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    // Codes come from this crate's own refusals, all of them real ones.
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn line(event: &Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}
