//! Row 22: our books and the venue's agree. Nothing is traded to make them agree.

use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    match ask.inputs.reconciled {
        Some(true) => Ok(()),
        Some(false) => {
            Err(Denial::new(Code::Unreconciled, Figure::Words("books that agree with the venue's"), Figure::Words("they differ")))
        }
        None => Err(Denial::new(Code::Unreconciled, Figure::Words("books that agree with the venue's"), Figure::Words("not compared yet"))),
    }
}
