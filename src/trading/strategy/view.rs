//! What a strategy may know of its account.

use crate::account::Account;
use crate::instrument::{Instrument, InstrumentId};
use crate::number::{Money, Qty};
use crate::order::{StrategyTag, Tracked};
use crate::time::Time;

/// The account as it is when an event arrives: its fills are booked, its orders are as the venue last said.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    account: &'a Account,
    strategy: StrategyTag,
    now: Time,
}

impl<'a> View<'a> {
    pub(crate) fn new(account: &'a Account, strategy: StrategyTag, now: Time) -> View<'a> {
        View { account, strategy, now }
    }

    /// The time of the event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// An instrument.
    pub fn instrument(&self, at: InstrumentId) -> &'a Instrument {
        self.account.universe().get(at)
    }

    /// Whole lots held, negative when short.
    pub fn position(&self, at: InstrumentId) -> Qty {
        // A position that has no number of lots has halted the run before.
        self.account.lots(at)
    }

    /// Equity at the last accepted marks.
    pub fn equity(&self) -> Option<Money> {
        self.account.equity()
    }

    /// Its open orders on an instrument, in the order in which they were sent.
    pub fn open_orders(&self, at: InstrumentId) -> impl Iterator<Item = &'a Tracked> + use<'a> {
        let strategy = self.strategy;
        self.account.orders().open().filter(move |open| open.order.instrument == at && open.order.id.strategy == strategy)
    }

    /// Whether it has an open order on an instrument.
    pub fn is_waiting(&self, at: InstrumentId) -> bool {
        self.open_orders(at).next().is_some()
    }
}
