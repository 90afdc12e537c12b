//! Getting out: limit orders at the collar that take what is there, in slices, until the position is flat or too small to sell.

use super::ask::{lowered, raised};
use super::limits::Limits;
use crate::account::Account;
use crate::instrument::InstrumentId;
use crate::intent::{Size, Submit};
use crate::number::Qty;
use crate::order::{OrderKind, Side, TimeInForce};
use crate::time::Time;

/// Tags of these orders: no strategy counts as far.
const TAG: u64 = 1 << 63;

/// The next slice of a position to close; none when it is flat, while a slice is under way, or without a price to go by. Stops that
/// protect the position stay beside it.
pub(super) fn next_slice(account: &Account, limits: &Limits, now: Time, at: InstrumentId, number: u64) -> Option<Submit> {
    let held = account.lots(at);
    let side = match held.cmp(&Qty::ZERO) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => Side::Sell,
        std::cmp::Ordering::Less => Side::Buy,
    };
    let under_way = account.orders().open().any(|open| open.order.instrument == at && open.order.tif == TimeInForce::Ioc);
    if under_way {
        return None;
    }
    let size = Qty(held.0.checked_abs()?);
    let qty = limits.of(at).map_or(size, |limits| size.min(limits.max_order_qty));
    let reference = account.market(at).reference(now, side)?;
    let price = match side {
        Side::Sell => lowered(reference, limits.collar_bps),
        Side::Buy => raised(reference, limits.collar_bps),
    }?;
    let kind = OrderKind::Limit { price: price.max(crate::number::Price(1)), post_only: false };
    let (tif, tag) = (TimeInForce::Ioc, TAG | number);
    Some(Submit { instrument: at, side, size: Size::Lots(qty), kind, tif, reduce_only: true, oco: None, tag, stop: None })
}
