//! The risk chain: each control at its limit, what a restart keeps, and what holds whatever is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod budgets;
mod converge;
mod index;
mod inputs;
mod latches;
mod limits;
mod order;
mod promise;
mod reducing;
mod rows;
mod sizes;
mod world;
