//! Markets, pure: the same arguments give the same orders, fills and money to the last digit.
//!
//! An event meets the orders at the venue, then the account and its limits, then the strategy; what the strategy wants goes through the
//! chain and back to the venue. Backtest, paper and live run the same account, guard and strategy with another clock and venue.
//!
//! Architecture invariant: no async, no clock, no randomness of its own, no environment; files are readers and writers that come in as
//! arguments. (`tests/architecture.rs`)
//!
//! Architecture invariant: money and quantities are integers. Floats are in indicators, statistics and charts, and become a price only by
//! [`indicator::round_to_tick`]. (`tests/architecture.rs`)
//!
//! Architecture invariant: a venue takes only a [`risk::Checked`] order, which only the chain makes. (its doc tests)
//!
//! Architecture invariant: every amount that leaves an account enters another. (`tests/risk/promise.rs`)
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod account;
pub mod backtest;
pub mod book;
pub mod event;
pub mod indicator;
pub mod input;
pub mod instrument;
pub mod intent;
pub mod judge;
pub mod ledger;
pub mod number;
pub mod order;
pub mod output;
pub mod risk;
pub mod spec;
pub mod strategy;
pub mod time;
pub mod venue;

#[doc = include_str!("choices.md")]
pub mod choices {}
