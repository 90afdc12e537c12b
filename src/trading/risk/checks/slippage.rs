//! Row 33: fills against the mid of when their orders were sent, on average over the last ones.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let (Some(limit), Some((sum, count))) = (ask.limits.slippage, ask.history.slippage()) else { return Ok(()) };
    if sum <= count * i128::from(limit.bps) * 100 {
        return Ok(());
    }
    let found = i64::try_from(sum / count / 100).unwrap_or(i64::MAX);
    Err(Denial::new(Code::Slippage, Figure::Bps(i64::from(limit.bps)), Figure::Bps(found)))
}
