//! Row 12: the loss from the highest equity. Reaching the limit is passing it.

use crate::number::{Money, Overflow};
use crate::risk::ask::Ask;
use crate::risk::limits::Limits;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    ask.solvent()?;
    match &ask.thresholds.drawdown {
        None => Ok(()),
        Some(denial) => Err(*denial),
    }
}

/// The denial of every order that opens, when the loss has reached its limit.
pub(in crate::risk) fn breach(limit: Result<Money, Overflow>, high_water: Money, equity: Money) -> Option<Denial> {
    match limit.and_then(|limit| Ok((high_water.minus(equity)?, limit))) {
        Ok((loss, limit)) => (loss >= limit).then(|| Denial::new(Code::Drawdown, Figure::Money(limit), Figure::Money(loss))),
        Err(overflow) => Some(Denial::from(overflow)),
    }
}

/// What may be lost from a highest equity.
pub(in crate::risk) fn allowed(limits: &Limits, high_water: Money) -> Result<Money, Overflow> {
    high_water.share(i128::from(limits.drawdown_bps), 10_000)
}
