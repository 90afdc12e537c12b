//! First: what the strategy may do at all. The code is that of whatever stopped it.

use crate::risk::ask::Ask;
use crate::risk::latch::State;
use crate::risk::{Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    match ask.state() {
        State::Active => Ok(()),
        State::Reducing(_) | State::Halted(_) if ask.reducing => Ok(()),
        State::Reducing(code) => Err(Denial::new(code, Figure::Words("orders that make the position smaller"), Figure::Words("another"))),
        State::Halted(code) => Err(Denial::new(
            code,
            Figure::Words("orders that make the position smaller, until a named person lets it go on"),
            Figure::Words("another"),
        )),
    }
}
