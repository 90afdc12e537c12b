//! Row 7: the position if everything on this side fills, in lots and in money.

use crate::instrument::steps;
use crate::number::{HalfTicks, Overflow, Qty};
use crate::order::Side;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let worst = worst_case(ask)?;
    let limits = ask.limits_of()?;
    if worst > limits.max_position {
        return Err(Denial::new(Code::MaxPosition, Figure::Lots(limits.max_position), Figure::Lots(worst)));
    }
    // The worst price is never below the reference.
    let (Some(HalfTicks(1..)), Some(price)) = (ask.reference, ask.worst) else { return Err(Denial::missing("a fresh reference price")) };
    if steps(price, worst) <= limits.max_position_steps {
        return Ok(());
    }
    let value = ask.instrument.notional(price, worst)?;
    Err(Denial::new(Code::MaxPosition, Figure::Money(ask.limits.max_position_notional), Figure::Money(value)))
}

/// Position + all leaves of this side + this, as far from flat as it can get on this side.
#[inline]
pub(in crate::risk) fn worst_case(ask: &Ask<'_>) -> Result<Qty, Overflow> {
    let leaves = ask.account.orders().exposure(ask.order.instrument).side(ask.order.side).leaves;
    let held = match ask.order.side {
        Side::Buy => ask.position,
        Side::Sell => Qty::ZERO.minus(ask.position)?,
    };
    held.plus(leaves)?.plus(ask.order.qty).map(|worst| worst.max(Qty::ZERO))
}
