//! The two programs: `reeve` (operator, sandbox tools, journal, CRDs) and `kubectl-reeve` (the plugin).
//!
//! Architecture invariant: `reeve tools` is dispatched before any thread, runtime or log exists, because its server forks.
//! (`programs/reeve.rs`: the match that comes before `exit::block_on` and `Operator::run`)
//!
//! Architecture invariant: whatever a model, a tool or a cluster wrote reaches a terminal without control characters.
//! (`timeline/text.rs`, `what_a_model_wrote_cannot_move_the_cursor`)
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod artifact;
mod artifact_store;
mod artifacts;
mod backtest;
mod cluster;
mod completion;
mod crds;
mod database;
mod exit;
mod fork;
mod generate;
mod govern;
mod journal;
mod latches;
mod lineage;
mod name;
mod operator;
mod output;
mod programs;
mod read_api;
mod recorded;
mod timeline;
mod tools;
mod trace;

pub use programs::{kubectl_reeve, reeve};
