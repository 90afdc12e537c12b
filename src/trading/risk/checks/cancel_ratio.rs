//! Row 32: cancels for the orders of a day.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

/// With fewer orders a ratio says nothing.
const FROM_ORDERS: u64 = 20;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(limit) = ask.limits.max_cancels_percent.map(u64::from) else { return Ok(()) };
    let day = &ask.history.day;
    if day.orders < FROM_ORDERS || day.cancels * 100 <= limit * day.orders {
        return Ok(());
    }
    Err(Denial::new(Code::CancelRatio, Figure::Count(limit * day.orders / 100), Figure::Count(day.cancels)))
}
