//! Recorded markets as events in their order.

mod aggregate;
mod bars;
mod frames;
mod grid;
mod json_lines;
mod lines;
mod merge;
mod stamp;

pub use aggregate::{BarsFrom, TradeBars};
pub use bars::{BarColumns, BarFormat, CsvBars, Interval, StampedAt};
pub use frames::Frames;
pub use json_lines::JsonLines;
pub use merge::Merge;

use crate::event::{Key, Stamped};

/// Input that cannot be taken: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct InputError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What was expected and what was found.
    pub why: String,
}

/// Recorded events, one at a time: memory does not grow with their number.
pub trait Source {
    /// Goes to the next event; none at the end.
    ///
    /// # Errors
    /// [`InputError`].
    fn advance(&mut self) -> Result<Option<Key>, InputError>;

    /// The event that the last call of [`Source::advance`] went to; none before the first call and after the end.
    fn current(&self) -> Option<Stamped<'_>>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        (**self).advance()
    }

    fn current(&self) -> Option<Stamped<'_>> {
        (**self).current()
    }
}
