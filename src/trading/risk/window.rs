//! Things counted over a rolling time.

use std::collections::VecDeque;

use super::limits::CountIn;
use crate::time::{NS_PER_MS, Time};

/// The times of the last things, as many as a limit allows: more are never needed to say whether it is reached.
#[derive(Clone, Debug)]
pub(super) struct Window {
    limit: CountIn,
    times: VecDeque<Time>,
}

/// A window longer than this many things keeps its memory as they come.
const ASKED_AT_ONCE: usize = 1_024;

impl Window {
    pub(super) fn new(limit: CountIn) -> Window {
        Window { limit, times: VecDeque::with_capacity((limit.count as usize).min(ASKED_AT_ONCE)) }
    }

    /// How many are less than a window old, up to the limit.
    pub(super) fn count(&self, now: Time) -> u64 {
        let window_ns = self.limit.window_ms.saturating_mul(NS_PER_MS);
        // Newest last: when the oldest is inside, all are.
        match self.times.front() {
            Some(oldest) if now.since(*oldest) < window_ns => self.times.len() as u64,
            Some(_) | None => self.times.iter().rev().take_while(|time| now.since(**time) < window_ns).count() as u64,
        }
    }

    /// Whether the limit is reached: one more would pass it.
    #[inline]
    pub(super) fn is_full(&self, now: Time) -> bool {
        // No more than the limit are kept, so it is reached exactly when the oldest of as many is inside.
        let window_ns = self.limit.window_ms.saturating_mul(NS_PER_MS);
        self.times.len() >= self.limit.count as usize && self.times.front().is_some_and(|oldest| now.since(*oldest) < window_ns)
    }

    pub(super) fn push(&mut self, now: Time) {
        if self.times.len() >= self.limit.count as usize {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    pub(super) fn limit(&self) -> CountIn {
        self.limit
    }
}
