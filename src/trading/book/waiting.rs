//! Changes that wait for a snapshot.

use std::collections::VecDeque;

use crate::event::{BookChange, Level};

/// Changes that are kept: at ten a second more than a minute and a half, far longer than a snapshot takes. Older ones go, and then the
/// snapshot is found too old.
const MAX_CHANGES: usize = 1_000;

#[derive(Clone, Debug)]
struct Kept {
    first_id: u64,
    last_id: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    changes: VecDeque<Kept>,
}

impl Waiting {
    pub(super) fn push(&mut self, change: &BookChange<'_>) {
        if self.changes.len() >= MAX_CHANGES {
            self.changes.pop_front();
        }
        let (bids, asks) = (change.bids.to_vec(), change.asks.to_vec());
        self.changes.push_back(Kept { first_id: change.first_id, last_id: change.last_id, bids, asks });
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
