//! Row 31: nothing is opened outside trading hours, which are UTC. The first minute is inside, the last is not.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};
use crate::time::{NS_PER_DAY, NS_PER_SECOND};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(hours) = ask.limits.hours else { return Ok(()) };
    let minute = ask.now.0.rem_euclid(NS_PER_DAY) / (60 * NS_PER_SECOND);
    let (from, to) = (i64::from(hours.from_minute), i64::from(hours.to_minute));
    let inside = if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to };
    if inside { Ok(()) } else { Err(Denial::new(Code::TradingHours, Figure::Words("trading hours"), Figure::Count(minute.unsigned_abs()))) }
}
