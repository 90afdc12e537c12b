//! What a strategy asks for. The risk chain decides what becomes of it.

use crate::instrument::InstrumentId;
use crate::number::{Bps, Price, Qty};
use crate::order::{ClientId, OrderKind, Side, TimeInForce};
use crate::time::Time;

/// How much. A quantity is passed as it is or denied; the others are formulas that the chain computes, rounded down to a lot and cut to
/// what the limits leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many lots, exactly.
    Lots(Qty),
    /// A part of equity, at the worst price that the order may get.
    Fraction(Bps),
    /// As much as loses a part of equity between the worst price and the stop; the intent has to name one.
    RiskAtStop(Bps),
    /// The part of equity that brings the realised volatility to the target, at most all of it.
    VolatilityTarget {
        /// Volatility wanted.
        target: Bps,
        /// Volatility measured, over the same time.
        realised: Bps,
    },
    /// A part of equity by Kelly's formula, as the strategy estimated it, and a cap on it.
    Kelly {
        /// Kelly's fraction.
        fraction: Bps,
        /// The cap.
        cap: Bps,
    },
}

/// An order wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Where.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// How much.
    pub size: Size,
    /// At what price.
    pub kind: OrderKind,
    /// For how long.
    pub tif: TimeInForce,
    /// Whether it may only make the position smaller.
    pub reduce_only: bool,
    /// Orders of one instrument with the same number are one-cancels-the-other.
    pub oco: Option<u32>,
    /// The strategy's own number of the intent: the same order with the same number is a repetition, not a new wish.
    pub tag: u64,
    /// Where the trade would be given up, for sizing and for the risk of one trade.
    pub stop: Option<Price>,
}

impl Submit {
    /// A market order of so many lots.
    pub fn market(instrument: InstrumentId, side: Side, qty: Qty, tag: u64) -> Submit {
        let (size, kind, tif) = (Size::Lots(qty), OrderKind::Market, TimeInForce::Gtc);
        Submit { instrument, side, size, kind, tif, reduce_only: false, oco: None, tag, stop: None }
    }

    /// A limit order of so many lots that waits.
    pub fn limit(instrument: InstrumentId, side: Side, qty: Qty, price: Price, tag: u64) -> Submit {
        Submit { kind: OrderKind::Limit { price, post_only: false }, ..Submit::market(instrument, side, qty, tag) }
    }
}

/// What a strategy wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// An order.
    Submit(Submit),
    /// An order cancelled.
    Cancel(ClientId),
    /// All its orders on an instrument cancelled.
    CancelAll(InstrumentId),
    /// To be called at a time.
    Timer(Time),
}
