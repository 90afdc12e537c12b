//! Row 4: messages in a rolling time. Reducing orders have a window of their own, which entering ones cannot fill; the venue's bucket is
//! one for all.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let own = if ask.reducing { &ask.history.reducing_orders } else { &ask.history.orders };
    for window in [Some(own), ask.history.venue_orders.as_ref()].into_iter().flatten() {
        if window.is_full(ask.now) {
            let found = window.count(ask.now) + 1;
            return Err(Denial::new(Code::RateLimit, Figure::Count(u64::from(window.limit().count)), Figure::Count(found)));
        }
    }
    Ok(())
}
