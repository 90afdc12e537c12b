//! Judging a result: statistics of its equity, and whether they can be believed.
//!
//! Floats live here and go nowhere else: nothing here leads to an order.

mod montecarlo;
mod normal;
mod sharpe;
mod statistics;
mod verdict;

pub use montecarlo::{MonteCarlo, drawdowns};
pub use sharpe::{deflated_sharpe, probabilistic_sharpe};
pub use statistics::{Annual, Statistics, returns};
pub use verdict::{LEAST_TRADES, Verdict, Verdicts, cost_stress, neighbourhood, out_of_sample};
