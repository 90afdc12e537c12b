//! Row 12: the loss from the highest equity. Reaching the limit is passing it.

use crate::number::{Money, Overflow};
use crate::risk::ask::Ask;
use crate::risk::limits::Limits;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    ask.equity()?;
    ask.thresholds.drawdown.map_or(Ok(()), Err)
}

/// The denial of every order that opens, when the loss has reached its limit.
pub(in crate::risk) fn breach(limits: &Limits, high_water: Money, equity: Money) -> Option<Denial> {
    match measured(limits, high_water, equity) {
        Ok((loss, limit)) => (loss >= limit).then(|| Denial::new(Code::Drawdown, Figure::Money(limit), Figure::Money(loss))),
        Err(overflow) => Some(Denial::from(overflow)),
    }
}

fn measured(limits: &Limits, high_water: Money, equity: Money) -> Result<(Money, Money), Overflow> {
    Ok((high_water.minus(equity)?, high_water.share(i128::from(limits.drawdown_bps), 10_000)?))
}
