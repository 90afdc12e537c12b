//! Row 17: an order that could trade with one of the account's own, whichever strategy sent it. Stops that wait are not in the book.

use crate::order::{Order, OrderKind, Side, Tracked};
use crate::risk::ask::{Ask, lowered};
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let exposure = ask.account.orders().exposure(ask.order.instrument);
    if exposure.side(ask.order.side.opposite()).leaves.0 == 0 {
        return Ok(());
    }
    meets_none(ask)
}

fn meets_none(ask: &Ask<'_>) -> Result<(), Denial> {
    if ask.account.orders().open().any(|own| could_meet(ask, own)) {
        return Err(Denial::new(Code::SelfTrade, Figure::Words("orders that meet none of our own"), Figure::Words("one that would")));
    }
    Ok(())
}

fn could_meet(ask: &Ask<'_>, own: &Tracked) -> bool {
    let other = &own.order;
    if other.instrument != ask.order.instrument || other.side == ask.order.side {
        return false;
    }
    let Some(resting) = resting(other, own.triggered) else { return false };
    match (ask.order.kind, ask.order.side) {
        (OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. }, _) => false,
        (OrderKind::Limit { price, .. }, Side::Buy) => price >= resting,
        (OrderKind::Limit { price, .. }, Side::Sell) => price <= resting,
        (OrderKind::Market, Side::Buy) => ask.worst.is_none_or(|worst| worst >= resting),
        (OrderKind::Market, Side::Sell) => {
            let lowest = ask.reference.and_then(|reference| lowered(reference, ask.limits.collar_bps));
            lowest.is_none_or(|lowest| lowest <= resting)
        }
    }
}

/// The price at which an order stands in the book, if it does.
fn resting(order: &Order, triggered: bool) -> Option<crate::number::Price> {
    match order.kind {
        OrderKind::Limit { price, .. } => Some(price),
        OrderKind::StopLimit { price, .. } if triggered => Some(price),
        OrderKind::StopLimit { .. } | OrderKind::Market | OrderKind::Stop { .. } | OrderKind::TrailingStop { .. } => None,
    }
}
