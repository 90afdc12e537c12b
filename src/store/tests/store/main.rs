//! The promises of the store, tried from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod append;
mod archive;
mod artifacts;
mod attacks;
mod audit;
mod bucket;
mod budgets;
mod check;
mod collect;
mod crash;
mod disk;
mod faults;
mod given;
mod home;
mod kept;
mod killed;
mod known;
mod lineage;
mod memory;
mod open;
mod postgres;
mod process;
mod race;
mod reservers;
mod s3;
mod schema;
mod server;
mod shelf;
mod tracer;
mod two;
mod unsynced;
