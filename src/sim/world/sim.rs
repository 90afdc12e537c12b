//! What a world is made of, and what all its parts share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reeve_operator::Keys;
use reeve_store::{Artifacts, MemoryDatabase};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::faults::{Counts, Phase, Plan, Point};
use super::kubelet::Kubelet;
use super::network::Wire;
use super::operator::NAMESPACE as OWN;
use super::oracle::Oracle;
use super::requests::Requests;
use super::sabotage::{Mind, Sabotage};
use super::sandbox::Sandboxes;
use super::tale::Tale;
use crate::api::ApiServer;

/// When every world begins.
pub(crate) const BEGAN: Timestamp = Timestamp::constant(1_790_000_000, 0);

/// The world as data.
pub(crate) struct Sim {
    pub(crate) seed: u64,
    /// Namespaces that the operator watches; none: all.
    pub(crate) watches: Vec<String>,
    pub(crate) api: ApiServer,
    pub(crate) wire: Wire,
    pub(crate) kubelet: Kubelet,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) plan: Plan,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) mind: Mind,
    pub(crate) counts: Counts,
    pub(crate) requests: Requests,
    pub(crate) oracle: Oracle,
    pub(crate) tale: Tale,
    pub(crate) end: End,
    /// The operator that lived last has ended by itself.
    pub(crate) gave_up: bool,
    /// Until then the journal refuses every append.
    pub(crate) no_rows_until_ms: u64,
    pace: Pace,
}

/// How far the operator is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It lives.
    None,
    /// It does what it can do at once, and no more.
    Near,
    /// Nothing that it does counts any more.
    Now,
}

/// Virtual time of the runtime that lives now.
#[derive(Clone, Copy, Debug)]
struct Pace {
    began_ms: u64,
    since: Option<Instant>,
}

impl Sim {
    /// Milliseconds since the world began. Only inside of the runtime that lives.
    pub(crate) fn now_ms(&self) -> u64 {
        let gone = self.pace.since.map_or(0, |since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.pace.began_ms.saturating_add(gone)
    }

    /// Whether the operator is to see to this object. What rules everywhere from its own namespace is seen to always.
    pub(crate) fn watched(&self, key: &str) -> bool {
        let mut parts = key.split('/').skip(1);
        let (plural, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let rules = namespace == OWN && matches!(plural, "policysets" | "killswitches");
        self.watches.is_empty() || rules || self.watches.iter().any(|watched| watched == namespace)
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        time_of(self.now_ms())
    }

    /// A new runtime lives from here on.
    pub(crate) fn paced_from(&mut self, began_ms: u64) {
        self.pace = Pace { began_ms, since: Some(Instant::now()) };
    }

    /// Counts a point, and says whether the operator ends here.
    pub(crate) fn pass(&mut self, point: Point) -> Option<Phase> {
        let number = self.counts.pass(point);
        self.plan.crash(point, number)
    }
}

/// The time of day of a moment.
pub(crate) fn time_of(ms: u64) -> Timestamp {
    BEGAN.saturating_add(SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))).unwrap_or(BEGAN)
}

/// A world that its parts share.
pub(crate) struct Shared {
    sim: Mutex<Sim>,
    /// Rung when something is to be carried.
    pub(crate) rung: Notify,
    /// Rung when something has happened.
    pub(crate) changed: Notify,
    /// Rung when the operator ends.
    pub(crate) ended: Notify,
    pub(crate) journal: MemoryDatabase,
    pub(crate) artifacts: Artifacts,
    /// What the operator signs with, in a world whose journal is signed.
    pub(crate) keys: Option<Keys>,
}

impl Shared {
    pub(crate) fn new(seed: u64, api: ApiServer, plan: Plan, keys: Option<Keys>, watches: &[String]) -> Arc<Shared> {
        let sim = Sim {
            seed,
            watches: watches.to_vec(),
            api,
            wire: Wire::default(),
            kubelet: Kubelet::default(),
            sandboxes: Sandboxes::default(),
            plan,
            sabotage: None,
            mind: Mind::default(),
            counts: Counts::default(),
            requests: Requests::default(),
            oracle: Oracle::default(),
            tale: Tale::default(),
            end: End::None,
            gave_up: false,
            no_rows_until_ms: 0,
            pace: Pace { began_ms: 0, since: None },
        };
        Arc::new(Shared {
            sim: Mutex::new(sim),
            rung: Notify::new(),
            changed: Notify::new(),
            ended: Notify::new(),
            journal: MemoryDatabase::new(),
            artifacts: Artifacts::in_memory(),
            keys,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator ends, at once.
    pub(crate) fn kill(&self, sim: &mut Sim) {
        sim.end = End::Now;
        self.ended.notify_one();
    }

    /// As [`Shared::kill`], for who does not hold the world.
    pub(crate) fn kill_now(&self) {
        self.kill(&mut self.lock());
    }

    /// The operator ends when it has done what it can do at once.
    pub(crate) fn kill_soon(&self, sim: &mut Sim) {
        if sim.end == End::None {
            sim.end = End::Near;
            self.rung.notify_one();
        }
    }
}
