//! Row 29: fees paid today, and the most that this may add.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(limit) = ask.limits.fee_budget else { return Ok(()) };
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let fees = ask.history.day.fees.plus(ask.instrument.worst_fee(worst, ask.order.qty)?)?;
    if fees > limit {
        return Err(Denial::new(Code::FeeBudget, Figure::Money(limit), Figure::Money(fees)));
    }
    Ok(())
}
