//! Between the simulated venue and the account: each word is booked, counted and judged before the venue goes on.

use std::collections::VecDeque;

use super::hash::ResultHash;
use super::record::{FillRecord, Record, Stop};
use super::tally::Tally;
use crate::account::Account;
use crate::instrument::{Fee, Liquidity};
use crate::number::{Overflow, Price, Qty};
use crate::order::{ClientId, Order, OrderEvent};
use crate::risk::{Guard, LatchStore, Trip};
use crate::time::Time;
use crate::venue::{Desk, Funds, VenueError};

pub(super) struct BacktestDesk<'a, L, R> {
    pub(super) now: Time,
    pub(super) account: &'a mut Account,
    /// The account as the venue has it.
    pub(super) funds: &'a mut Funds,
    pub(super) guard: &'a mut Guard<L>,
    pub(super) record: &'a mut R,
    pub(super) hash: &'a mut ResultHash,
    pub(super) tally: &'a mut Tally,
    /// What the strategy will be told.
    pub(super) words: &'a mut VecDeque<(ClientId, OrderEvent)>,
    /// Words that are not here yet, by the time at which they will be.
    pub(super) returning: &'a mut VecDeque<(Time, ClientId, OrderEvent)>,
    /// How long a word takes from the venue to us.
    pub(super) back_ns: i64,
    /// Whether the last mark knows as much as a fill does. A fill within a bar is valued once the close of that bar is accepted.
    pub(super) marked: bool,
    /// Whether a fill stopped trading.
    pub(super) tripped: &'a mut bool,
}

impl<L: LatchStore, R: Record> BacktestDesk<'_, L, R> {
    fn filled(&mut self, id: ClientId, event: &OrderEvent) -> Result<(), VenueError> {
        let settled = self.account.order_event(self.now, id, event)?;
        let (Some(booked), OrderEvent::Fill(fill)) = (settled.booked, event) else { return Ok(()) };
        let Some(tracked) = self.account.order(id) else { return Ok(()) };
        // An overflow in a counter has halted the guard, which is all that there is to do about it.
        let _ = self.guard.on_fill(self.now, self.account, tracked, fill, &settled);
        let order = tracked.order;
        let (at, realised) = (self.now, booked.realised);
        let record = FillRecord { at, order: id, instrument: order.instrument, side: order.side, fill: *fill, realised };
        self.hash.fill(&record);
        self.record.fill(&record);
        self.tally.fills += 1;
        self.tally.fees = self.tally.fees.plus(fill.fee.in_quote)?;
        let notional = self.account.universe().get(order.instrument).notional(fill.price, fill.qty)?;
        self.tally.turnover = self.tally.turnover.plus(notional)?;
        if let Some(trip) = booked.closed {
            self.tally.trip(trip)?;
        }
        if !self.marked {
            return Ok(());
        }
        match self.guard.on_equity(self.now, self.account) {
            Trip::None => {}
            Trip::Reduce(denial) | Trip::Halt(denial) => {
                *self.tripped = true;
                self.record.stopped(&Stop { at, denial });
            }
        }
        Ok(())
    }
}

impl<L: LatchStore, R: Record> Desk for BacktestDesk<'_, L, R> {
    fn affordable(&self, order: &Order, price: Price) -> Result<Qty, Overflow> {
        self.funds.affordable(self.account, order, price)
    }

    fn fee(&self, order: &Order, price: Price, qty: Qty, liquidity: Liquidity) -> Result<Fee, Overflow> {
        self.funds.fee(self.account, order, (price, qty), liquidity)
    }

    fn tell(&mut self, id: ClientId, event: OrderEvent) -> Result<(), VenueError> {
        self.funds.said(self.account, id, &event)?;
        if self.back_ns <= 0 {
            return self.hear(id, event);
        }
        // A word never overtakes the one before it: it came by the same line.
        let due = self.now.plus_ns(self.back_ns).max(self.returning.back().map_or(Time(i64::MIN), |(due, ..)| *due));
        self.returning.push_back((due, id, event));
        Ok(())
    }
}

impl<L: LatchStore, R: Record> BacktestDesk<'_, L, R> {
    /// Takes in a word that has arrived.
    pub(super) fn hear(&mut self, id: ClientId, event: OrderEvent) -> Result<(), VenueError> {
        match event {
            OrderEvent::Fill(_) => self.filled(id, &event)?,
            OrderEvent::Rejected(_) => {
                self.account.order_event(self.now, id, &event)?;
                self.guard.on_venue_error(self.now);
            }
            OrderEvent::Accepted
            | OrderEvent::Triggered
            | OrderEvent::Reduced { .. }
            | OrderEvent::Cancelled
            | OrderEvent::Expired
            | OrderEvent::CancelRejected => {
                self.account.order_event(self.now, id, &event)?;
            }
        }
        self.words.push_back((id, event));
        Ok(())
    }
}
