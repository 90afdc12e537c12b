//! The way of the price through a bar.

use crate::event::Bar;
use crate::number::Price;
use crate::order::{OrderKind, Side};

/// The corners of a bar in the order in which they are taken to be reached: O→L→H→C when it closed up, else O→H→L→C.
pub(super) fn corners(bar: &Bar) -> [Price; 4] {
    if bar.close >= bar.open { [bar.open, bar.low, bar.high, bar.close] } else { [bar.open, bar.high, bar.low, bar.close] }
}

/// What the price does to a resting order on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Its trigger, at this price.
    Trigger(Price),
    /// Its limit: it trades at this price.
    Limit(Price),
}

impl Reached {
    pub(super) fn price(self) -> Price {
        match self {
            Reached::Trigger(price) | Reached::Limit(price) => price,
        }
    }
}

/// Where the price, going from `from` to `to`, reaches an order: a trigger by touching it, a limit by going through it by a tick. A limit
/// that the price is already through, as after its trigger, trades where the price is.
pub(super) fn reached(from: Price, to: Price, side: Side, kind: OrderKind, triggered: bool) -> Option<Reached> {
    if let (Some(trigger), false) = (kind.trigger(), triggered) {
        let touched = match side {
            Side::Buy => to >= trigger && to >= from,
            Side::Sell => to <= trigger && to <= from,
        };
        // A trigger that the price is already past is reached where the price is.
        let at = match side {
            Side::Buy => trigger.max(from),
            Side::Sell => trigger.min(from),
        };
        return touched.then_some(Reached::Trigger(at));
    }
    let limit = kind.limit()?;
    let (through, at) = match side {
        Side::Buy => (from.min(to) < limit, limit.min(from)),
        Side::Sell => (from.max(to) > limit, limit.max(from)),
    };
    through.then_some(Reached::Limit(at))
}

/// What an order gets at the open: a market order and a triggered stop trade there; a stop that was gapped through is triggered there; a
/// limit trades there when the open is better than it, by a tick at least.
pub(super) fn at_open(open: Price, side: Side, kind: OrderKind, triggered: bool) -> Option<Reached> {
    let gapped = |trigger: Price| match side {
        Side::Buy => open >= trigger,
        Side::Sell => open <= trigger,
    };
    match (kind, triggered) {
        (OrderKind::Market, _) | (OrderKind::Stop { .. } | OrderKind::TrailingStop { .. }, true) => Some(Reached::Limit(open)),
        // It follows from here on.
        (OrderKind::TrailingStop { .. }, false) => None,
        (OrderKind::Stop { trigger } | OrderKind::StopLimit { trigger, .. }, false) => gapped(trigger).then_some(Reached::Trigger(open)),
        (OrderKind::Limit { price, .. } | OrderKind::StopLimit { price, .. }, _) => {
            let better = match side {
                Side::Buy => open < price,
                Side::Sell => open > price,
            };
            better.then_some(Reached::Limit(open))
        }
    }
}

/// How far `price` is from `from`, in ticks.
pub(super) fn distance(from: Price, price: Price) -> u64 {
    from.0.abs_diff(price.0)
}
