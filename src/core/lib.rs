//! What Reeve decides, and nothing of how it is done.
//!
//! Architecture invariant: pure. No async, no client, no clock, no randomness, no floats in money; the same arguments always give the
//! same answer. Time and identity come in as arguments. (`tests/architecture.rs` reads the sources and holds this.)
//!
//! Architecture invariant: every state of a run is a fold over its journal rows; nothing here keeps memory of its own.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod approval;
pub mod budget;
pub mod class;
pub mod conditions;
pub mod digest;
pub mod goal;
pub mod journal;
pub mod limits;
pub mod model;
pub mod names;
pub mod policy;
pub mod redact;
pub mod run;
pub mod tool;

pub use digest::Digest;
