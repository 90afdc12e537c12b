//! Row 21: our clock against the venue's, either way.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(skew) = ask.inputs.clock_skew_ms else { return Err(Denial::missing("the venue's time")) };
    if skew.unsigned_abs() <= ask.limits.clock_skew_ms.unsigned_abs() {
        return Ok(());
    }
    Err(Denial::new(Code::ClockSkew, Figure::Ms(ask.limits.clock_skew_ms), Figure::Ms(skew)))
}
