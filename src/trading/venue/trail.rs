//! Where a trailing stop stands.

use crate::number::Price;
use crate::order::{OrderKind, Side};

/// The trigger of a trailing stop as it follows the price; of any other order it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trail(Option<Price>);

impl Trail {
    /// The order as it stands: a trailing stop that has seen a price is a stop.
    pub(super) fn standing(self, kind: OrderKind) -> OrderKind {
        match (kind.distance(), self.0) {
            (Some(_), Some(trigger)) => OrderKind::Stop { trigger },
            (Some(_), None) | (None, _) => kind,
        }
    }

    /// Follows a price: a seller's trigger only rises, a buyer's only falls.
    pub(super) fn follow(&mut self, side: Side, kind: OrderKind, price: Price) {
        let Some(distance) = kind.distance() else { return };
        let next = match side {
            Side::Sell => Price(price.0.saturating_sub(distance)),
            Side::Buy => Price(price.0.saturating_add(distance)),
        };
        self.0 = Some(match (self.0, side) {
            (None, _) => next,
            (Some(trigger), Side::Sell) => trigger.max(next),
            (Some(trigger), Side::Buy) => trigger.min(next),
        });
    }
}
