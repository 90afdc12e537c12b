//! Row 30: only instruments that the limits name.

use crate::risk::Denial;
use crate::risk::ask::Ask;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    ask.limits_of().map(|_| ())
}
