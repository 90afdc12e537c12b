//! The promises of the store, tried from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod append;
mod artifacts;
mod attacks;
mod audit;
mod budgets;
mod check;
mod crash;
mod disk;
mod faults;
mod given;
mod home;
mod killed;
mod known;
mod lineage;
mod memory;
mod open;
mod postgres;
mod process;
mod reservers;
mod schema;
mod server;
mod tracer;
mod two;
mod unsynced;
