//! Leadership: a Lease that one operator holds, and the epoch that fences all others.
//!
//! Architecture invariant: the Lease is only ever written by PUT with the resourceVersion that was read, so of two that want it one gets a
//! conflict. (`of_two_that_take_an_expired_lease_one_wins`)
//!
//! Architecture invariant: another's clock is never read. A holder is given up when its record has not changed for the lease's duration on
//! our own monotonic clock. (`another_holders_clock_is_never_read`)
//!
//! Architecture invariant: every acquisition has an epoch higher than any before it, even by the same identity: a restarted container
//! fences what its predecessor may still have in flight. (`every_acquisition_has_a_higher_epoch`)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use reeve_core::class::Class;
use reeve_core::journal::Epoch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::rules::{Action, Record, Seen, decide, vouched_until};
use super::classify;
use crate::telemetry::{Event, LeaseEnded, LeaseTaken, LeaseTrouble};

/// Which Lease, for whom, and how long each step may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: the Pod's UID, so that a restarted container takes over from itself at once.
    pub identity: String,
    /// After so long without a change by its holder a Lease may be taken.
    pub duration: Duration,
    /// After so long without a renewal that went through, the holder stops all work. Shorter than `duration`: the holder stops first.
    pub renew_deadline: Duration,
    /// Between two tries.
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// The times of Kubernetes' own controllers: 15 s, 10 s, 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> LeaseConfig {
        LeaseConfig {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why a Lease cannot be had, whatever the time.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The times contradict each other.
    #[error(
        "expected 0 < retry period < renew deadline < lease duration, found {retry_period:?}, {renew_deadline:?}, {duration:?}: a holder must \
         stop before another may start"
    )]
    Times {
        /// Between two tries.
        retry_period: Duration,
        /// Until the holder stops.
        renew_deadline: Duration,
        /// Until another may start.
        duration: Duration,
    },
    /// An empty identity means "nobody".
    #[error("expected the Pod's UID as the identity, found nothing: set REEVE_POD_UID by the downward API (metadata.uid)")]
    NoIdentity,
    /// Kubernetes counts transitions in 31 bits.
    #[error("epoch {epoch} does not fit into leaseTransitions (at most 2147483647): the journal or the Lease was tampered with")]
    EpochTooHigh {
        /// The epoch that would be next.
        epoch: u64,
    },
}

impl LeaseError {
    /// What kind of trouble it is.
    pub const fn class(&self) -> Class {
        match self {
            LeaseError::Times { .. } | LeaseError::NoIdentity | LeaseError::EpochTooHigh { .. } => Class::Invalid,
        }
    }
}

/// Leadership. Drop it to stop renewing at once, or [`Held::release`] it so that the next holder need not wait.
#[derive(Debug)]
pub struct Held {
    epoch: Epoch,
    lost: CancellationToken,
    stop: CancellationToken,
    renewal: JoinHandle<Option<Lease>>,
    api: Api<Lease>,
}

impl Held {
    /// What every journal row and sandbox session carries.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Fires when leadership is gone or can no longer be vouched for: all work stops, and the process ends.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Gives the Lease up, after all work has stopped. Best effort: if it fails, others wait for the lease's duration.
    pub async fn release(mut self) {
        self.stop.cancel();
        let Ok(Some(mut lease)) = (&mut self.renewal).await else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let name = lease.metadata.name.clone().unwrap_or_default();
        match self.api.replace(&name, &PostParams::default(), &lease).await {
            Ok(_) => LeaseEnded { released: true }.emit(),
            Err(error) => LeaseTrouble { doing: "releasing", error: &error.to_string() }.emit(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stop.cancel();
        self.lost.cancel();
    }
}

/// Waits until the Lease is ours, however long that takes; trouble on the way is logged and tried again. Safe to drop.
///
/// `floor` is the highest epoch that the journal has seen: the new one is higher, even when someone deleted the Lease.
///
/// # Errors
/// [`LeaseError`]: waiting would not help.
pub async fn acquire(client: Client, config: LeaseConfig, floor: Epoch) -> Result<Held, LeaseError> {
    let LeaseConfig { duration, renew_deadline, retry_period, .. } = config;
    if retry_period.is_zero() || retry_period >= renew_deadline || renew_deadline >= duration {
        return Err(LeaseError::Times { retry_period, renew_deadline, duration });
    }
    if config.identity.is_empty() {
        return Err(LeaseError::NoIdentity);
    }
    let api: Api<Lease> = Api::namespaced(client, &config.namespace);
    let mut seen = Seen { record: None, since: Instant::now() };
    loop {
        let wait = match attempt(&api, &config, floor, &mut seen).await? {
            Attempt::Got { lease, epoch, asked } => return Ok(hold(api, config, *lease, epoch, asked)),
            Attempt::Wait(wait) => wait,
        };
        tokio::time::sleep(wait).await;
    }
}

enum Attempt {
    Got { lease: Box<Lease>, epoch: Epoch, asked: Instant },
    Wait(Duration),
}

async fn attempt(api: &Api<Lease>, config: &LeaseConfig, floor: Epoch, seen: &mut Seen) -> Result<Attempt, LeaseError> {
    let pause = Attempt::Wait(config.retry_period);
    let found = match in_time(config.renew_deadline, api.get_opt(&config.name)).await {
        Ok(found) => found,
        Err(trouble) => {
            trouble.emit("reading");
            return Ok(pause);
        }
    };
    seen.observe(Instant::now(), found.as_ref().map(Record::of));
    let epoch = match decide(Instant::now(), seen, floor.0, config) {
        Action::Wait(wait) => return Ok(Attempt::Wait(wait)),
        Action::Create { epoch } | Action::Take { epoch } => epoch,
    };
    let wanted = taken(found.clone().unwrap_or_default(), config, epoch)?;
    let asked = Instant::now();
    let parameters = PostParams::default();
    let written = match found {
        None => in_time(config.renew_deadline, api.create(&parameters, &wanted)).await,
        Some(_) => in_time(config.renew_deadline, api.replace(&config.name, &parameters, &wanted)).await,
    };
    match written {
        Ok(lease) => Ok(Attempt::Got { lease: Box::new(lease), epoch: Epoch(epoch), asked }),
        // Someone was first, or our own request went through and its answer did not: the next look tells.
        Err(Trouble::Conflict(_)) => Ok(Attempt::Wait(Duration::ZERO)),
        Err(trouble @ (Trouble::Gone(_) | Trouble::Other(_))) => {
            trouble.emit("taking");
            Ok(pause)
        }
    }
}

/// The Lease as we want it, on top of what was read: its resourceVersion is what guards the write.
fn taken(mut lease: Lease, config: &LeaseConfig, epoch: u64) -> Result<Lease, LeaseError> {
    let transitions = i32::try_from(epoch).map_err(|_| LeaseError::EpochTooHigh { epoch })?;
    let now = MicroTime(Timestamp::now());
    lease.metadata.name = Some(config.name.clone());
    lease.metadata.namespace = Some(config.namespace.clone());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: Some(i32::try_from(config.duration.as_secs()).unwrap_or(i32::MAX)),
        lease_transitions: Some(transitions),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        preferred_holder: None,
        strategy: None,
    });
    Ok(lease)
}

fn hold(api: Api<Lease>, config: LeaseConfig, lease: Lease, epoch: Epoch, asked: Instant) -> Held {
    LeaseTaken { epoch: epoch.0, identity: &config.identity }.emit();
    let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
    let renewing = renew(api.clone(), config, lease, asked, stop.clone());
    let fires = lost.clone();
    let renewal = tokio::spawn(async move {
        let kept = renewing.await;
        if kept.is_none() {
            fires.cancel();
            LeaseEnded { released: false }.emit();
        }
        kept
    });
    Held { epoch, lost, stop, renewal, api }
}

/// Renews until told to stop (answers the Lease as last written) or until leadership is gone (answers none).
async fn renew(api: Api<Lease>, config: LeaseConfig, mut lease: Lease, asked: Instant, stop: CancellationToken) -> Option<Lease> {
    let mut good_until = vouched_until(asked, &config);
    loop {
        let pause = config.retry_period.min(good_until.saturating_duration_since(Instant::now()));
        tokio::select! {
            biased;
            () = stop.cancelled() => return Some(lease),
            () = tokio::time::sleep(pause) => {}
        }
        let now = Instant::now();
        let left = good_until.saturating_duration_since(now);
        if left.is_zero() {
            LeaseTrouble { doing: "renewing", error: "the renewal deadline has passed; leadership is given up" }.emit();
            return None;
        }
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        match in_time(left, api.replace(&config.name, &PostParams::default(), &lease)).await {
            Ok(written) => {
                lease = written;
                good_until = vouched_until(now, &config);
            }
            Err(Trouble::Conflict(_)) => match still_ours(&api, &config, &lease, good_until).await {
                Still::Ours(current) => lease = *current,
                Still::Unknown => {}
                Still::Lost => return None,
            },
            Err(trouble @ Trouble::Gone(_)) => {
                trouble.emit("renewing: the Lease was deleted");
                return None;
            }
            Err(trouble @ Trouble::Other(_)) => trouble.emit("renewing"),
        }
    }
}

enum Still {
    Ours(Box<Lease>),
    Unknown,
    Lost,
}

/// After a conflict: did someone take the Lease, or only touch it (a label, or our own write whose answer was lost)?
async fn still_ours(api: &Api<Lease>, config: &LeaseConfig, ours: &Lease, good_until: Instant) -> Still {
    let left = good_until.saturating_duration_since(Instant::now());
    match in_time(left, api.get(&config.name)).await {
        Ok(current) => {
            let (held, found) = (Record::of(ours), Record::of(&current));
            if held.same_leadership(&found) {
                return Still::Ours(Box::new(current));
            }
            let taken = format!("{} holds it under epoch {}", found.holder.as_deref().unwrap_or("nobody"), found.transitions);
            LeaseTrouble { doing: "renewing", error: &taken }.emit();
            Still::Lost
        }
        Err(trouble @ Trouble::Gone(_)) => {
            trouble.emit("renewing: the Lease was deleted");
            Still::Lost
        }
        Err(trouble @ (Trouble::Conflict(_) | Trouble::Other(_))) => {
            trouble.emit("renewing");
            Still::Unknown
        }
    }
}

/// What went wrong with one request.
enum Trouble {
    Conflict(String),
    Gone(String),
    Other(String),
}

impl Trouble {
    fn emit(&self, doing: &'static str) {
        let (Trouble::Conflict(error) | Trouble::Gone(error) | Trouble::Other(error)) = self;
        LeaseTrouble { doing, error }.emit();
    }
}

async fn in_time<T>(limit: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Trouble::Gone(status.message.clone())),
        Ok(Err(error)) if classify(&error) == Class::Conflict => Err(Trouble::Conflict(error.to_string())),
        Ok(Err(error)) => Err(Trouble::Other(error.to_string())),
        Err(_) => Err(Trouble::Other(format!("no answer from the API server within {limit:?}"))),
    }
}

#[cfg(test)]
mod models;
mod rules;
pub(crate) use rules::may_claim;
#[cfg(test)]
mod tests;
