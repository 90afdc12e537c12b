//! What to do next: one effect a step.

use jiff::Timestamp;
use serde_json::Value;

use super::state::{CallStage, InFlight, PendingCall};
use super::validate::validate;
use super::words::fingerprint;
use super::{EndReason, RunState, Sandbox};
use crate::approval;
use crate::journal::{
    BudgetSettled, Observation, PlannedTask, Proposal, Reflection, RunFinished, SpecSnapshot, ToolAsked, ToolEnded, Verdict,
};
use crate::limits;
use crate::model::{Arguments, ModelFailure, Position};
use crate::policy::protection;
use crate::tool::{Role, ToolName, wire};

/// The next step of a run. The shell does exactly this and appends what the variant says.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing is journaled: append `run.started` first.
    Begin,
    /// Append `sandbox.requested`, create the Job, attach, append `sandbox.ready`.
    StartSandbox,
    /// Append `workspace.requested`, import, append `workspace.loaded`.
    LoadWorkspace,
    /// Append `model.request`, ask, append `model.response` (and `thought.summary`). The request is [`super::request`]'s of this route.
    CallModel {
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
    /// Policy wants keys: append `approval.requested` unless this attempt is journaled, make the Approval, append `approval.created`.
    AskApproval {
        /// The call.
        call: PendingCall,
        /// People who must approve.
        quorum: u32,
        /// The how manieth time, from 1.
        attempt: u32,
    },
    /// People have the word: look at the Approval, append votes and what [`crate::approval::plan`] settles, or wait.
    AwaitApproval(PendingCall),
    /// Enough approved. Prove anew what would be done, the votes and admission; use the Approval once; append `approval.consumed` and the
    /// decision with the keys.
    UseApproval(PendingCall),
    /// What was reserved for a request that a crash or a stop cut off: nobody knows whether it was charged. Append it.
    SettleInFull(BudgetSettled),
    /// Its intent is durable: make the proposal the Goal's result, append `tool.result`.
    Merge {
        /// Idempotency key.
        key: String,
        /// The id of its call.
        call_id: String,
        /// What is merged.
        proposal: Box<Proposal>,
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
    /// It stands still, for the causes that its rows name.
    Wait,
    /// The run has ended.
    Done,
}

impl Step {
    /// Whether it is work that takes one of the places for runs. Waiting, hearing votes and ending take none.
    pub const fn works(&self) -> bool {
        match self {
            Step::Begin
            | Step::StartSandbox
            | Step::LoadWorkspace
            | Step::CallModel { .. }
            | Step::Decide(_)
            | Step::CallTool { .. }
            | Step::UseApproval(_)
            | Step::Merge { .. }
            | Step::Checkpoint => true,
            Step::Refuse(..)
            | Step::AskApproval { .. }
            | Step::AwaitApproval(_)
            | Step::SettleInFull(_)
            | Step::AwaitAnswer { .. }
            | Step::Answer(_)
            | Step::Reflect(_)
            | Step::End(_)
            | Step::Wait
            | Step::Done => false,
        }
    }
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
    // Votes are counted while it stands still: who voted in time must not lose by it.
    if let Some(call) = state.pending.front().filter(|call| undecided(call)) {
        return Step::AwaitApproval(call.clone());
    }
    if let Some(settled) = cut_off(state) {
        return Step::SettleInFull(settled);
    }
    if !state.gates.pauses.is_empty() {
        return Step::Wait;
    }
    if spec.role.has_sandbox() {
        match state.sandbox {
            Sandbox::None | Sandbox::Requested => return Step::StartSandbox,
            Sandbox::Ready(_) => {}
        }
        if state.workspace.is_none() {
            return Step::LoadWorkspace;
        }
    }
    if state.to_keep {
        return Step::Checkpoint;
    }
    if let Some(call) = state.pending.front() {
        return on_call(state, spec, call);
    }
    if state.to_reflect {
        return Step::Reflect(state.reflection());
    }
    if let Some(refused) = &state.refused {
        let reason = if spec.role == Role::Merge { EndReason::MergeRefused } else { EndReason::AcceptanceFailed };
        return Step::End(Ending::new(reason, refused.clone()));
    }
    match spec.role {
        Role::Merge => Step::End(Ending::new(EndReason::Finished, merged(state, spec))),
        Role::Acceptance => Step::End(Ending::new(EndReason::Finished, format!("All {} acceptance commands passed.", spec.commands.len()))),
        Role::Planner | Role::Coder => ask_model(state, spec),
    }
}

fn out_of_time(state: &RunState, spec: &SpecSnapshot, now: Timestamp) -> Option<Ending> {
    let took = state.worked_ms(now) / 1000;
    if took >= i64::from(spec.limits.seconds) {
        let message = format!("The run took {took} s; spec.limits.seconds is {}.", spec.limits.seconds);
        return Some(Ending::new(EndReason::DeadlineExceeded, message));
    }
    let still = state.pause_seconds(now);
    (still >= i64::from(limits::MAX_PAUSE_SECONDS)).then(|| {
        let message = format!("The run stood still for {still} s; the most is {}.", limits::MAX_PAUSE_SECONDS);
        Ending::new(EndReason::DeadlineExceeded, message)
    })
}

/// Whether people still have the word about this call.
fn undecided(call: &PendingCall) -> bool {
    call.approval.as_ref().is_some_and(|approval| approval.created.is_some() && approval.consumed.is_none() && approval.settled.is_none())
}

/// A reservation whose request nobody waits for any more.
fn cut_off(state: &RunState) -> Option<BudgetSettled> {
    let reserved = state.gates.reserved.as_ref().filter(|_| state.in_flight == Some(InFlight::Model))?;
    Some(BudgetSettled { account: reserved.account.clone(), key: reserved.key.clone(), used: reserved.amounts, in_full: true })
}

fn merged(state: &RunState, spec: &SpecSnapshot) -> String {
    let commit = spec.merge.as_ref().map_or("", |proposal| proposal.head_commit.as_str());
    match state.gates.approved_by.as_slice() {
        [] => format!("{commit} is merged; policy asked for no key."),
        by => format!("{commit} is merged, approved by {}.", by.join(", ")),
    }
}

fn ask_model(state: &RunState, spec: &SpecSnapshot) -> Step {
    if state.useless_in_a_row >= limits::USELESS_ANSWERS_IN_A_ROW {
        let message = format!("The model answered {} times in a row without a tool call that could be understood.", state.useless_in_a_row);
        return Step::End(Ending::new(EndReason::ModelUseless, message));
    }
    let route = match &state.model_failure {
        None => state.route,
        // It may have been answered: asked again, and paid for again.
        Some((ModelFailure::Unavailable, _)) if (1..=limits::MAX_UNCERTAIN_REQUESTS).contains(&state.gates.uncertain_in_a_row) => {
            state.route
        }
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
    if route >= spec.routes.len() {
        return Step::End(Ending::new(EndReason::InternalError, format!("The run has no route {route}.")));
    }
    let lane = spec.task.clone().unwrap_or_else(|| spec.role.as_str().to_lowercase());
    Step::CallModel { position: Position { lane, index: state.answers }, step, route }
}

fn on_call(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall) -> Step {
    match &pending.stage {
        CallStage::Wanted => before_decision(state, spec, pending),
        CallStage::Requested(_) => Step::Decide(pending.clone()),
        CallStage::Judged(canonical, judgement) => match judgement.verdict {
            Verdict::Deny => Step::Answer(ended(pending, Observation::Denied, format!("Denied by policy: {}", judgement.reason))),
            Verdict::Allow => allowed(state, spec, pending, canonical),
            Verdict::Ask { human } => keys(pending, human),
        },
    }
}

/// What a call that wants keys needs next.
fn keys(pending: &PendingCall, quorum: u32) -> Step {
    use reeve_api::ApprovalPhase as Phase;
    let Some(approval) = pending.approval.as_deref() else {
        return Step::AskApproval { call: pending.clone(), quorum, attempt: 1 };
    };
    let approval::State { asked, created, settled, consumed, .. } = approval;
    let no = |message: &str| Step::Answer(ended(pending, Observation::Denied, format!("Not approved: {message}")));
    match settled.as_ref().map(|settled| (settled.phase, settled.message.as_str())) {
        _ if consumed.is_some() => no("it was used, and policy has not spoken since."),
        None if created.is_none() => Step::AskApproval { call: pending.clone(), quorum, attempt: asked.attempt },
        None | Some((Phase::Pending, _)) => Step::AwaitApproval(pending.clone()),
        Some((Phase::Approved, _)) => Step::UseApproval(pending.clone()),
        Some((Phase::Superseded, message)) if asked.attempt >= limits::MAX_APPROVAL_ATTEMPTS => no(message),
        Some((Phase::Superseded, _)) => Step::AskApproval { call: pending.clone(), quorum, attempt: asked.attempt + 1 },
        Some((Phase::Denied | Phase::Expired | Phase::Consumed, message)) => no(message),
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
    if repeats && !spec.role.asks_no_model() {
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

fn allowed(state: &RunState, spec: &SpecSnapshot, pending: &PendingCall, canonical: &wire::Canonical) -> Step {
    match canonical.tool {
        ToolName::Ask => {
            let (question_id, question) = state.question().unwrap_or_default();
            Step::AwaitAnswer { key: pending.key.clone(), call_id: pending.call.id.clone(), question_id, question }
        }
        ToolName::Finish => finish(state, spec, pending, canonical),
        ToolName::Merge => match &spec.merge {
            Some(proposal) => {
                Step::Merge { key: pending.key.clone(), call_id: pending.call.id.clone(), proposal: Box::new(proposal.clone()) }
            }
            None => Step::Answer(ended(pending, Observation::Refused, "There is nothing to merge.")),
        },
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
    let unapproved = |path: &&str| protection(path).is_some() && !state.gates.approved_paths.contains(*path);
    let protected: Vec<&str> = checkpoint.workspace.changed.iter().map(String::as_str).filter(unapproved).collect();
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
