//! Changes that wait for a snapshot.

use std::collections::VecDeque;

use crate::event::{BookChange, Level};

/// Changes that are kept: at ten a second more than a minute and a half, far longer than a snapshot takes. Older ones go, and then the
/// snapshot is found too old.
const MAX_CHANGES: usize = 1_000;
/// Levels that are kept, of all changes together: 16 MB, a hundred times what a busy minute brings. One change may be a megabyte of levels,
/// and a feed that sends nothing else is not to fill the memory.
const MAX_LEVELS: usize = 1_000_000;

#[derive(Clone, Debug)]
struct Kept {
    first_id: u64,
    last_id: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Kept {
    fn levels(&self) -> usize {
        self.bids.len() + self.asks.len()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    changes: VecDeque<Kept>,
    levels: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, change: &BookChange<'_>) {
        let kept = Kept { first_id: change.first_id, last_id: change.last_id, bids: change.bids.to_vec(), asks: change.asks.to_vec() };
        self.levels += kept.levels();
        self.changes.push_back(kept);
        // The newest one stays, whatever its size: a line of input is bounded.
        while self.changes.len() > MAX_CHANGES || (self.levels > MAX_LEVELS && self.changes.len() > 1) {
            self.levels -= self.changes.pop_front().map_or(0, |oldest| oldest.levels());
        }
    }

    /// How many levels wait.
    #[cfg(test)]
    pub(super) fn levels(&self) -> usize {
        self.levels
    }

    pub(super) fn first_id(&self) -> Option<u64> {
        self.changes.front().map(|change| change.first_id)
    }

    pub(super) fn each(self, mut take: impl FnMut(&BookChange<'_>)) {
        for Kept { first_id, last_id, bids, asks } in &self.changes {
            take(&BookChange { first_id: *first_id, last_id: *last_id, bids, asks });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Price, Qty};

    #[test]
    fn a_feed_of_huge_changes_and_no_snapshot_fills_no_memory() {
        let levels: Vec<Level> = (1..=100_000).map(|price| Level { price: Price(price), qty: Qty(1) }).collect();
        let mut waiting = Waiting::default();
        for id in 1..=50 {
            waiting.push(&BookChange { first_id: id, last_id: id, bids: &levels, asks: &[] });
            assert!(waiting.levels() <= MAX_LEVELS);
        }
        assert_eq!((waiting.levels(), waiting.first_id()), (MAX_LEVELS, Some(41)), "the newest stay");
    }
}
