//! Row 4: messages in a rolling time. Reducing orders have a window of their own, which entering ones cannot fill; the venue's bucket is
//! one for all.

use crate::risk::ask::Ask;
use crate::risk::window::Window;
use crate::risk::{Code, Denial, Figure};
use crate::time::Time;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let own = if ask.reducing { &ask.history.reducing_orders } else { &ask.history.orders };
    full(own, ask.now)?;
    ask.history.venue_orders.as_ref().map_or(Ok(()), |window| full(window, ask.now))
}

#[inline]
fn full(window: &Window, now: Time) -> Result<(), Denial> {
    if !window.is_full(now) {
        return Ok(());
    }
    let found = window.count(now) + 1;
    Err(Denial::new(Code::RateLimit, Figure::Count(u64::from(window.limit().count)), Figure::Count(found)))
}
