//! Row 2: the notional of one order at the worst price that it may get.

use crate::instrument::steps;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    if steps(worst, ask.order.qty) <= ask.limits_of()?.max_order_steps {
        return Ok(());
    }
    let notional = ask.notional()?;
    Err(Denial::new(Code::MaxOrderNotional, Figure::Money(ask.limits.max_order_notional), Figure::Money(notional)))
}
