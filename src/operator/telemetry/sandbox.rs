//! Sandboxes, as seen from outside.

use std::time::Duration;

use super::{Event, count, ms};

/// A sandbox answered on its stream.
pub struct SandboxStarted<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// The Pod.
    pub pod: &'a str,
    /// From creating the Job.
    pub took: Duration,
}

impl Event for SandboxStarted<'_> {
    fn emit(self) {
        tracing::info!(run = self.run, pod = self.pod, took_ms = ms(self.took), "sandbox ready");
        count(|metrics| metrics.sandbox_start_seconds.with_label_values::<&str>(&[]).observe(self.took.as_secs_f64()));
    }
}

/// A sandbox failed.
pub struct SandboxFailed<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// In one word.
    pub problem: &'static str,
    /// In the words of the cluster.
    pub message: &'a str,
}

impl Event for SandboxFailed<'_> {
    fn emit(self) {
        tracing::warn!(run = self.run, problem = self.problem, message = self.message, "sandbox failed");
        count(|metrics| metrics.sandbox_problems.with_label_values(&[self.problem]).inc());
    }
}

/// A sandbox's stream ended without being closed by us.
pub struct SessionLost<'a> {
    /// Namespace and name of the Pod.
    pub pod: &'a str,
    /// What is known of it.
    pub why: &'a str,
}

impl Event for SessionLost<'_> {
    fn emit(self) {
        tracing::warn!(pod = self.pod, why = self.why, "sandbox session lost");
        count(|metrics| metrics.sessions_lost.inc());
    }
}

/// Every tool process of a sandbox was killed.
pub struct SandboxHalted<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// Calls that were in flight.
    pub calls: u32,
}

impl Event for SandboxHalted<'_> {
    fn emit(self) {
        tracing::warn!(run = self.run, calls = self.calls, "sandbox halted");
        count(|metrics| metrics.halts.with_label_values(&["sandbox"]).inc());
    }
}

/// A sandbox did not kill its processes when it was told to: its Pod is deleted.
pub struct HaltFailed<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// What is known of it.
    pub why: &'a str,
}

impl Event for HaltFailed<'_> {
    fn emit(self) {
        tracing::error!(run = self.run, why = self.why, "sandbox does not halt: its Pod is deleted");
        count(|metrics| metrics.halts.with_label_values(&["pod"]).inc());
    }
}
