//! What an operator takes from its surroundings, other than the API server and its disk: the time of day, chance, the way to a sandbox.
//!
//! Architecture invariant: nothing else in this crate asks for any of these, so a simulation that gives all of them decides the whole run.
//! (`tests/architecture.rs`: `time_and_chance_come_from_the_surroundings`)

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::sandbox::exec;

/// All of it. [`Surroundings::real`] is what production has.
#[derive(Clone)]
pub struct Surroundings {
    /// The time of day.
    pub clock: Clock,
    /// Chance.
    pub chance: Chance,
    /// The way to a sandbox.
    pub streams: Arc<dyn Streams>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("clock", &self.clock).field("chance", &self.chance).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// This machine's clock and chance, and exec by way of the API server.
    #[must_use]
    pub fn real(client: Client) -> Surroundings {
        Surroundings { clock: Clock::System, chance: Chance::System, streams: Arc::new(Exec(client)) }
    }
}

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// This machine.
    System,
    /// It was `began` at `since`, and goes on as tokio's clock does: under a paused one, only when nothing is left to do.
    Paced {
        /// The time of day at `since`.
        began: Timestamp,
        /// A moment of tokio's clock.
        since: Instant,
    },
}

impl Clock {
    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => Timestamp::now(),
            // Past the end of time it stands still.
            Clock::Paced { began, since } => began.saturating_add(since.elapsed()).unwrap_or(*began),
        }
    }
}

/// Where jitter comes from. It needs no secrecy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// The random keys of a hasher.
    System,
    /// The same for the same seed and subject, in whatever order they are asked for.
    Seeded(u64),
}

impl Chance {
    /// A number from 0 to 1, for this subject.
    #[must_use]
    pub fn of(&self, subject: &str) -> f64 {
        let bits = match self {
            Chance::System => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), subject),
            Chance::Seeded(seed) => subject.bytes().fold(*seed ^ 0xcbf2_9ce4_8422_2325, fnv_1a),
        };
        f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

/// One step of FNV-1a (Fowler, Noll, Vo; 64 bits).
fn fnv_1a(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// An open connection to a sandbox's `reeve tools attach`.
pub struct ByteStream {
    /// What the sandbox says.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// What it is told.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Answers when the connection has ended, and why. Whoever drops it closes the connection.
    pub ended: BoxFuture<'static, String>,
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ByteStream")
    }
}

/// Opens connections to sandboxes.
pub trait Streams: Send + Sync {
    /// Opens one to the sandbox in this Pod, or says why it cannot. The caller bounds the time.
    fn open(&self, namespace: String, pod: String) -> BoxFuture<'static, Result<ByteStream, String>>;
}

/// Exec by way of the API server.
struct Exec(Client);

impl Streams for Exec {
    fn open(&self, namespace: String, pod: String) -> BoxFuture<'static, Result<ByteStream, String>> {
        let client = self.0.clone();
        Box::pin(async move { exec(&client, &namespace, &pod).await })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paced_clock_goes_as_tokios_does() {
        let clock = Clock::Paced { began: Timestamp::UNIX_EPOCH, since: Instant::now() };
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now().as_second(), 90);
    }

    #[test]
    fn seeded_chance_depends_on_seed_and_subject_alone() {
        let of = |seed, subject| Chance::Seeded(seed).of(subject);
        assert!((of(1, "a") - of(1, "a")).abs() < f64::EPSILON);
        assert!((of(1, "a") - of(2, "a")).abs() > f64::EPSILON);
        assert!((0..100).all(|seed| (0.0..=1.0).contains(&of(seed, "subject"))));
    }
}
