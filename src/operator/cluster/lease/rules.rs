//! What decides about a Lease. Reads nothing but its arguments; `models.rs` explores these very functions.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use reeve_core::journal::Epoch;
use tokio::time::Instant;

use super::LeaseConfig;

/// What a Lease says, as far as it decides anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    /// None: nobody.
    pub(super) holder: Option<String>,
    pub(super) transitions: u64,
    /// Compared for change only, never with a clock.
    pub(super) renewed: Option<Timestamp>,
    /// What the holder asks others to wait.
    pub(super) duration: Option<Duration>,
}

impl Record {
    pub(super) fn of(lease: &Lease) -> Record {
        let spec = lease.spec.as_ref();
        let positive = |seconds: i32| u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Record {
            holder: spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty()),
            transitions: spec.and_then(|spec| spec.lease_transitions).and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
            renewed: spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0),
            duration: spec.and_then(|spec| spec.lease_duration_seconds).and_then(positive),
        }
    }

    /// Whether both are of one leadership: the same holder, and nobody's in between.
    pub(super) fn same_leadership(&self, other: &Record) -> bool {
        (&self.holder, self.transitions) == (&other.holder, other.transitions)
    }
}

/// The record, and since when we know it unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) record: Option<Record>,
    pub(super) since: Instant,
}

impl Seen {
    pub(super) fn observe(&mut self, now: Instant, record: Option<Record>) {
        if self.record != record {
            *self = Seen { record, since: now };
        }
    }
}

/// What to do about a Lease that is not ours yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// There is none: make it.
    Create { epoch: u64 },
    /// It is free, ours from before, or its holder is silent: take it.
    Take { epoch: u64 },
    /// Its holder lives, as far as we know. Look again after this.
    Wait(Duration),
}

/// Decides on what was seen.
pub(super) fn decide(now: Instant, seen: &Seen, floor: u64, config: &LeaseConfig) -> Action {
    let Some(record) = &seen.record else {
        return Action::Create { epoch: floor.saturating_add(1) };
    };
    let take = Action::Take { epoch: record.transitions.max(floor).saturating_add(1) };
    match &record.holder {
        None => take,
        Some(holder) if *holder == config.identity => take,
        Some(_) => {
            let patience = record.duration.unwrap_or(config.duration);
            let left = patience.saturating_sub(now.saturating_duration_since(seen.since));
            if left.is_zero() { take } else { Action::Wait(left.min(config.retry_period)) }
        }
    }
}

/// Until when a holder may act whose write went through: counted from when it asked, not from when it was answered, since others may have
/// seen the change at any instant between.
pub(super) fn vouched_until(asked: Instant, config: &LeaseConfig) -> Instant {
    asked + config.renew_deadline
}

/// Whether an epoch that the Lease gave may be claimed in a journal that has seen this one. The Lease alone does not make it ours: someone
/// may have deleted the Lease of a holder that had written nothing yet, and then two were given the same.
pub(crate) fn may_claim(epoch: Epoch, highest: Epoch) -> bool {
    epoch > highest
}
