//! Row 5: the same thing over and over is a loop; the strategy stops until a person has looked.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(limit) = ask.limits.repeat else { return Ok(()) };
    let repeats = ask.history.repeats(ask.now, ask.order);
    if repeats < u64::from(limit.count) {
        return Ok(());
    }
    Err(Denial::new(Code::RepeatHalt, Figure::Count(u64::from(limit.count)), Figure::Count(repeats + 1)))
}
