//! Row 1: the quantity of one order. A reducing order arrives here in slices that fit.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    // An instrument that is off the list has no limit of its own; what is held of it may still be sold.
    let Some(limits) = ask.of else { return Ok(()) };
    if ask.order.qty <= limits.max_order_qty {
        return Ok(());
    }
    Err(Denial::new(Code::MaxOrderQty, Figure::Lots(limits.max_order_qty), Figure::Lots(ask.order.qty)))
}
