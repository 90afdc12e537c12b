//! Row 10: how many orders are open, and what they are worth.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let orders = ask.account.orders();
    let count = orders.open_count() as u64 + 1;
    if count > u64::from(ask.limits.max_open_orders) {
        return Err(Denial::new(Code::OpenOrders, Figure::Count(u64::from(ask.limits.max_open_orders)), Figure::Count(count)));
    }
    let Some(limit) = ask.limits.max_open_notional else { return Ok(()) };
    let open = orders.open_notional().plus(ask.notional()?)?;
    if open > limit {
        return Err(Denial::new(Code::OpenOrders, Figure::Money(limit), Figure::Money(open)));
    }
    Ok(())
}
