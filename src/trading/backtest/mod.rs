//! A strategy against recorded markets, with the same guard, account and orders as anywhere else.

mod desk;
mod due;
mod engine;
mod hash;
mod judged;
mod record;
mod run;
mod series;
mod sweep;
mod tally;

pub use engine::{Engine, EngineError, Liquidate, Outcome, Settings};
pub use hash::ResultHash;
pub use judged::{Judged, judge, look_ahead, years_of};
pub use record::{Denied, EquitySeries, FillRecord, Keep, OrderRecord, Record, Stop};
pub use run::{Prepared, RunError, latch_key, prepare, run, run_with_latches};
pub use sweep::{Axis, Fold, MOST_TRIALS, Sweep, Trial, sweep};
pub use tally::Tally;
