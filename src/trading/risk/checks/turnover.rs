//! Row 28: what was traded today, what is open, and this.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(limit) = ask.limits.daily_turnover else { return Ok(()) };
    let turnover = ask.history.day.turnover.plus(ask.account.orders().open_notional())?.plus(ask.notional()?)?;
    if turnover > limit {
        return Err(Denial::new(Code::DailyTurnover, Figure::Money(limit), Figure::Money(turnover)));
    }
    Ok(())
}
