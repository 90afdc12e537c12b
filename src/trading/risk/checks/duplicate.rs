//! Row 6: the same order of the same intent within the window.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let window_ms = ask.limits.duplicate_window_ms;
    match ask.history.duplicate(ask.now, ask.order, ask.tag, window_ms) {
        None => Ok(()),
        Some(age_ms) => Err(Denial::new(Code::Duplicate, Figure::Ms(window_ms), Figure::Ms(age_ms))),
    }
}
