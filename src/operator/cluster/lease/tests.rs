#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// One Lease as an API server keeps it: every write moves the resourceVersion, a PUT with another one is refused.
#[derive(Clone, Default)]
struct FakeServer(Arc<Mutex<State>>);

type Interloper = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    writes: usize,
    /// Requests are answered by 500 while this is set.
    down: bool,
    /// The next write goes through, but its answer is 500.
    swallow_next_answer: bool,
    /// Run once, after the next read was answered: what someone else does in between.
    after_read: Option<Interloper>,
}

impl State {
    fn put(&mut self, mut lease: Lease) -> Lease {
        self.version += 1;
        self.writes += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    fn answer(&mut self, method: &Method, body: &[u8]) -> Result<Value, (u16, &'static str)> {
        if self.down {
            return Err((500, "InternalError"));
        }
        if method == Method::GET {
            let found = self.lease.clone().ok_or((404, "NotFound"))?;
            if let Some(act) = self.after_read.take() {
                act(self);
            }
            return Ok(serde_json::to_value(found).unwrap());
        }
        let wanted: Lease = serde_json::from_slice(body).unwrap();
        match (method, &self.lease) {
            (&Method::POST, Some(_)) => return Err((409, "AlreadyExists")),
            (&Method::PUT, None) => return Err((404, "NotFound")),
            (&Method::PUT, Some(lease)) if lease.metadata.resource_version != wanted.metadata.resource_version => {
                return Err((409, "Conflict"));
            }
            (&Method::POST | &Method::PUT, _) => {}
            _ => panic!("{method} is not how a Lease is written"),
        }
        let written = self.put(wanted);
        if std::mem::take(&mut self.swallow_next_answer) {
            return Err((500, "InternalError"));
        }
        Ok(serde_json::to_value(written).unwrap())
    }
}

impl FakeServer {
    fn client(&self) -> Client {
        let state = Arc::clone(&self.0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = Arc::clone(&state);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let (code, answer) = match state.lock().unwrap().answer(&parts.method, &body) {
                    Ok(answer) => (200, answer),
                    Err((code, reason)) => (
                        code,
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason}),
                    ),
                };
                let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
                Ok::<_, kube::Error>(response.body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap())
            }
        });
        Client::new(service, "reeve")
    }

    fn edit(&self, edit: impl FnOnce(&mut Lease)) {
        let mut state = self.0.lock().unwrap();
        let mut lease = state.lease.clone().unwrap();
        edit(&mut lease);
        state.put(lease);
    }

    fn holder(&self) -> (Option<String>, i32) {
        let spec = self.0.lock().unwrap().lease.clone().unwrap().spec.unwrap();
        (spec.holder_identity, spec.lease_transitions.unwrap())
    }
}

fn config(identity: &str) -> LeaseConfig {
    LeaseConfig::new("reeve", "reeve-operator", identity)
}

async fn acquired(server: &FakeServer, identity: &str, floor: u64) -> Held {
    acquire(server.client(), config(identity), Epoch(floor)).await.unwrap()
}

#[test]
fn what_is_seen_decides() {
    let start = Instant::now();
    let record = |holder: Option<&str>, transitions| {
        Some(Record { holder: holder.map(str::to_owned), transitions, renewed: None, duration: Some(Duration::from_secs(15)) })
    };
    let after = |seconds| start + Duration::from_secs(seconds);
    let wait = |seconds| Action::Wait(Duration::from_secs(seconds));
    let cases = [
        ("there is none", None, 0, 0, Action::Create { epoch: 1 }),
        ("there is none, but the journal remembers", None, 0, 41, Action::Create { epoch: 42 }),
        ("nobody holds it", record(None, 4), 0, 0, Action::Take { epoch: 5 }),
        ("we held it", record(Some("me"), 4), 0, 0, Action::Take { epoch: 5 }),
        ("the journal is ahead", record(Some("me"), 4), 0, 9, Action::Take { epoch: 10 }),
        ("another holds it, just seen", record(Some("other"), 4), 0, 0, wait(2)),
        ("another is silent, but not long enough", record(Some("other"), 4), 14, 0, wait(1)),
        ("another is silent for long", record(Some("other"), 4), 15, 0, Action::Take { epoch: 5 }),
    ];
    for (what, record, seconds, floor, expected) in cases {
        let seen = Seen { record, since: start };
        assert_eq!(decide(after(seconds), &seen, floor, &config("me")), expected, "{what}");
    }
}

#[test]
fn another_holders_clock_is_never_read() {
    let start = Instant::now();
    let record = |renewed: &str| {
        Some(Record { holder: Some("other".into()), transitions: 1, renewed: Some(renewed.parse().unwrap()), duration: None })
    };
    let mut seen = Seen { record: None, since: start };
    seen.observe(start, record("1999-01-01T00:00:00Z"));
    assert_eq!(decide(start, &seen, 0, &config("me")), Action::Wait(Duration::from_secs(2)), "a clock that is behind ends no lease");
    seen.observe(start + Duration::from_secs(14), record("1999-01-01T00:00:02Z"));
    let later = start + Duration::from_secs(20);
    assert!(matches!(decide(later, &seen, 0, &config("me")), Action::Wait(_)), "a change is a sign of life");
    seen.observe(later, record("1999-01-01T00:00:02Z"));
    assert_eq!(decide(start + Duration::from_secs(29), &seen, 0, &config("me")), Action::Take { epoch: 2 });
}

/// One row: who holds the Lease and for how long others are to wait, each look at it (the second of our own monotonic clock, and the
/// renewTime that stood there), when it is decided, and what. On our wall the clock says 12:00:00 at second 0.
type Row = (&'static str, Option<&'static str>, Option<u64>, &'static [(u64, Option<&'static str>)], u64, Action);

#[test]
fn a_clock_that_is_half_a_minute_off_decides_nothing() {
    const WAIT: Action = Action::Wait(Duration::from_secs(2));
    const TAKE: Action = Action::Take { epoch: 5 };
    let wait = |seconds| Action::Wait(Duration::from_secs(seconds));
    let other = Some("other");
    let rows: [Row; 20] = [
        ("just seen; by our wall it was over before", other, Some(15), &[(0, Some("11:59:30"))], 0, WAIT),
        ("just seen, renewed right now", other, Some(15), &[(0, Some("12:00:00"))], 0, WAIT),
        ("just seen, renewed in our future", other, Some(15), &[(0, Some("12:00:30"))], 0, WAIT),
        ("silent for almost as long, clock behind", other, Some(15), &[(0, Some("11:59:30")), (14, Some("11:59:30"))], 14, wait(1)),
        ("silent for almost as long, clock ahead", other, Some(15), &[(0, Some("12:00:30")), (14, Some("12:00:30"))], 14, wait(1)),
        ("silent for so long, clock behind", other, Some(15), &[(0, Some("11:59:30")), (15, Some("11:59:30"))], 15, TAKE),
        ("silent for so long, clock right", other, Some(15), &[(0, Some("12:00:00")), (15, Some("12:00:00"))], 15, TAKE),
        ("silent for so long, and still in our future", other, Some(15), &[(0, Some("12:00:30")), (15, Some("12:00:30"))], 15, TAKE),
        ("alive, clock behind", other, Some(15), &[(0, Some("11:59:30")), (14, Some("11:59:44"))], 20, WAIT),
        ("alive, clock ahead", other, Some(15), &[(0, Some("12:00:30")), (14, Some("12:00:44"))], 20, WAIT),
        ("alive, its clock set back a minute", other, Some(15), &[(0, Some("12:00:30")), (14, Some("11:59:44"))], 20, WAIT),
        ("set back, and silent since", other, Some(15), &[(0, Some("12:00:30")), (14, Some("11:59:44"))], 29, TAKE),
        ("seen late: counted from when we saw it", other, Some(15), &[(40, Some("12:00:00"))], 41, WAIT),
        ("it asks for more than we would", other, Some(60), &[(0, Some("11:59:30"))], 45, WAIT),
        ("it asked for more, and that is over", other, Some(60), &[(0, Some("12:00:30"))], 60, TAKE),
        ("it names no duration: ours", other, None, &[(0, Some("12:00:30"))], 15, TAKE),
        ("it never renewed", other, Some(15), &[(0, None)], 14, wait(1)),
        ("it renewed for the first time", other, Some(15), &[(0, None), (10, Some("11:59:40"))], 20, WAIT),
        ("nobody holds it, whatever time it shows", None, Some(15), &[(0, Some("12:00:30"))], 0, TAKE),
        ("we held it, whatever time it shows", Some("me"), Some(15), &[(0, Some("12:00:30"))], 0, TAKE),
    ];
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    for (what, holder, duration, looks, now, decided) in rows {
        let mut seen = Seen { record: None, since: start };
        for (second, renewed) in looks {
            let renewed = renewed.map(|time| format!("2026-01-01T{time}Z").parse().unwrap());
            let (holder, duration) = (holder.map(str::to_owned), duration.map(Duration::from_secs));
            seen.observe(after(*second), Some(Record { holder, transitions: 4, renewed, duration }));
        }
        assert_eq!(decide(after(now), &seen, 0, &config("me")), decided, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_acquisition_has_a_higher_epoch() {
    let server = FakeServer::default();
    let first = acquired(&server, "pod-a", 0).await;
    assert_eq!(first.epoch(), Epoch(1));
    drop(first);
    let again = acquired(&server, "pod-a", 0).await;
    assert_eq!(again.epoch(), Epoch(2), "the same Pod takes over from itself at once, under another epoch");
    again.release().await;
    assert_eq!(server.holder(), (None, 2));
    let other = acquired(&server, "pod-b", 7).await;
    assert_eq!(other.epoch(), Epoch(8), "higher than what the journal has seen");
    assert_eq!(server.holder(), (Some("pod-b".into()), 8));
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_replaced_and_a_living_one_is_not() {
    let server = FakeServer::default();
    let holder = acquired(&server, "pod-a", 0).await;
    let standby = acquired(&server, "pod-b", 0);
    let waited = tokio::time::timeout(Duration::from_secs(120), standby).await;
    assert!(waited.is_err(), "a holder that renews keeps the Lease");
    assert!(!holder.lost().is_cancelled());
    // A crash: nothing is released.
    drop(holder);
    let started = Instant::now();
    let next = acquired(&server, "pod-b", 0).await;
    assert_eq!(next.epoch(), Epoch(2));
    let took = started.elapsed();
    assert!((Duration::from_secs(15)..Duration::from_secs(18)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_an_expired_lease_one_wins() {
    let server = FakeServer::default();
    drop(acquired(&server, "gone", 0).await);
    // Between our read and our write, another takes it.
    let other = |state: &mut State| {
        let mut lease = state.lease.clone().unwrap();
        let spec = lease.spec.as_mut().unwrap();
        spec.holder_identity = Some("quicker".into());
        spec.lease_transitions = Some(2);
        state.put(lease);
    };
    server.edit(|lease| lease.spec.as_mut().unwrap().holder_identity = None);
    server.0.lock().unwrap().after_read = Some(Box::new(other));
    let waited = tokio::time::timeout(Duration::from_secs(10), acquired(&server, "slower", 0)).await;
    assert!(waited.is_err(), "the PUT by the old resourceVersion was refused, and the winner is respected");
    assert_eq!(server.holder(), (Some("quicker".into()), 2));
}

#[tokio::test(start_paused = true)]
async fn a_holder_stops_before_another_may_start() {
    let server = FakeServer::default();
    let held = acquired(&server, "pod-a", 0).await;
    let started = Instant::now();
    server.0.lock().unwrap().down = true;
    held.lost().cancelled().await;
    let took = started.elapsed();
    assert!(took <= Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_end_leadership() {
    let server = FakeServer::default();
    let held = acquired(&server, "pod-a", 0).await;
    for _ in 0..5 {
        server.0.lock().unwrap().down = true;
        tokio::time::sleep(Duration::from_secs(6)).await;
        server.0.lock().unwrap().down = false;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert!(!held.lost().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_replaced_learns_it_by_its_next_renewal() {
    let server = FakeServer::default();
    let held = acquired(&server, "pod-a", 0).await;
    server.edit(|lease| {
        let spec = lease.spec.as_mut().unwrap();
        spec.holder_identity = Some("pod-b".into());
        spec.lease_transitions = Some(2);
    });
    let started = Instant::now();
    held.lost().cancelled().await;
    assert!(started.elapsed() <= Duration::from_secs(2));
    held.release().await;
    assert_eq!(server.holder(), (Some("pod-b".into()), 2), "what is lost is not released");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_ends_leadership() {
    let server = FakeServer::default();
    let held = acquired(&server, "pod-a", 0).await;
    server.0.lock().unwrap().lease = None;
    held.lost().cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_label_or_a_lost_answer_does_not_end_leadership() {
    let server = FakeServer::default();
    let held = acquired(&server, "pod-a", 0).await;
    server.edit(|lease| lease.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    server.0.lock().unwrap().swallow_next_answer = true;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!held.lost().is_cancelled());
    assert_eq!(server.holder(), (Some("pod-a".into()), 1));
}

#[tokio::test(start_paused = true)]
async fn a_first_write_whose_answer_was_lost_is_taken_over() {
    let server = FakeServer::default();
    server.0.lock().unwrap().swallow_next_answer = true;
    let held = acquired(&server, "pod-a", 0).await;
    assert_eq!(held.epoch(), Epoch(2), "what went through unseen is fenced like any predecessor");
}

#[tokio::test(start_paused = true)]
async fn bad_settings_are_refused_at_once() {
    let server = FakeServer::default();
    let bad = |edit: fn(&mut LeaseConfig)| {
        let mut config = config("pod-a");
        edit(&mut config);
        acquire(server.client(), config, Epoch(0))
    };
    assert!(matches!(bad(|c| c.renew_deadline = c.duration).await, Err(LeaseError::Times { .. })));
    assert!(matches!(bad(|c| c.retry_period = Duration::ZERO).await, Err(LeaseError::Times { .. })));
    assert!(matches!(bad(|c| c.identity.clear()).await, Err(LeaseError::NoIdentity)));
    let floor = acquire(server.client(), config("pod-a"), Epoch(u64::MAX)).await;
    assert!(matches!(floor, Err(LeaseError::EpochTooHigh { .. })), "{floor:?}");
    assert_eq!(server.0.lock().unwrap().writes, 0);
}
