//! Row 3: the price of an order against the market, and our fills of the last minute against its mids. Only the bad side counts: buying
//! above, selling below.

use crate::number::{HalfTicks, Price};
use crate::order::{OrderKind, Side};
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

/// A reducing order may go this many times as far: out is more important than at what price.
const REDUCING_FACTOR: u32 = 3;
/// Fills over a period may be this many times as far as one order.
const PERIOD_FACTOR: i128 = 2;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let collar = if ask.reducing { ask.limits.collar_bps.saturating_mul(REDUCING_FACTOR) } else { ask.limits.collar_bps };
    if let Some(price) = ask.limit {
        // A stop-limit is judged by the market of when it is set off.
        let against = match ask.order.kind {
            OrderKind::StopLimit { trigger, .. } => Some(HalfTicks::of(trigger)?),
            OrderKind::Market | OrderKind::Limit { .. } | OrderKind::Stop { .. } | OrderKind::TrailingStop { .. } => ask.reference,
        };
        match against.filter(|against| against.0 > 0) {
            Some(against) => order(price, against, collar, ask.order.side)?,
            None if ask.reducing => {}
            None => return Err(Denial::missing("a fresh reference price")),
        }
    }
    if ask.reducing { Ok(()) } else { period(ask) }
}

/// One order's price, which is within the instrument's greatest: on the good side of the reference nothing has to be multiplied.
#[inline]
fn order(price: Price, against: HalfTicks, collar_bps: u32, side: Side) -> Result<(), Denial> {
    let price = HalfTicks::of(price)?;
    let worse = match side {
        Side::Buy => price > against,
        Side::Sell => price < against,
    };
    if worse { within(i128::from(price.0), i128::from(against.0), i128::from(collar_bps), side) } else { Ok(()) }
}

/// Our average fill of the last minute against the average mid.
#[inline]
fn period(ask: &Ask<'_>) -> Result<(), Denial> {
    if ask.market.minute.is_quiet(ask.now) {
        return Ok(());
    }
    let (fill_sum, lots) = ask.market.minute.fills(ask.now, ask.order.side)?;
    if lots <= 0 {
        return Ok(());
    }
    let (mid_sum, mids) = ask.market.minute.mids(ask.now);
    if mids == 0 || mid_sum <= 0 {
        return Err(Denial::missing("mids of the last minute"));
    }
    // fill_sum / lots against mid_sum / mids, without a division.
    let fill = fill_sum.checked_mul(mids).ok_or(crate::number::Overflow)?;
    let mid = mid_sum.checked_mul(lots).ok_or(crate::number::Overflow)?;
    within(fill, mid, i128::from(ask.limits.collar_bps) * PERIOD_FACTOR, ask.order.side)
}

fn within(price: i128, reference: i128, collar_bps: i128, side: Side) -> Result<(), Denial> {
    let worse = match side {
        Side::Buy => price - reference,
        Side::Sell => reference - price,
    };
    let (Some(left), Some(right)) = (worse.checked_mul(10_000), reference.checked_mul(collar_bps)) else {
        return Err(crate::number::Overflow.into());
    };
    if left <= right {
        return Ok(());
    }
    let found = i64::try_from(left / reference.max(1)).unwrap_or(i64::MAX);
    Err(Denial::new(Code::PriceCollar, Figure::Bps(i64::try_from(collar_bps).unwrap_or(i64::MAX)), Figure::Bps(found)))
}
