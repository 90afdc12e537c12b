//! Markets, pure: the same arguments give the same orders, fills and money to the last digit.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod event;
pub mod instrument;
pub mod ledger;
pub mod number;
pub mod order;
pub mod time;
