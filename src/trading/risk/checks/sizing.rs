//! Row 14: a size that the chain computed is within what the limits leave. An explicit quantity was never touched.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    if !ask.sized {
        return Ok(());
    }
    let limits = ask.limits_of()?;
    if ask.order.qty <= limits.max_order_qty.min(limits.max_position) {
        return Ok(());
    }
    Err(Denial::new(Code::MaxPosition, Figure::Lots(limits.max_order_qty.min(limits.max_position)), Figure::Lots(ask.order.qty)))
}
