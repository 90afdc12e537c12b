//! A strategy against recorded markets, with the same guard, account and orders as anywhere else.

mod desk;
mod engine;
mod hash;
mod record;
mod run;
mod tally;

pub use engine::{Engine, EngineError, Liquidate, Outcome, Settings};
pub use hash::ResultHash;
pub use record::{Denied, FillRecord, Keep, OrderRecord, Record, Stop};
pub use run::{RunError, run};
pub use tally::Tally;
