//! How long to wait before an object is tried again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// First wait.
const BASE: Duration = Duration::from_millis(500);
/// Longest wait: what a person who has just repaired something will put up with.
const CEILING: Duration = Duration::from_secs(60);

/// Exponential backoff with jitter, one count an object. Objects without failures take no room.
#[derive(Debug, Default)]
pub struct Backoff<K: Ord> {
    failures: Mutex<BTreeMap<K, u32>>,
}

impl<K: Ord> Backoff<K> {
    /// Counts one more failure, and says how long to wait: between half of the step and all of it, where steps double from half a second
    /// to a minute.
    ///
    /// `chance` is a number from 0 to 1 (1 is not reached), drawn by the caller.
    pub fn failed(&self, key: K, chance: f64) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(key).or_insert(0);
        let step = BASE.saturating_mul(1 << (*count).min(16)).min(CEILING);
        *count = count.saturating_add(1);
        step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// Forgets the failures: it went well, or the object is gone.
    pub fn reset(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, u32>> {
        // A count is whole at any instant, so a panic elsewhere leaves nothing half done.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_success() {
        let backoff = Backoff::default();
        let waits: Vec<Duration> = (0..10).map(|_| backoff.failed("a", 1.0)).collect();
        let seconds: Vec<f64> = waits.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert_eq!(backoff.failed("b", 0.0), Duration::from_millis(250), "objects do not share a count, and chance takes off half at most");
        backoff.reset(&"a");
        assert_eq!(backoff.failed("a", 1.0), Duration::from_millis(500));
    }

    #[test]
    fn a_million_failures_do_not_overflow() {
        let backoff = Backoff::default();
        assert!((0..1_000_000).all(|_| backoff.failed("a", 0.5) <= CEILING));
    }
}
