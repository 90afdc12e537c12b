//! Row 20: a venue that refuses this much is not understood.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    match &ask.history.errors {
        Some(window) if window.is_full(ask.now) => {
            let found = window.count(ask.now);
            Err(Denial::new(Code::ErrorRate, Figure::Count(u64::from(window.limit().count) - 1), Figure::Count(found)))
        }
        Some(_) | None => Ok(()),
    }
}
