//! Kubernetes in memory: what Reeve's controllers speak to when a test owns time, order and every failure.
//!
//! Architecture invariant: nothing here reads a clock or draws a random number of its own. Time and seed come in as arguments, so one number
//! is a whole run. (`api/tests.rs`, `the_same_requests_give_the_same_bytes`.)
//!
//! Architecture invariant: the server answers as kube-apiserver does. Random sequences of requests go to both (`tests/simulator.rs`);
//! where it differs on purpose, `api/differences.md` says so.
#![forbid(unsafe_code)]

pub mod api;
pub mod world;
