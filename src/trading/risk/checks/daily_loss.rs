//! Row 11: the day's loss, realised or not, against day start. Reaching the limit is passing it.

use crate::number::{Money, Overflow};
use crate::risk::ask::Ask;
use crate::risk::limits::Limits;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    ask.solvent()?;
    match &ask.thresholds.daily_loss {
        None => Ok(()),
        Some(denial) => Err(*denial),
    }
}

/// The denial of every order that opens, when the loss has reached its limit.
pub(in crate::risk) fn breach(limit: Result<Money, Overflow>, day_start: Money, equity: Money) -> Option<Denial> {
    match limit.and_then(|limit| Ok((day_start.minus(equity)?, limit))) {
        Ok((loss, limit)) => (loss >= limit).then(|| Denial::new(Code::DailyLoss, Figure::Money(limit), Figure::Money(loss))),
        Err(overflow) => Some(Denial::from(overflow)),
    }
}

/// What may be lost on a day that starts with so much.
pub(in crate::risk) fn allowed(limits: &Limits, day_start: Money) -> Result<Money, Overflow> {
    let part = day_start.share(i128::from(limits.daily_loss_bps), 10_000)?;
    Ok(limits.daily_loss.map_or(part, |fixed| fixed.min(part)))
}
