//! Shows a run: its status, at most one write a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::{Client, ResourceExt as _};
use reeve_api::{AgentRun, AgentRunPhase, AgentRunStatus, Condition, ConditionStatus};
use reeve_core::conditions::{self, Say};
use reeve_core::journal::{Head, Stream};
use reeve_core::run::{self, EndReason, NotReady, RunState};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::crash;
use crate::anchors::Anchors;
use crate::cluster::{WriteError, write_status};
use crate::context::Context;
use crate::error::Error;
use crate::sandbox::job_name;
use crate::surroundings::Clock;
use crate::telemetry::{Event as _, ReconcileFailed, StatusWritten};

/// Between two writes of one run's status.
const INTERVAL: Duration = Duration::from_secs(1);

/// Takes statuses and writes the latest. Clones share one writer.
#[derive(Clone)]
pub(super) struct Publisher(Arc<Inner>);

struct Inner {
    name: String,
    run: AgentRun,
    job: String,
    clock: Clock,
    anchors: Option<Arc<Anchors>>,
    latest: watch::Sender<Option<AgentRunStatus>>,
    /// The run has its last row, whatever was shown of it so far.
    over: AtomicBool,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    /// Starts the writer of this run.
    pub(super) fn start(context: &Arc<Context>, run: &AgentRun) -> Publisher {
        let (latest, wanted) = watch::channel(None);
        let name = format!("{}/{}", run.namespace().unwrap_or_default(), run.name_any());
        let shown = run.status.clone();
        let writer = tokio::spawn(write_all(Arc::clone(context), run.clone(), name.clone(), shown, wanted));
        let writer = tokio::sync::Mutex::new(Some(writer));
        let (clock, anchors) = (context.surroundings.clock, context.anchors.clone());
        Publisher(Arc::new(Inner {
            name,
            job: job_name(run),
            clock,
            anchors,
            run: run.clone(),
            latest,
            over: AtomicBool::new(false),
            writer,
        }))
    }

    /// Namespace and name of the run.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Shows what the rows have. They are durable.
    pub(super) fn publish(&self, state: &RunState, head: Option<Head>, generation: Option<i64>) {
        let old = self.conditions();
        let mut status = run::project(state, head, &old, generation, &self.0.job, self.0.clock.now());
        if let (Some(shown), Some(head), Some(anchors)) = (&mut status.journal, head, &self.0.anchors) {
            let stream = Stream::run(&state.uid);
            anchors.sign(&stream, &head, shown);
            if self.phase() != status.phase {
                anchors.want(&stream);
            }
        }
        self.0.latest.send_replace(Some(status));
    }

    /// Shows what a run that has not begun waits for.
    pub(super) fn waiting(&self, why: &NotReady) {
        let say = Say::ready(ConditionStatus::False, why.reason, why.message.clone());
        let phase = if matches!(why.reason, "Suspended" | "KillSwitchEngaged") { AgentRunPhase::Suspended } else { AgentRunPhase::Pending };
        let status = AgentRunStatus {
            phase: Some(phase),
            observed_generation: self.0.run.metadata.generation,
            conditions: conditions::set(&self.conditions(), &[say], self.0.run.metadata.generation, self.0.clock.now()),
            ..AgentRunStatus::default()
        };
        self.0.latest.send_replace(Some(status));
    }

    /// The run has its last row: from here on it shows its end, or what was shown before. What is left to do and fails is logged and counted.
    pub(super) fn is_over(&self) {
        self.0.over.store(true, Ordering::SeqCst);
    }

    /// Shows that the run cannot go on for the moment; nothing of one that has ended.
    pub(super) fn interrupted(&self, error: &Error) {
        if self.0.over.load(Ordering::SeqCst) {
            return;
        }
        let reason = match error {
            Error::Store(_) => "JournalUnavailable",
            Error::Api(_) | Error::Write(_) | Error::Lease(_) | Error::Unanswered(_) => "ClusterUnavailable",
            Error::Cut(_) => "SandboxUnreachable",
            Error::AdmissionNotInForce(_) => "AdmissionNotInForce",
            Error::Exceeded(_) => "BudgetExhausted",
            Error::Stopping(_)
            | Error::Fenced(_)
            | Error::Unreadable(_)
            | Error::Config(_)
            | Error::Bug(_)
            | Error::TooLarge { .. }
            | Error::JournalLost(_) => "InternalError",
        };
        let mut status = self.0.latest.borrow().clone().or_else(|| self.0.run.status.clone()).unwrap_or_default();
        let message = format!("{error}. It is tried again.");
        let say = Say::ready(ConditionStatus::Unknown, reason, message);
        status.conditions = conditions::set(&status.conditions, &[say], self.0.run.metadata.generation, self.0.clock.now());
        self.0.latest.send_replace(Some(status));
    }

    /// Shows an end that could not be journaled.
    pub(super) fn ended_without_a_row(&self, error: &Error) {
        let reason = if matches!(error, Error::JournalLost(_)) { EndReason::JournalLost } else { EndReason::InternalError };
        let mut status = self.0.latest.borrow().clone().or_else(|| self.0.run.status.clone()).unwrap_or_default();
        let say = Say::ready(ConditionStatus::False, reason.as_str(), error.to_string());
        status.phase = Some(AgentRunPhase::Failed);
        status.conditions = conditions::set(&status.conditions, &[say], self.0.run.metadata.generation, self.0.clock.now());
        self.0.latest.send_replace(Some(status));
    }

    /// Waits until the last status is written.
    pub(super) async fn finish(&self) {
        let writer = self.0.writer.lock().await.take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(run = self.0.name, %error, "the status writer ended early");
        }
    }

    /// The phase that was shown last.
    fn phase(&self) -> Option<AgentRunPhase> {
        match self.0.latest.borrow().as_ref() {
            Some(status) => status.phase,
            None => self.0.run.status.as_ref().and_then(|status| status.phase),
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        match self.0.latest.borrow().as_ref() {
            Some(status) => status.conditions.clone(),
            None => self.0.run.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default(),
        }
    }
}

/// Writes the latest status whenever it differs from the shown one, until one is final or the publisher is gone.
async fn write_all(
    context: Arc<Context>,
    run: AgentRun,
    name: String,
    mut shown: Option<AgentRunStatus>,
    mut wanted: watch::Receiver<Option<AgentRunStatus>>,
) {
    let namespace = run.namespace().unwrap_or_default();
    let mut not_before = Instant::now();
    loop {
        let latest = wanted.borrow_and_update().clone();
        if let Some(latest) = latest.filter(|latest| shown.as_ref() != Some(latest)) {
            tokio::time::sleep_until(not_before).await;
            // What came in while waiting is newer.
            let latest = wanted.borrow_and_update().clone().unwrap_or(latest);
            not_before = Instant::now() + INTERVAL;
            let mut clean = latest.clone();
            for condition in &mut clean.conditions {
                condition.message = context.secrets.redacted_text(&namespace, &condition.message);
            }
            if write(&context.client, &run, &clean, &name).await == Written::Gone {
                return;
            }
            shown = Some(latest);
        }
        if shown.as_ref().and_then(|status| status.phase).is_some_and(AgentRunPhase::is_final) || wanted.changed().await.is_err() {
            return;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Written {
    /// It stands there, or a later write will put it there.
    Done,
    /// The object is gone, or another one by now.
    Gone,
}

async fn write(client: &Client, run: &AgentRun, status: &AgentRunStatus, name: &str) -> Written {
    let last = status.phase.is_some_and(AgentRunPhase::is_final);
    if last {
        crash::point("status.final.before");
    }
    // A final status is worth insisting on: nothing else will write it while this process lives.
    let mut wait = Duration::from_millis(200);
    let mut missed = false;
    loop {
        match write_status(client, run, None, status).await {
            Ok(_) => {
                StatusWritten { kind: "AgentRun" }.emit();
                if last {
                    crash::point("status.final.after");
                }
                return Written::Done;
            }
            Err(error) => {
                let class = error.class();
                // What is forbidden or refused may be allowed again: rights are being upgraded.
                // A run that is missing is asked for once more before it is given up for ever.
                let gone = error.is_gone() && (missed || matches!(error, WriteError::MadeAnew { .. }));
                missed = error.is_gone();
                ReconcileFailed { kind: "AgentRun", object: name, class, error: &error.to_string(), again_in: wait }.emit();
                if gone {
                    return Written::Gone;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(30));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicU16, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn run() -> AgentRun {
        let spec = json!({ "role": "Coder", "objective": "Do it.", "profileRef": { "name": "coder" } });
        let metadata = json!({ "name": "r1", "namespace": "team", "uid": "u1" });
        let object = json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": metadata, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    /// Answers this code until it was asked so often, and then grants.
    async fn written_after(code: u16, refusals: u16) -> (bool, u16) {
        let asked = Arc::new(AtomicU16::new(0));
        let counts = Arc::clone(&asked);
        let server = tower::service_fn(move |_: Request<Body>| {
            let (code, body) = if counts.fetch_add(1, Ordering::SeqCst) < refusals {
                (code, serde_json::to_vec(&Status::failure("no", "").with_code(code)).unwrap())
            } else {
                (200, serde_json::to_vec(&run()).unwrap())
            };
            async move { Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(Body::from(body)).unwrap()) }
        });
        let done = write(&Client::new(server, "team"), &run(), &AgentRunStatus::default(), "team/r1").await == Written::Done;
        (done, asked.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_run_that_is_gone_gets_no_status_any_more() {
        for code in [400, 401, 403, 409, 410, 429, 500, 503, 504] {
            assert_eq!(written_after(code, 2).await, (true, 3), "{code}");
        }
        assert_eq!(written_after(404, 1).await, (true, 2));
        assert_eq!(written_after(404, 2).await, (false, 2));
    }
}
