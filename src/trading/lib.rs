//! Markets, pure: the same arguments give the same orders, fills and money to the last digit.
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
