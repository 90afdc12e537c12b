//! Row 7: the position if everything on this side fills, in lots and in money.

use crate::number::{Overflow, Qty};
use crate::order::Side;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let worst = worst_case(ask)?;
    let limit = ask.limits_of()?.max_position;
    if worst > limit {
        return Err(Denial::new(Code::MaxPosition, Figure::Lots(limit), Figure::Lots(worst)));
    }
    let price = ask.reference.filter(|reference| reference.0 > 0).ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let price = ask.worst.map_or(price.ceil(), |worst| worst.max(price.ceil()));
    let value = ask.instrument.notional(price, worst)?;
    if value > ask.limits.max_position_notional {
        return Err(Denial::new(Code::MaxPosition, Figure::Money(ask.limits.max_position_notional), Figure::Money(value)));
    }
    Ok(())
}

/// Position + all leaves of this side + this, as far from flat as it can get on this side.
pub(in crate::risk) fn worst_case(ask: &Ask<'_>) -> Result<Qty, Overflow> {
    let leaves = ask.account.orders().exposure(ask.order.instrument).side(ask.order.side).leaves;
    let held = match ask.order.side {
        Side::Buy => ask.position,
        Side::Sell => Qty::ZERO.minus(ask.position)?,
    };
    held.plus(leaves)?.plus(ask.order.qty).map(|worst| worst.max(Qty::ZERO))
}
