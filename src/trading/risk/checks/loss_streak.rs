//! Row 13: a pause after losses in a row, and what one trade may lose at its stop.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};
use crate::time::NS_PER_MS;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    if let Some(until) = ask.history.paused_until.filter(|until| ask.now < *until) {
        let left = Figure::Ms(until.since(ask.now) / NS_PER_MS);
        return Err(Denial::new(Code::LossStreak, Figure::Words("no order until the pause is over"), left));
    }
    let Some(limit) = ask.limits.max_trade_risk_bps else { return Ok(()) };
    let stop = ask.stop.ok_or_else(|| Denial::missing("a stop"))?;
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let at_risk = ask.instrument.notional(worst, ask.order.qty)?.minus(ask.instrument.notional(stop, ask.order.qty)?)?.magnitude()?;
    let allowed = ask.equity()?.share(i128::from(limit), 10_000)?;
    if at_risk > allowed {
        return Err(Denial::new(Code::LossStreak, Figure::Money(allowed), Figure::Money(at_risk)));
    }
    Ok(())
}
