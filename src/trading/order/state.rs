//! The life of an order.
//!
//! Venues repeat, reorder and delay what they say. So a state only ever rises, each event is counted once by its execution id, and any
//! order of the same events ends in the same place.

use super::Order;
use super::execs::Execs;
use crate::instrument::{Fee, Liquidity};
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::time::Time;

/// Where an order stands. States are in the order in which one overrules another: events that arrive late never lead down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderState {
    /// Sent; the venue has not said a word.
    Pending,
    /// At the venue.
    Working,
    /// The venue refused it.
    Rejected,
    /// The venue ended it: what an IOC order did not get.
    Expired,
    /// Cancelled, whole or what was left of it.
    Cancelled,
    /// All of it traded.
    Filled,
}

/// Why a venue refuses an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A post-only order would have taken.
    WouldTake,
    /// The account cannot pay for it.
    Funds,
    /// The instrument does not trade.
    NotTrading,
    /// A reduce-only order had nothing to reduce.
    NothingToReduce,
    /// Another reason of the venue's.
    Venue,
}

/// A trade of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The venue's id of it, by which a repetition is known.
    pub exec_id: u64,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// Whether we rested or took.
    pub liquidity: Liquidity,
    /// What it cost.
    pub fee: Fee,
}

/// What a venue says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// It is at the venue.
    Accepted,
    /// It is refused.
    Rejected(Refusal),
    /// Its trigger was reached.
    Triggered,
    /// It traded.
    Fill(Fill),
    /// The other leg of its pair traded: no more than this may trade of it in all.
    Reduced {
        /// What may trade in all.
        to: Qty,
    },
    /// It was cancelled.
    Cancelled,
    /// It ran out of its time in force.
    Expired,
    /// It could not be cancelled: what ended it comes as an event of its own.
    CancelRejected,
}

/// What is left of an order's quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Some of it may still trade.
    Some,
    /// All of it traded.
    Nothing,
    /// Not all of it traded, but no more may: the other leg of its pair took the rest.
    NothingAllowed,
}

impl OrderState {
    /// Whether nothing can be traded any more.
    pub fn is_final(self) -> bool {
        match self {
            OrderState::Pending | OrderState::Working => false,
            OrderState::Rejected | OrderState::Expired | OrderState::Cancelled | OrderState::Filled => true,
        }
    }

    /// The state after an event; `left` says what is left to trade.
    pub fn after(self, event: &OrderEvent, left: Left) -> OrderState {
        let said = match event {
            OrderEvent::Accepted | OrderEvent::Triggered => OrderState::Working,
            OrderEvent::Fill(_) => OrderState::Working,
            OrderEvent::Rejected(_) => OrderState::Rejected,
            OrderEvent::Expired => OrderState::Expired,
            OrderEvent::Cancelled => OrderState::Cancelled,
            OrderEvent::CancelRejected | OrderEvent::Reduced { .. } => self,
        };
        match left {
            Left::Nothing => OrderState::Filled,
            Left::NothingAllowed => self.max(said).max(OrderState::Cancelled),
            Left::Some => self.max(said),
        }
    }

    /// As words and files have it.
    pub fn name(self) -> &'static str {
        match self {
            OrderState::Pending => "pending",
            OrderState::Working => "working",
            OrderState::Rejected => "rejected",
            OrderState::Expired => "expired",
            OrderState::Cancelled => "cancelled",
            OrderState::Filled => "filled",
        }
    }
}

/// An order and what became of it.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// What was asked.
    pub order: Order,
    /// Where it stands.
    pub state: OrderState,
    /// Traded so far.
    pub filled: Qty,
    /// Notional traded so far.
    pub traded: Money,
    /// Fees so far, in the quote asset.
    pub fees: Money,
    /// When it was sent.
    pub sent_at: Time,
    /// Mid of the market when it was sent, against which its fills are judged.
    pub arrival: Option<HalfTicks>,
    /// The price at which its leaves count as exposure: the worst that it can trade at, by the reference of when it was sent.
    pub worst_price: Price,
    /// What is set aside for it: quote for a buy, base for a sell.
    pub reserved: Money,
    /// What is set aside for its fee, where that is paid in a third asset.
    pub reserved_fee: Money,
    /// Whether its trigger was reached.
    pub triggered: bool,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// Whether it was sent to make the position smaller.
    pub reducing: bool,
    /// What may trade in all: less than was asked once the other leg of its pair traded.
    pub allowed: Qty,
    /// Ids of the fills that were counted.
    execs: Execs,
}

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: it was known, or a later word overrules it.
    None,
    /// The state.
    State,
    /// A fill was counted, and maybe the state.
    Filled,
}

impl Tracked {
    pub(super) fn new(order: Order, sent_at: Time, arrival: Option<HalfTicks>, worst_price: Price, reducing: bool) -> Tracked {
        Tracked {
            order,
            state: OrderState::Pending,
            filled: Qty::ZERO,
            traded: Money::ZERO,
            fees: Money::ZERO,
            sent_at,
            arrival,
            worst_price,
            reserved: Money::ZERO,
            reserved_fee: Money::ZERO,
            triggered: false,
            refusal: None,
            reducing,
            allowed: order.qty,
            execs: Execs::default(),
        }
    }

    /// Takes this one's place with its memory kept: a table that turns orders over does not ask for more.
    pub(super) fn replace(&mut self, order: Order, sent_at: Time, arrival: Option<HalfTicks>, worst_price: Price, reducing: bool) {
        let execs = std::mem::take(&mut self.execs).emptied();
        *self = Tracked { execs, ..Tracked::new(order, sent_at, arrival, worst_price, reducing) };
    }

    /// What may still trade.
    pub fn leaves(&self) -> Qty {
        if self.state.is_final() { Qty::ZERO } else { Qty((self.allowed.0 - self.filled.0).max(0)) }
    }

    /// Whether it waits for its trigger.
    pub fn waits_as_stop(&self) -> bool {
        self.order.kind.is_stop() && !self.triggered && !self.state.is_final()
    }

    /// Whether the venue traded more of it than was asked: nothing that we know explains it.
    pub fn overfilled(&self) -> bool {
        self.filled > self.order.qty
    }

    /// Takes in an event. The same event again changes nothing; the same events in any order end in the same state, quantity and
    /// notional.
    ///
    /// # Errors
    /// [`Overflow`].
    pub(super) fn apply(&mut self, event: &OrderEvent, notional: Money) -> Result<Change, Overflow> {
        let before = (self.state, self.triggered, self.allowed);
        let mut counted = false;
        match event {
            OrderEvent::Fill(fill) => {
                if !self.execs.insert(fill.exec_id) {
                    return Ok(Change::None);
                }
                self.filled = self.filled.plus(fill.qty)?;
                self.traded = self.traded.plus(notional)?;
                self.fees = self.fees.plus(fill.fee.in_quote)?;
                counted = true;
            }
            OrderEvent::Triggered => self.triggered = true,
            OrderEvent::Reduced { to } => self.allowed = self.allowed.min(*to),
            OrderEvent::Rejected(why) => self.refusal = Some(*why),
            OrderEvent::Accepted | OrderEvent::Cancelled | OrderEvent::Expired | OrderEvent::CancelRejected => {}
        }
        let left = match (self.filled >= self.order.qty, self.filled >= self.allowed) {
            (true, _) => Left::Nothing,
            (false, true) => Left::NothingAllowed,
            (false, false) => Left::Some,
        };
        self.state = self.state.after(event, left);
        Ok(match (counted, before == (self.state, self.triggered, self.allowed)) {
            (true, _) => Change::Filled,
            (false, true) => Change::None,
            (false, false) => Change::State,
        })
    }
}
