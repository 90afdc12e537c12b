//! Row 11: the day's loss, realised or not, against day start. Reaching the limit is passing it.

use crate::number::{Money, Overflow};
use crate::risk::ask::Ask;
use crate::risk::limits::Limits;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    ask.equity()?;
    ask.thresholds.daily_loss.map_or(Ok(()), Err)
}

/// The denial of every order that opens, when the loss has reached its limit.
pub(in crate::risk) fn breach(limits: &Limits, day_start: Money, equity: Money) -> Option<Denial> {
    match measured(limits, day_start, equity) {
        Ok((loss, limit)) => (loss >= limit).then(|| Denial::new(Code::DailyLoss, Figure::Money(limit), Figure::Money(loss))),
        Err(overflow) => Some(Denial::from(overflow)),
    }
}

fn measured(limits: &Limits, day_start: Money, equity: Money) -> Result<(Money, Money), Overflow> {
    let part = day_start.share(i128::from(limits.daily_loss_bps), 10_000)?;
    Ok((day_start.minus(equity)?, limits.daily_loss.map_or(part, |fixed| fixed.min(part))))
}
