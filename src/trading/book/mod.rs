//! The order book of one instrument, kept by the exchange's own procedure.
//!
//! Guarantees: a synced book is what the venue had at [`Book::last_id`]; updates that are missing make it a gap, not a guess.

mod ladder;
mod waiting;

use ladder::Ladder;
use waiting::Waiting;

use crate::account::BookState;
use crate::event::{BookChange, Level, Quote};
use crate::number::{Price, Qty};
use crate::order::Side;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the book.
    Changed,
    /// It is older than the book: nothing changed.
    Old,
    /// It waits for a snapshot.
    Waiting,
    /// Updates between the book and it are missing: the book is unknown until the next snapshot.
    Gap,
    /// A snapshot older than the first change that waits: the venue has to be asked for another.
    SnapshotTooOld,
}

/// An order book.
///
/// By Binance's procedure for diff streams: changes wait for a snapshot; those up to its id are dropped; the first one after it has to
/// cover the id that follows; from then on each has to follow the one before.
#[derive(Clone, Debug)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    last_id: Option<u64>,
    /// Whether updates were found missing since the last snapshot.
    gap: bool,
    waiting: Waiting,
    applied: u64,
    dropped: u64,
}

impl Book {
    /// A book that is not known yet, with room for so many levels a side: what is further from the market is forgotten first.
    pub fn new(levels: usize) -> Book {
        Book {
            bids: Ladder::new(Side::Buy, levels),
            asks: Ladder::new(Side::Sell, levels),
            last_id: None,
            gap: false,
            waiting: Waiting::default(),
            applied: 0,
            dropped: 0,
        }
    }

    /// Takes a snapshot, and then what waited for it.
    pub fn snapshot(&mut self, snapshot: &BookChange<'_>) -> Applied {
        // Were the first waiting change beyond the snapshot, the changes between the two would be missing.
        if self.waiting.first_id().is_some_and(|first| snapshot.last_id.saturating_add(1) < first) {
            return Applied::SnapshotTooOld;
        }
        if self.last_id.is_some_and(|last| snapshot.last_id < last) {
            return Applied::Old;
        }
        self.bids.clear();
        self.asks.clear();
        self.set(snapshot.bids, snapshot.asks);
        self.last_id = Some(snapshot.last_id);
        self.gap = false;
        let waiting = std::mem::take(&mut self.waiting);
        let mut outcome = Applied::Changed;
        waiting.each(|change| {
            if self.delta(change) == Applied::Gap {
                outcome = Applied::Gap;
            }
        });
        outcome
    }

    /// Takes a change.
    pub fn delta(&mut self, change: &BookChange<'_>) -> Applied {
        let Some(last) = self.last_id else {
            self.waiting.push(change);
            return if self.gap { Applied::Gap } else { Applied::Waiting };
        };
        if change.last_id <= last {
            self.dropped += 1;
            return Applied::Old;
        }
        if change.first_id > last.saturating_add(1) {
            self.lose();
            self.waiting.push(change);
            return Applied::Gap;
        }
        self.set(change.bids, change.asks);
        self.last_id = Some(change.last_id);
        self.applied += 1;
        Applied::Changed
    }

    fn set(&mut self, bids: &[Level], asks: &[Level]) {
        bids.iter().for_each(|level| self.bids.set(*level));
        asks.iter().for_each(|level| self.asks.set(*level));
    }

    /// The feed was lost: what the book was is no more known, and it is a gap until the next snapshot, whatever else may still be heard of
    /// the instrument.
    pub fn lose(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.last_id = None;
        self.gap = true;
        self.waiting = Waiting::default();
    }

    /// Whether it may be traded on.
    pub fn state(&self) -> BookState {
        match (self.last_id, self.gap, self.bids.best(), self.asks.best()) {
            (None, true, ..) => BookState::Gap,
            (None, false, ..) => BookState::Absent,
            (Some(_), _, Some(bid), Some(ask)) if bid.price >= ask.price => BookState::Crossed,
            (Some(_), ..) => BookState::Synced,
        }
    }

    /// Best bid and ask, while both are known.
    pub fn quote(&self) -> Option<Quote> {
        let (bid, ask) = (self.bids.best()?, self.asks.best()?);
        Some(Quote { bid: bid.price, bid_qty: bid.qty, ask: ask.price, ask_qty: ask.qty })
    }

    /// Quantity at a price.
    pub fn displayed(&self, side: Side, price: Price) -> Qty {
        self.side(side).at(price)
    }

    /// Levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = &Level> {
        self.side(side).levels()
    }

    /// How many levels a side has.
    pub fn depth(&self, side: Side) -> usize {
        self.side(side).len()
    }

    fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// The last update id that is in it; none while it is not known.
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// Changes that went into it.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Changes that were older than it.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests;
