//! Orders: what is asked for, its life, and its name.

mod execs;
mod id;
mod names;
mod state;
mod table;

pub use id::{ClientId, StrategyTag};
pub use state::{Fill, Left, OrderEvent, OrderState, Refusal, Tracked};
pub use table::{Applied, Exposure, OpenSide, OrderTable, Slot, TableError};

use crate::instrument::InstrumentId;
use crate::number::{Price, Qty};

/// Which way a trade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// More of the base asset.
    Buy,
    /// Less of the base asset.
    Sell,
}

impl Side {
    /// The other one.
    #[inline]
    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// As words and files have it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }
}

/// How an order wants its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderKind {
    /// What the market gives.
    Market,
    /// This price or better.
    Limit {
        /// The limit.
        price: Price,
        /// Refused rather than take.
        post_only: bool,
    },
    /// A market order once the trigger is reached.
    Stop {
        /// The trigger.
        trigger: Price,
    },
    /// A market order once the price has come back so far from the best that it had since the order arrived.
    TrailingStop {
        /// How far, in ticks.
        distance: i64,
    },
    /// A limit order once the trigger is reached.
    StopLimit {
        /// The trigger.
        trigger: Price,
        /// The limit.
        price: Price,
    },
}

impl OrderKind {
    /// The worst price that it may trade at, where it names one.
    #[inline]
    pub fn limit(self) -> Option<Price> {
        match self {
            OrderKind::Market | OrderKind::Stop { .. } | OrderKind::TrailingStop { .. } => None,
            OrderKind::Limit { price, .. } | OrderKind::StopLimit { price, .. } => Some(price),
        }
    }

    /// How far it trails the price, where it does.
    #[inline]
    pub fn distance(self) -> Option<i64> {
        match self {
            OrderKind::TrailingStop { distance } => Some(distance),
            OrderKind::Market | OrderKind::Limit { .. } | OrderKind::Stop { .. } | OrderKind::StopLimit { .. } => None,
        }
    }

    /// Whether it waits to be set off.
    #[inline]
    pub fn is_stop(self) -> bool {
        self.trigger().is_some() || self.distance().is_some()
    }

    /// The price that sets it off, where it names one.
    #[inline]
    pub fn trigger(self) -> Option<Price> {
        match self {
            OrderKind::Market | OrderKind::Limit { .. } | OrderKind::TrailingStop { .. } => None,
            OrderKind::Stop { trigger } | OrderKind::StopLimit { trigger, .. } => Some(trigger),
        }
    }

    /// As words and files have it.
    pub fn name(self) -> &'static str {
        match self {
            OrderKind::Market => "market",
            OrderKind::Limit { post_only: false, .. } => "limit",
            OrderKind::Limit { post_only: true, .. } => "post-only",
            OrderKind::Stop { .. } => "stop",
            OrderKind::TrailingStop { .. } => "trailing-stop",
            OrderKind::StopLimit { .. } => "stop-limit",
        }
    }
}

/// How long an order waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// What it gets at once; the rest is cancelled.
    Ioc,
    /// All of it at once, or nothing.
    Fok,
}

impl TimeInForce {
    /// As words and files have it.
    pub fn name(self) -> &'static str {
        match self {
            TimeInForce::Gtc => "GTC",
            TimeInForce::Ioc => "IOC",
            TimeInForce::Fok => "FOK",
        }
    }
}

/// An order as it is sent. It never changes: what becomes of it is [`Tracked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Its name, the same after every restart.
    pub id: ClientId,
    /// Where.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// How much.
    pub qty: Qty,
    /// At what price.
    pub kind: OrderKind,
    /// For how long.
    pub tif: TimeInForce,
    /// Whether the venue may only let it make the position smaller.
    pub reduce_only: bool,
    /// Orders of one instrument with the same number are one-cancels-the-other.
    pub oco: Option<u32>,
}

impl Order {
    /// Why the words of the order contradict each other, if they do.
    #[inline]
    pub fn contradiction(&self) -> Option<&'static str> {
        if self.tif == TimeInForce::Gtc {
            return None;
        }
        match (self.kind, self.tif) {
            (OrderKind::Limit { post_only: true, .. }, TimeInForce::Ioc | TimeInForce::Fok) => {
                Some("a post-only order rests, so it must be GTC")
            }
            (kind, TimeInForce::Ioc | TimeInForce::Fok) if kind.is_stop() => Some("a stop order waits for its trigger, so it must be GTC"),
            (_, TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok) => None,
        }
    }
}
