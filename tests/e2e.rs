//! Scenarios on a real cluster, by theme. `./hack/test` prepares the cluster, the chart and the binaries, and runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod anchors;
mod approvals;
mod budgets;
mod chart;
mod crash;
mod crash_gates;
mod fork;
mod goal;
mod journal;
mod journal_faults;
mod kept;
mod kills;
mod kinds;
mod leaders;
mod limits;
mod lost;
mod matrix;
mod models;
mod policy;
mod redaction;
mod references;
mod refusals;
mod run;
mod sandbox;
mod simulator;
