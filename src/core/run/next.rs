//! What to do next: one effect a step.

use jiff::Timestamp;
use serde_json::Value;

use super::state::{CallStage, PendingCall, fingerprint};
use super::{EndReason, RunState, Sandbox};
use crate::journal::{Observation, PlannedTask, Reflection, RunFinished, SpecSnapshot, ToolAsked, ToolEnded, Verdict};
use crate::limits;
use crate::model::{Arguments, ModelFailure, ModelRequest, Position, ToolCall};
use crate::policy::protection;
use crate::redact::MASK;
use crate::tool::{Role, ToolName, catalog, wire};

/// The next step of a run. The shell does exactly this and appends what the variant says.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing is journaled: append `run.started` first.
    Begin,
    /// Append `sandbox.requested`, create the Job, attach, append `sandbox.ready`.
    StartSandbox,
    /// Append `workspace.requested`, import, append `workspace.loaded`.
    LoadWorkspace,
    /// Append `model.request`, ask, append `model.response` (and `thought.summary`).
    CallModel {
        /// The request.
        request: Box<ModelRequest>,
        /// Where it stands in the run.
        position: Position,
        /// Step, from 1.
        step: u32,
        /// Index into the routes.
        route: usize,
    },
    /// Resolve (control tools resolve to their own arguments), judge, append `tool.requested` and `policy.decision`.
    /// Where resolving fails, append `tool.requested` and a `tool.result` with [`Observation::Invalid`].
    Decide(PendingCall),
    /// The call cannot be made: append both.
    Refuse(ToolAsked, ToolEnded),
    /// Its intent is durable: make it (or find it in the ledger), append `tool.result`.
    CallTool {
        /// Idempotency key.
        key: String,
        /// The model's id.
        call_id: String,
        /// What was judged.
        canonical: wire::Canonical,
        /// Under which limits.
        confinement: wire::Confinement,
    },
    /// A person has to answer; append `tool.result` with [`Observation::Answered`] when `spec.answers` holds the id.
    AwaitAnswer {
        /// Idempotency key.
        key: String,
        /// The model's id.
        call_id: String,
        /// Key into `spec.answers`.
        question_id: String,
        /// What is asked.
        question: String,
    },
    /// Append `checkpoint.requested`, pack, keep both blobs, append `checkpoint`.
    Checkpoint,
    /// No effect: append `tool.result`.
    Answer(ToolEnded),
    /// No effect: append `reflect`.
    Reflect(Reflection),
    /// Append `run.finished`, close the sandbox.
    End(Ending),
    /// A person has suspended the run.
    Wait,
    /// The run has ended.
    Done,
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// For a person.
    pub message: String,
    /// The plan, of a planner.
    pub tasks: Vec<PlannedTask>,
}

impl Ending {
    /// An end without a plan.
    pub fn new(reason: EndReason, message: impl Into<String>) -> Ending {
        Ending { reason, message: message.into(), tasks: Vec::new() }
    }

    /// The body of `run.finished`.
    pub fn finished(self, at: Timestamp) -> RunFinished {
        let Ending { reason, message, tasks } = self;
        RunFinished { succeeded: reason == EndReason::Finished, reason, message, tasks, at }
    }
}

/// The next step.
///
/// Guarantees: an intent without its outcome is taken up again under the same key; a limit that is reached ends the run before the next
/// effect; a run that has ended does nothing.
pub fn next(state: &RunState, now: Timestamp) -> Step {
    let Some(started) = &state.started else { return Step::Begin };
    if state.finished.is_some() {
        return Step::Done;
    }
    let spec = &started.spec;
    if let Some(ending) = out_of_time(state, spec, now) {
        return Step::End(ending);
    }
    if state.suspended {
        return Step::Wait;
    }
    match state.sandbox {
        Sandbox::None | Sandbox::Requested => return Step::StartSandbox,
        Sandbox::Ready(_) => {}
    }
    if state.workspace.is_none() {
        return Step::LoadWorkspace;
    }
    if let Some(call) = state.pending.front() {
        return on_call(state, spec, call);
    }
    if state.to_reflect {
        return Step::Reflect(state.reflection());
    }
    if let Some(failed) = &state.acceptance_failed {
        return Step::End(Ending::new(EndReason::AcceptanceFailed, failed.clone()));
    }
    match spec.role {
        Role::Acceptance => Step::End(Ending::new(EndReason::Finished, format!("All {} acceptance commands passed.", spec.commands.len()))),
        Role::Planner | Role::Coder => ask_model(state, spec),
    }
}

fn out_of_time(state: &RunState, spec: &SpecSnapshot, now: Timestamp) -> Option<Ending> {
    let took = now.as_second().saturating_sub(state.started_at?.as_second());
    (took >= i64::from(spec.limits.seconds)).then(|| {
        Ending::new(EndReason::DeadlineExceeded, format!("The run took {took} s; spec.limits.seconds is {}.", spec.limits.seconds))
    })
}

fn ask_model(state: &RunState, spec: &SpecSnapshot) -> Step {
    if state.useless_in_a_row >= limits::USELESS_ANSWERS_IN_A_ROW {
        let message = format!("The model answered {} times in a row without a tool call that could be understood.", state.useless_in_a_row);
        return Step::End(Ending::new(EndReason::ModelUseless, message));
    }
    let route = match &state.model_failure {
        None => state.route,
        Some((ModelFailure::TranscriptMiss, message)) => return Step::End(Ending::new(EndReason::TranscriptMiss, message.clone())),
        Some((failure, message)) if state.route + 1 >= spec.routes.len() => {
            return Step::End(Ending::new(EndReason::ModelFailed, format!("{}: {message}", failure.as_str())));
        }
        Some(_) => state.route + 1,
    };
    // A request in flight, or one that failed over to the next route, belongs to a step that has begun.
    let step = if state.in_flight.is_some() || state.model_failure.is_some() { state.step } else { state.step + 1 };
    if step > spec.limits.steps {
        return Step::End(Ending::new(
            EndReason::StepLimitReached,
            format!("The run took {} steps; spec.limits.steps allows no more.", state.step),
        ));
    }
    let Some(request) = super::request(state, route) else {
        return Step::End(Ending::new(EndReason::InternalError, format!("The run has no route {route}.")));
    };
    let lane = spec.task.clone().unwrap_or_else(|| spec.role.as_str().to_lowercase());
    Step::CallModel { request: Box::new(request), position: Position { lane, index: state.answers }, step, route }
}

fn on_call(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall) -> Step {
    match &pending.stage {
        CallStage::Wanted => before_decision(state, spec, pending),
        CallStage::Requested(_) => Step::Decide(pending.clone()),
        CallStage::Judged(canonical, judgement) => match judgement.verdict {
            Verdict::Deny => Step::Answer(ended(pending, Observation::Denied, format!("Denied by policy: {}", judgement.reason))),
            Verdict::Allow => allowed(state, spec, pending, canonical),
        },
    }
}

fn before_decision(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall) -> Step {
    if state.tool_calls >= spec.limits.tool_calls {
        let message = format!("The run made {} tool calls; spec.limits.toolCalls allows no more.", state.tool_calls);
        return Step::End(Ending::new(EndReason::ToolCallLimitReached, message));
    }
    if state.output_bytes >= spec.limits.output_bytes {
        let message = format!("Tools and model gave back {} bytes; spec.limits.outputBytes allows no more.", state.output_bytes);
        return Step::End(Ending::new(EndReason::OutputLimitReached, message));
    }
    let repeats =
        state.same_call.is_some_and(|(last, times)| last == fingerprint(&pending.call) && times + 1 >= limits::IDENTICAL_CALLS_IN_A_ROW);
    if repeats && spec.role != Role::Acceptance {
        let message = format!("{} came {} times in a row with the same arguments.", pending.call.name, limits::IDENTICAL_CALLS_IN_A_ROW);
        return Step::End(Ending::new(EndReason::RepeatedCall, message));
    }
    match validate(spec, &pending.call) {
        Ok(()) => Step::Decide(pending.clone()),
        Err(why) => {
            let asked = asked(pending, None);
            Step::Refuse(asked, ended(pending, Observation::Invalid, why))
        }
    }
}

/// Checks name and arguments against the catalogue. The text is for the model.
fn validate(spec: &SpecSnapshot, call: &ToolCall) -> Result<(), String> {
    let offered = catalog(spec.role).into_iter().filter(|tool| spec.tools.contains(&tool.name)).collect::<Vec<_>>();
    let Some(tool) = offered.iter().find(|tool| tool.name.as_str() == call.name) else {
        let names = offered.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("There is no tool {:?} here. Tools: {names}.", call.name));
    };
    let arguments = match &call.arguments {
        Arguments::Json(value) => value,
        Arguments::Invalid(text) => {
            let start: String = text.chars().take(200).collect();
            return Err(format!("The arguments of {} are not JSON: {start:?}.", call.name));
        }
    };
    if !tool.annotations.read_only && holds_mask(arguments) {
        return Err(format!(
            "The arguments of {} hold {MASK}: what stood there is a secret, or looks like one, and is kept out of the journal. It was not done.",
            call.name
        ));
    }
    let validator =
        jsonschema::draft202012::new(&tool.input_schema).map_err(|error| format!("The schema of {} is broken: {error}", call.name))?;
    let errors = validator
        .iter_errors(arguments)
        .take(5)
        .map(|error| {
            let at = error.instance_path().to_string();
            format!("{}{error}", if at.is_empty() { String::new() } else { format!("{at}: ") })
        })
        .collect::<Vec<_>>();
    if errors.is_empty() { Ok(()) } else { Err(format!("Invalid arguments of {}: {}.", call.name, errors.join("; "))) }
}

/// A redacted text must not be written over the real one.
fn holds_mask(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(holds_mask),
        Value::Object(fields) => fields.values().any(holds_mask),
    }
}

fn allowed(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall, canonical: &wire::Canonical) -> Step {
    match canonical.tool {
        ToolName::Ask => {
            let (question_id, question) = state.question().unwrap_or_default();
            Step::AwaitAnswer { key: pending.key.clone(), call_id: pending.call.id.clone(), question_id, question }
        }
        ToolName::Finish => finish(state, spec, pending, canonical),
        ToolName::FsRead
        | ToolName::FsWrite
        | ToolName::FsEdit
        | ToolName::FsList
        | ToolName::FsSearch
        | ToolName::ShellRun
        | ToolName::TestsRun
        | ToolName::GitDiff
        | ToolName::GitCommit => Step::CallTool {
            key: pending.key.clone(),
            call_id: pending.call.id.clone(),
            canonical: canonical.clone(),
            confinement: confinement(spec, canonical),
        },
    }
}

fn confinement(spec: &SpecSnapshot, canonical: &wire::Canonical) -> wire::Confinement {
    let asked_ms = canonical.arguments.get("timeout_seconds").and_then(Value::as_u64).map(|seconds| seconds.saturating_mul(1000));
    wire::Confinement {
        network: wire::Network::None,
        workspace_writable: spec.role != Role::Planner,
        timeout_ms: asked_ms.unwrap_or(limits::DEFAULT_TOOL_TIMEOUT_MS).min(limits::CEILING_TOOL_TIMEOUT_MS),
        output_head_bytes: limits::OUTPUT_HEAD_BYTES,
        output_tail_bytes: limits::OUTPUT_TAIL_BYTES,
    }
}

fn finish(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall, canonical: &wire::Canonical) -> Step {
    let message = text(&canonical.arguments, "summary");
    if spec.role == Role::Planner {
        let tasks: Vec<PlannedTask> =
            canonical.arguments.get("tasks").cloned().and_then(|tasks| serde_json::from_value(tasks).ok()).unwrap_or_default();
        let mut names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Step::Answer(ended(
                pending,
                Observation::Refused,
                format!("Two tasks are named {:?}; each needs a name of its own.", twice[0]),
            ));
        }
        return Step::End(Ending { reason: EndReason::Finished, message, tasks });
    }
    let Some(checkpoint) = state.checkpoint.as_ref().filter(|_| state.checkpoint_fresh) else { return Step::Checkpoint };
    let uncommitted = &checkpoint.workspace.uncommitted;
    if !uncommitted.is_empty() {
        let names = uncommitted.join(", ");
        return Step::Answer(ended(
            pending,
            Observation::Refused,
            format!("Not finished: {names} changed and not committed. Commit, then finish."),
        ));
    }
    // A program that a tool started may have written what fs.* may not: here it is found, whoever wrote it.
    let protected: Vec<&str> = checkpoint.workspace.changed.iter().map(String::as_str).filter(|path| protection(path).is_some()).collect();
    if !protected.is_empty() {
        let names = protected.join(", ");
        return Step::Answer(ended(
            pending,
            Observation::Refused,
            format!("Not finished: {names} changed, and is protected. Restore it, commit, then finish."),
        ));
    }
    Step::End(Ending::new(EndReason::Finished, message))
}

fn text(arguments: &Value, field: &str) -> String {
    arguments.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The body of `tool.requested` for this call.
pub fn asked(pending: &PendingCall, canonical: Option<wire::Canonical>) -> ToolAsked {
    let arguments = match &pending.call.arguments {
        Arguments::Json(value) => value.clone(),
        Arguments::Invalid(text) => Value::String(text.clone()),
    };
    let PendingCall { key, call, .. } = pending;
    ToolAsked { key: key.clone(), call_id: call.id.clone(), canonical, name: call.name.clone(), arguments }
}

/// The body of `tool.result` for this call.
pub fn ended(pending: &PendingCall, observation: Observation, content: impl Into<String>) -> ToolEnded {
    ToolEnded { key: pending.key.clone(), call_id: pending.call.id.clone(), observation, content: content.into() }
}
