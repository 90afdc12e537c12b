//! What can be seen from outside: one type an observable event, its log line and its metrics declared together.
//!
//! Names follow OpenTelemetry's GenAI conventions where those have one (`gen_ai.*`, with `_` for `.` in Prometheus). Names of runs and
//! objects stand in log lines only: as labels they would grow without bound. No event takes a prompt, an argument or an output.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use reeve_core::class::Class;

mod journal;
mod process;
mod sandbox;
mod watch;

pub use journal::{AnchorFailed, JournalAnchored, JournalFailed, JournalWorks};
pub use sandbox::{HaltFailed, SandboxFailed, SandboxHalted, SandboxStarted, SessionLost};
pub use watch::WatchFailed;

/// The log filter when none is given. rmcp and kube log requests whole at lower levels, arguments of tools included.
pub const DEFAULT_LOG_FILTER: &str = "info,rmcp=warn,kube=warn,tower=warn,hyper=warn,sqlx=warn";

/// What a panic says, as a line of the log: by itself it would go past the log, and what the log masks with it.
pub fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let words = info.payload_as_str().unwrap_or("without words");
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(at, "panicked: {words}");
}

/// Something that an operator of Reeve may want to see.
pub trait Event {
    /// Writes its log line and counts it.
    fn emit(self);
}

struct Metrics {
    registry: Registry,
    lease_epoch: IntGauge,
    lease_troubles: IntCounterVec,
    reconciles: IntCounterVec,
    reconcile_errors: IntCounterVec,
    watch_errors: IntCounterVec,
    status_writes: IntCounterVec,
    runs_started: IntCounterVec,
    runs_finished: IntCounterVec,
    run_seconds: HistogramVec,
    sandbox_start_seconds: HistogramVec,
    sandbox_problems: IntCounterVec,
    sessions_lost: IntCounter,
    model_seconds: HistogramVec,
    model_tokens: IntCounterVec,
    tool_seconds: HistogramVec,
    policy_decisions: IntCounterVec,
    journal_errors: IntCounterVec,
    journal_works: IntGauge,
    halts: IntCounterVec,
    approvals: IntCounterVec,
    anchored_heads: IntGauge,
    anchor_errors: IntCounterVec,
}

/// Seconds of what a person waits for: sandbox starts, model answers, tools.
const WAIT_BUCKETS: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Seconds of a run.
const RUN_BUCKETS: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0, 86400.0];

impl Metrics {
    fn new() -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        registry.register(Box::new(process::Collector::new()?))?;
        let build = IntGaugeVec::new(Opts::new("reeve_build_info", "The version that runs."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| -> prometheus::Result<HistogramVec> {
            let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let lease_epoch = IntGauge::new("reeve_lease_epoch", "Epoch under which this process leads; 0 when it does not.")?;
        registry.register(Box::new(lease_epoch.clone()))?;
        let journal_works =
            IntGauge::new("reeve_journal_works", "1 while the journal takes rows, 0 after it refused one until it takes one.")?;
        journal_works.set(1);
        registry.register(Box::new(journal_works.clone()))?;
        let sessions_lost = IntCounter::new("reeve_sandbox_sessions_lost_total", "Sandbox streams that ended without being closed by us.")?;
        registry.register(Box::new(sessions_lost.clone()))?;
        let anchored_heads = IntGauge::new("reeve_journal_anchored_heads", "Heads of the journal that are signed.")?;
        registry.register(Box::new(anchored_heads.clone()))?;
        Ok(Metrics {
            lease_epoch,
            journal_works,
            sessions_lost,
            lease_troubles: counter("reeve_lease_troubles_total", "Requests about the Lease that failed.", &["doing"])?,
            reconciles: counter("reeve_reconciles_total", "Objects looked at.", &["kind"])?,
            reconcile_errors: counter("reeve_reconcile_errors_total", "Objects that could not be brought forward.", &["kind", "class"])?,
            watch_errors: counter("reeve_watch_errors_total", "Lists and watches that failed; they are tried again.", &["kind", "class"])?,
            status_writes: counter("reeve_status_writes_total", "Writes of status.", &["kind"])?,
            runs_started: counter("reeve_runs_started_total", "Runs that began.", &["role"])?,
            runs_finished: counter("reeve_runs_finished_total", "Runs that ended, by reason.", &["role", "reason"])?,
            run_seconds: histogram("reeve_run_seconds", "Wall time of runs that ended.", &["role"], RUN_BUCKETS)?,
            sandbox_start_seconds: histogram(
                "reeve_sandbox_start_seconds",
                "From creating the Job to an open session.",
                &[],
                WAIT_BUCKETS,
            )?,
            sandbox_problems: counter("reeve_sandbox_problems_total", "Sandboxes that failed, by problem.", &["problem"])?,
            model_seconds: histogram(
                "gen_ai_client_operation_duration_seconds",
                "Duration of model requests; error_type is empty for answers.",
                &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"],
                WAIT_BUCKETS,
            )?,
            model_tokens: counter(
                "gen_ai_client_token_usage_total",
                "Tokens used, by type.",
                &["gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
            )?,
            tool_seconds: histogram("reeve_tool_seconds", "Duration of tool calls.", &["gen_ai_tool_name", "status"], WAIT_BUCKETS)?,
            policy_decisions: counter("reeve_policy_decisions_total", "What policy said.", &["gen_ai_tool_name", "verdict"])?,
            journal_errors: counter("reeve_journal_errors_total", "Journal appends that failed.", &["class"])?,
            halts: counter("reeve_halts_total", "Runs whose processes were killed by a kill switch, by what did it.", &["by"])?,
            anchored_heads,
            anchor_errors: counter("reeve_journal_anchor_errors_total", "Signed heads that could not be written somewhere.", &["to"])?,
            approvals: counter("reeve_approvals_total", "Approvals, by action and phase.", &["action", "phase"])?,
            registry,
        })
    }
}

static METRICS: LazyLock<prometheus::Result<Metrics>> = LazyLock::new(Metrics::new);

/// Makes the metrics. Call it at start: where it fails, events are logged but not counted, which is a reason not to start.
///
/// # Errors
/// When a family is declared twice or badly.
pub fn check() -> Result<(), &'static prometheus::Error> {
    METRICS.as_ref().map(|_| ())
}

/// Everything counted so far, in Prometheus' text format.
///
/// # Errors
/// When the metrics could not be made ([`check`]) or written.
pub fn render() -> Result<String, String> {
    let metrics = METRICS.as_ref().map_err(ToString::to_string)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&metrics.registry.gather(), &mut text).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn count(with: impl FnOnce(&Metrics)) {
    if let Ok(metrics) = METRICS.as_ref() {
        with(metrics);
    }
}

/// This process leads.
pub struct LeaseTaken<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// Who it is.
    pub identity: &'a str,
}

impl Event for LeaseTaken<'_> {
    fn emit(self) {
        tracing::info!(epoch = self.epoch, identity = self.identity, "leading");
        count(|metrics| metrics.lease_epoch.set(i64::try_from(self.epoch).unwrap_or(i64::MAX)));
    }
}

/// The Lease gave an epoch that another process has written under: someone deleted the Lease.
pub struct EpochTaken {
    /// What the Lease gave.
    pub epoch: u64,
    /// What the journal has seen.
    pub highest: u64,
}

impl Event for EpochTaken {
    fn emit(self) {
        tracing::warn!(epoch = self.epoch, highest = self.highest, "the epoch is another's: asking for a higher one");
        count(|metrics| metrics.lease_troubles.with_label_values(&["claiming"]).inc());
    }
}

/// This process leads no more.
pub struct LeaseEnded {
    /// Whether it gave the Lease up by itself.
    pub released: bool,
}

impl Event for LeaseEnded {
    fn emit(self) {
        if self.released {
            tracing::info!("leadership released");
        } else {
            tracing::error!("leadership lost: all work stops");
        }
        count(|metrics| metrics.lease_epoch.set(0));
    }
}

/// A request about the Lease failed.
pub struct LeaseTrouble<'a> {
    /// The step.
    pub doing: &'static str,
    /// The error.
    pub error: &'a str,
}

impl Event for LeaseTrouble<'_> {
    fn emit(self) {
        tracing::warn!(doing = self.doing, error = self.error, "trouble with the Lease");
        count(|metrics| metrics.lease_troubles.with_label_values(&[self.doing]).inc());
    }
}

/// An object was looked at.
pub struct Reconciled<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How long that took.
    pub took: Duration,
}

impl Event for Reconciled<'_> {
    fn emit(self) {
        tracing::debug!(kind = self.kind, name = self.name, took_ms = ms(self.took), "reconciled");
        count(|metrics| metrics.reconciles.with_label_values(&[self.kind]).inc());
    }
}

/// An object could not be brought forward.
pub struct ReconcileFailed<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace and name.
    pub object: &'a str,
    /// What kind of trouble.
    pub class: Class,
    /// The error.
    pub error: &'a str,
    /// When it is tried again.
    pub again_in: Duration,
}

impl Event for ReconcileFailed<'_> {
    fn emit(self) {
        let ReconcileFailed { kind, object, class, error, again_in } = self;
        let again_ms = ms(again_in);
        match class {
            Class::Bug => tracing::error!(kind, object, %class, error, again_ms, "reconcile failed"),
            Class::Conflict => tracing::debug!(kind, object, %class, error, again_ms, "reconcile failed"),
            Class::Invalid | Class::Throttled | Class::Transient => {
                tracing::warn!(kind, object, %class, error, again_ms, "reconcile failed");
            }
        }
        count(|metrics| {
            metrics.reconciles.with_label_values(&[kind]).inc();
            metrics.reconcile_errors.with_label_values(&[kind, class.as_str()]).inc();
        });
    }
}

/// A status was written.
pub struct StatusWritten<'a> {
    /// Kind of the object.
    pub kind: &'a str,
}

impl Event for StatusWritten<'_> {
    fn emit(self) {
        count(|metrics| metrics.status_writes.with_label_values(&[self.kind]).inc());
    }
}

/// A run began.
pub struct RunStarted<'a> {
    /// Namespace and name.
    pub run: &'a str,
    /// UID.
    pub uid: &'a str,
    /// Role.
    pub role: &'a str,
}

impl Event for RunStarted<'_> {
    fn emit(self) {
        tracing::info!(run = self.run, uid = self.uid, role = self.role, "run started");
        count(|metrics| metrics.runs_started.with_label_values(&[self.role]).inc());
    }
}

/// A run ended.
pub struct RunFinished<'a> {
    /// Namespace and name.
    pub run: &'a str,
    /// UID.
    pub uid: &'a str,
    /// Role.
    pub role: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Model answers that it took.
    pub steps: u32,
    /// From its start.
    pub took: Duration,
}

impl Event for RunFinished<'_> {
    fn emit(self) {
        let RunFinished { run, uid, role, reason, steps, took } = self;
        tracing::info!(run, uid, role, reason, steps, took_ms = ms(took), "run finished");
        count(|metrics| {
            metrics.runs_finished.with_label_values(&[role, reason]).inc();
            metrics.run_seconds.with_label_values(&[role]).observe(took.as_secs_f64());
        });
    }
}

/// An approval was settled or used.
pub struct ApprovalMoved<'a> {
    /// Namespace and name of the Approval.
    pub approval: &'a str,
    /// What is asked for.
    pub action: &'a str,
    /// Its phase.
    pub phase: &'a str,
}

impl Event for ApprovalMoved<'_> {
    fn emit(self) {
        let ApprovalMoved { approval, action, phase } = self;
        tracing::info!(approval, action, phase, "approval");
        count(|metrics| metrics.approvals.with_label_values(&[action, phase]).inc());
    }
}

/// A model was asked.
pub struct ModelAsked<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// The ModelProvider.
    pub provider: &'a str,
    /// The model.
    pub model: &'a str,
    /// From sending to the whole answer.
    pub took: Duration,
    /// Input and output tokens, or the kind of error in one word.
    pub outcome: Result<(u64, u64), &'a str>,
}

impl Event for ModelAsked<'_> {
    fn emit(self) {
        let ModelAsked { run, provider, model, took, outcome } = self;
        let took_ms = ms(took);
        match outcome {
            Ok((input, output)) => tracing::info!(
                run,
                gen_ai.provider.name = provider,
                gen_ai.request.model = model,
                gen_ai.usage.input_tokens = input,
                gen_ai.usage.output_tokens = output,
                took_ms,
                "model answered"
            ),
            Err(error) => tracing::warn!(
                run,
                gen_ai.provider.name = provider,
                gen_ai.request.model = model,
                error.type = error,
                took_ms,
                "model did not answer"
            ),
        }
        count(|metrics| {
            let error = outcome.err().unwrap_or_default();
            metrics.model_seconds.with_label_values(&["chat", provider, model, error]).observe(took.as_secs_f64());
            if let Ok((input, output)) = outcome {
                metrics.model_tokens.with_label_values(&[provider, model, "input"]).inc_by(input);
                metrics.model_tokens.with_label_values(&[provider, model, "output"]).inc_by(output);
            }
        });
    }
}

/// A tool was called.
pub struct ToolCalled<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// How it ended.
    pub status: &'a str,
    /// How long it ran.
    pub took: Duration,
}

impl Event for ToolCalled<'_> {
    fn emit(self) {
        let ToolCalled { run, tool, status, took } = self;
        tracing::info!(run, gen_ai.tool.name = tool, status, took_ms = ms(took), "tool called");
        count(|metrics| metrics.tool_seconds.with_label_values(&[tool, status]).observe(took.as_secs_f64()));
    }
}

/// Policy judged a call.
pub struct PolicyDecided<'a> {
    /// Namespace and name of the run.
    pub run: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// What it said.
    pub verdict: &'a str,
}

impl Event for PolicyDecided<'_> {
    fn emit(self) {
        let PolicyDecided { run, tool, verdict } = self;
        tracing::debug!(run, gen_ai.tool.name = tool, verdict, "policy decided");
        count(|metrics| metrics.policy_decisions.with_label_values(&[tool, verdict]).inc());
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
