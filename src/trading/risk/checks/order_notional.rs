//! Row 2: the notional of one order at the worst price that it may get.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let notional = ask.notional()?;
    if notional <= ask.limits.max_order_notional {
        return Ok(());
    }
    Err(Denial::new(Code::MaxOrderNotional, Figure::Money(ask.limits.max_order_notional), Figure::Money(notional)))
}
