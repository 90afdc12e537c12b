//! The way between the operator and its API server: one delivery a millisecond, in an order drawn from the seed.
//!
//! How long a message takes depends on the seed, on what it says and on how often it was said before, and not on when it was handed over: so
//! tasks that run in another order within the same millisecond change nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use reeve_operator::Clock;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::Service;

use super::chance::between;
use super::faults::{ApiFault, CLIENT_WAITS_MS, LAG_ENDS_MS, Phase, Point, WatchFault};
use super::requests::{self, Struck, Write};
use super::sabotage::{Bent, Sabotage, answered, bend, told};
use super::sim::{End, Shared, Sim};
use super::{admission, objects};
use crate::api::{Answer, Caller, Watch, whole};

/// Begins the message of each refusal that a fault makes.
pub(crate) const MADE_UP: &str = "a simulated fault";
/// The longest that a message takes.
const LONGEST_MS: u64 = 6;

type Answered = Response<UnsyncBoxBody<Bytes, Infallible>>;
/// An answer, or none in the time that a client waits.
type Reply = oneshot::Sender<Option<Answered>>;

/// Everything on its way.
#[derive(Default)]
pub(crate) struct Wire {
    /// By when it is due, what it says, and which of these it is.
    parcels: BTreeMap<(u64, u64, u64), Parcel>,
    said: BTreeMap<String, u64>,
    watches: BTreeMap<u64, Open>,
    /// Kind whose next watch comes to an older server.
    older: Option<String>,
    last: u64,
}

enum Parcel {
    Request(Request<Bytes>, Reply),
    Answer(Answered, Reply),
    /// The time that a client waits is over.
    Silence(Reply),
    /// What a watch may see of what happened, up to this version.
    Events(u64, u64),
    /// The time that a client asked a watch for is over.
    Enough(u64),
}

/// A watch that the operator has open.
struct Open {
    watch: Watch,
    lines: mpsc::UnboundedSender<Bytes>,
    /// Up to where deliveries are on their way.
    told: u64,
}

impl Sim {
    fn post(&mut self, subject: &str, parcel: Parcel) {
        let count = self.wire.said.entry(subject.to_owned()).or_default();
        *count += 1;
        let subject = format!("{subject} {count}");
        let due = self.now_ms() + between(self.seed, &subject, 1, LONGEST_MS);
        self.post_at(due, &subject, parcel);
    }

    fn post_at(&mut self, due: u64, subject: &str, parcel: Parcel) {
        self.wire.last += 1;
        self.wire.parcels.insert((due, super::chance::draw(self.seed, subject), self.wire.last), parcel);
    }

    /// When the next delivery is due.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.wire.parcels.keys().next().map(|(due, ..)| *due)
    }

    /// Tells the watches that something has changed.
    pub(crate) fn spread(&mut self) {
        let version = self.api.version();
        let lag = self.plan.lag.changes;
        let seen = version.saturating_sub(lag);
        let mut news = Vec::new();
        for (id, open) in self.wire.watches.iter_mut().filter(|(_, open)| version > open.told) {
            open.told = version;
            news.push((*id, format!("events of {} {id} at {version}", open.watch.kind())));
        }
        let late = self.now_ms() + LAG_ENDS_MS;
        for (id, subject) in news {
            self.post(&subject, Parcel::Events(id, seen));
            if lag > 0 {
                self.post_at(late, &subject, Parcel::Events(id, version));
            }
        }
    }

    /// Counts a request, and says what happens to it.
    fn struck_by(&mut self, request: &Request<Bytes>) -> Option<ApiFault> {
        let asked = requests::asked(request);
        self.counts.requests += 1;
        *self.requests.asked.entry((asked.verb, asked.kind.clone())).or_default() += 1;
        let at_ms = self.now_ms();
        // What is refused for long lets nothing through, whatever else was planned for one of its requests.
        let (lasting, planned) = (self.plan.refused(&asked, at_ms).map(ApiFault::Refused), self.plan.request(self.counts.requests));
        let fault = lasting.or(planned);
        if objects::writes(request) {
            self.requests.writes.push(Write { at_ms, place: asked.place.clone(), struck: fault.is_some() });
        }
        let fault = fault?;
        self.tale.tell(format!("server    {} {}: {fault}", request.method(), asked.place));
        self.oracle.troubled();
        self.requests.struck.push(Struck { at_ms, asked, fault });
        Some(fault)
    }

    /// Whether this is a watch that has come to a server which does not know yet what the client has seen.
    fn is_too_new(&mut self, request: &Request<Bytes>) -> bool {
        let Some(kind) = self.wire.older.clone() else { return false };
        let stem = &kind[..kind.len() - 1];
        let watches = request.uri().query().unwrap_or_default().contains("watch=");
        let is_it = watches && request.uri().path().rsplit('/').next().is_some_and(|last| last.starts_with(stem));
        if is_it {
            self.wire.older = None;
            self.tale.tell(format!("server    has not seen yet what a watch of {} goes on from", objects::place(request.uri().path())));
        }
        is_it
    }

    /// Somebody else changes the object that this request is about, if it is there.
    fn touch(&mut self, request: &Request<Bytes>) {
        let path = request.uri().path().trim_end_matches("/status").to_owned();
        let touched = json!({ "metadata": { "annotations": { "example.com/touched": self.counts.requests.to_string() } } });
        let touch = Request::builder().method("PATCH").uri(path).header(http::header::CONTENT_TYPE, "application/merge-patch+json");
        if let (Ok(touch), now) = (touch.body(Bytes::from(touched.to_string())), self.now()) {
            // A request that creates or lists is about no object yet: then this is refused, and nothing has changed.
            let _ = self.api.handle(now, &Caller::user("bob"), &touch);
        }
    }

    /// Nothing of what was on its way arrives: who sent it or waited for it is dead.
    pub(crate) fn forget_wire(&mut self) {
        self.wire = Wire { last: self.wire.last, ..Wire::default() };
    }
}

impl Shared {
    /// Carries the first thing that is due.
    pub(crate) fn deliver(&self, sim: &mut Sim) {
        let Some((_, parcel)) = sim.wire.parcels.pop_first() else { return };
        match parcel {
            Parcel::Request(request, reply) => self.handle(sim, request, reply),
            // Who asked may be gone.
            Parcel::Answer(answer, reply) => drop(reply.send(Some(answer))),
            Parcel::Silence(reply) => drop(reply.send(None)),
            Parcel::Events(id, upto) => events(sim, id, upto),
            Parcel::Enough(id) => drop(sim.wire.watches.remove(&id)),
        }
    }

    fn handle(&self, sim: &mut Sim, request: Request<Bytes>, reply: Reply) {
        let phase = if objects::writes(&request) { sim.pass(Point::Write) } else { None };
        if phase == Some(Phase::Before) {
            return self.kill(sim);
        }
        let fault = sim.struck_by(&request);
        if sim.is_too_new(&request) {
            let subject = format!("refusal of {} {}", request.method(), request.uri());
            return sim.post(&subject, Parcel::Answer(refused(504), reply));
        }
        if let Some(ApiFault::Refused(code)) = fault {
            let subject = format!("refusal of {} {}", request.method(), request.uri());
            return sim.post(&subject, Parcel::Answer(refused(code), reply));
        }
        let now = sim.now();
        if fault == Some(ApiFault::Foreign) {
            sim.touch(&request);
        }
        let operator = Caller::service_account(super::operator::NAMESPACE, super::operator::ACCOUNT);
        let before = sim.api.version();
        let subject = format!("answer to {} {}", request.method(), request.uri());
        let (request, answer) = match bend(sim, request) {
            Bent::Believed(answer) => return sim.post(&subject, Parcel::Answer(whole(200, &answer), reply)),
            Bent::On(request) => {
                let refusal = admission::judge(sim, &request);
                let answer = refusal.unwrap_or_else(|| sim.api.handle(now, &operator, &request));
                (request, answer)
            }
        };
        let answer = match answer {
            Answer::Whole(code, body) => {
                if objects::writes(&request) {
                    objects::tell(sim, &request, code, &body, before);
                }
                whole(code, &answered(sim, &request, body))
            }
            Answer::Watch(watch) => open(sim, *watch),
        };
        if phase == Some(Phase::Lost) {
            return self.kill(sim);
        }
        match fault {
            None | Some(ApiFault::Foreign | ApiFault::Refused(_)) => sim.post(&subject, Parcel::Answer(answer, reply)),
            Some(ApiFault::GaveUp) => sim.post(&subject, Parcel::Answer(refused(504), reply)),
            Some(ApiFault::Silent) => sim.post_at(sim.now_ms() + CLIENT_WAITS_MS, &subject, Parcel::Silence(reply)),
            Some(ApiFault::Cut) => sim.post(&subject, Parcel::Answer(cut(answer), reply)),
        }
        if phase == Some(Phase::After) {
            self.kill_soon(sim);
        }
    }

    /// Carries, a delivery a millisecond, until the operator ends.
    pub(crate) async fn carry(self: Arc<Shared>) {
        loop {
            match self.carry_one() {
                Next::Pause => tokio::time::sleep(Duration::from_millis(1)).await,
                Next::End => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let mut sim = self.lock();
                    return self.kill(&mut sim);
                }
                Next::Dead => return,
                Next::At(due) => {
                    let wake = self.instant_of(due);
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(wake) => {}
                        () = self.rung.notified() => {}
                    }
                }
                Next::WhenRung => self.rung.notified().await,
            }
        }
    }

    fn carry_one(&self) -> Next {
        let mut sim = self.lock();
        match sim.end {
            End::None => {}
            End::Near => return Next::End,
            End::Now => return Next::Dead,
        }
        sim.work();
        if sim.due_ms().is_some_and(|due| due <= sim.now_ms()) {
            self.deliver(&mut sim);
            sim.spread();
            self.changed.notify_one();
            return Next::Pause;
        }
        let next = sim.due_ms().into_iter().chain(sim.kubelet.due_ms()).min();
        next.map_or(Next::WhenRung, Next::At)
    }
}

/// What there is to wait for.
enum Next {
    /// Everything that a delivery set going.
    Pause,
    /// As `Pause`, and then the operator's end.
    End,
    /// Nothing: the operator is dead.
    Dead,
    /// That moment.
    At(u64),
    /// Something to carry.
    WhenRung,
}

fn open(sim: &mut Sim, watch: Watch) -> Answered {
    let (lines, seen) = mpsc::unbounded_channel();
    sim.wire.last += 1;
    let id = sim.wire.last;
    if let Some(ends) = watch.ends_at() {
        let left = ends.as_millisecond() - sim.now().as_millisecond();
        let due = sim.now_ms() + u64::try_from(left).unwrap_or(0);
        sim.post_at(due, &format!("end of watch {id}"), Parcel::Enough(id));
    }
    let told = watch.version();
    sim.post(&format!("first events of {} {id}", watch.kind()), Parcel::Events(id, told));
    sim.wire.watches.insert(id, Open { watch, lines, told });
    let seen = futures::stream::unfold(seen, |mut seen| async move { seen.recv().await.map(|line| (line, seen)) });
    Response::new(StreamBody::new(seen.map(|line| Ok(http_body::Frame::data(line)))).boxed_unsync())
}

/// Gives a watch what it may see.
fn events(sim: &mut Sim, id: u64, upto: u64) {
    let Some(mut open) = sim.wire.watches.remove(&id) else { return };
    while let Some(event) = sim.api.next_event_upto(&mut open.watch, upto) {
        let Some(event) = told(sim, open.watch.kind(), event) else { continue };
        sim.counts.events += 1;
        let fault = sim.plan.event(sim.counts.events);
        if fault.is_some() {
            sim.oracle.troubled();
        }
        let line = Bytes::from(format!("{event}\n"));
        let sent = match fault {
            None => open.lines.send(line),
            Some(WatchFault::Twice) => open.lines.send(line.clone()).and_then(|()| open.lines.send(line)),
            Some(WatchFault::ThenCut) => {
                drop(open.lines.send(line));
                return;
            }
            Some(WatchFault::DroppedThenGone) if sim.sabotage == Some(Sabotage::SwallowedGone) => Ok(()),
            Some(WatchFault::CutThenOlder) => {
                sim.wire.older = Some(open.watch.kind().to_lowercase());
                return;
            }
            Some(WatchFault::DroppedThenGone) => {
                drop(open.lines.send(Bytes::from(format!("{}\n", gone()))));
                return;
            }
        };
        if sent.is_err() {
            // Nobody listens any more.
            return;
        }
    }
    sim.wire.watches.insert(id, open);
}

/// A refusal with this code, in the server's words.
fn refused(code: u16) -> Answered {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
        "message": format!("{MADE_UP}: {reason}"),
    });
    if code == 429 {
        status["details"] = json!({ "retryAfterSeconds": 1 });
    }
    whole(code, &status)
}

/// What of an answer arrives when the connection breaks in the middle: half of its text, or no event of a watch.
fn cut(answer: Answered) -> Answered {
    let (parts, body) = answer.into_parts();
    let text = body.collect().now_or_never().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    let half = text.map_or_else(Bytes::new, |text| text.slice(..text.len() / 2));
    Response::from_parts(parts, http_body_util::Full::new(half).boxed_unsync())
}

fn gone() -> Value {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version",
    });
    json!({ "type": "ERROR", "object": status })
}

/// What the operator's client speaks to.
#[derive(Clone)]
pub(crate) struct Line(pub(crate) Arc<Shared>);

impl Service<Request<Body>> for Line {
    type Response = Answered;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Answered, kube::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, body.collect_bytes().await?);
            let (reply, answer) = oneshot::channel();
            {
                let mut sim = shared.lock();
                let subject = format!("{} {} {}", request.method(), request.uri(), reeve_core::Digest::of(request.body()));
                sim.post(&subject, Parcel::Request(request, reply));
            }
            shared.rung.notify_one();
            match answer.await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(kube::Error::Service(std::io::Error::from(std::io::ErrorKind::TimedOut).into())),
                // Only a dead operator waits for an answer that never comes.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// The operator's clock in the runtime that lives now.
pub(crate) fn clock(sim: &Sim) -> Clock {
    let since = tokio::time::Instant::now();
    // A moment that never comes: what has gone by since then is nothing.
    let since = if sim.sabotage == Some(Sabotage::StoppedClock) { since + Duration::from_secs(1 << 31) } else { since };
    Clock::Paced { began: sim.now(), since }
}
