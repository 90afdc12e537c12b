//! The hard limits in the order path.
//!
//! Architecture invariant: a venue takes only a [`Checked`] order, and only the chain makes one (`risk/checked.rs`).
//!
//! Architecture invariant: what a control needs and does not have denies (`tests/risk/rows.rs`).
//!
//! Architecture invariant: why trading stopped, the highest equity and the day's start outlive the process, and are durable before the
//! next order (`tests/risk/latches.rs`).

mod ask;
pub mod ceilings;
mod checked;
mod checks;
mod code;
mod flatten;
mod guard;
mod history;
mod latch;
mod limits;
mod size;
mod thresholds;
mod window;

pub use checked::Checked;
pub use code::{Code, Denial, Figure};
pub use guard::{Admission, Guard, GuardStart, Trip};
pub use latch::{InMemory, LatchError, LatchKey, LatchStore, Latches, State};
pub use limits::{CeilingSet, CountIn, Hours, InstrumentLimitsSpec, LimitError, Limits, LimitsSpec, LossStreak, SlippageLimit};

use crate::time::Time;

/// What is set from outside: what a runner or a live loop knows and no market event says. Missing means no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Row 22: whether our books and the venue's were found to agree.
    pub reconciled: Option<bool>,
    /// Row 21: our clock less the venue's, milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Row 19: when the venue said that it will stop.
    pub shutdown_at: Option<Time>,
}

impl Inputs {
    /// Those of a backtest: one clock, one set of books.
    pub fn of_backtest() -> Inputs {
        Inputs { reconciled: Some(true), clock_skew_ms: Some(0), shutdown_at: None }
    }
}
