//! What can stand in a journal. One variant a kind; the kind's name is the serde tag.
//!
//! Architecture invariant: an event holds everything that the fold needs. Nothing that a run depends on later (prompts, limits, routes) is
//! read from the cluster again, so an edit of a profile never changes a run that has started.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gates::{
    ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, ApprovalTerms, ApprovalVote, BudgetLimited, BudgetReserved,
    BudgetSettled, KillSeen, Proposal, Resumption, Suspension,
};
use crate::Digest;
use crate::budget::Price;
use crate::model::ModelResponse;
use crate::tool::{Role, ToolName, wire};

/// Who made an event happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Reeve itself.
    Operator,
    /// A model.
    Model,
    /// The sandbox.
    Sandbox,
    /// A person, by the name that the API server proved.
    Person(String),
    /// Whoever changed the object's spec: somebody with the right to, by a name that nobody proved.
    Spec,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Operator => f.write_str("operator"),
            Actor::Model => f.write_str("model"),
            Actor::Sandbox => f.write_str("sandbox"),
            Actor::Person(name) => write!(f, "person:{name}"),
            Actor::Spec => f.write_str("spec"),
        }
    }
}

/// The phase of the loop that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Deciding what to do: a model is asked.
    Plan,
    /// Doing it: a tool is judged and called.
    Act,
    /// Taking in what came of it.
    Observe,
    /// Weighing the step: go on, or stop.
    Reflect,
    /// Around the loop: start, sandbox, end.
    Lifecycle,
}

impl Phase {
    /// As shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Plan => "Plan",
            Phase::Act => "Act",
            Phase::Observe => "Observe",
            Phase::Reflect => "Reflect",
            Phase::Lifecycle => "Lifecycle",
        }
    }
}

/// One thing that happened, or is about to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body")]
pub enum Event {
    /// First row of every run: all that it will need to know.
    #[serde(rename = "run.started")]
    RunStarted(Box<RunStarted>),
    /// Intent: a sandbox Job is about to be created.
    #[serde(rename = "sandbox.requested")]
    SandboxRequested(SandboxAsked),
    /// Outcome: the sandbox answered on its stream.
    #[serde(rename = "sandbox.ready")]
    SandboxReady(SandboxReady),
    /// Intent: a workspace is about to be loaded (idempotent by digest).
    #[serde(rename = "workspace.requested")]
    WorkspaceRequested {
        /// Digest of the packed workspace in the artifact store.
        digest: Digest,
    },
    /// Outcome: it is loaded.
    #[serde(rename = "workspace.loaded")]
    WorkspaceLoaded(WorkspaceLoaded),
    /// Intent: a model is about to be asked.
    #[serde(rename = "model.request")]
    ModelRequest(ModelAsked),
    /// Outcome: it answered, or did not.
    #[serde(rename = "model.response")]
    ModelResponse(ModelAnswered),
    /// Plan: what the model said it would do, in its own words.
    #[serde(rename = "thought.summary")]
    ThoughtSummary {
        /// The text, redacted.
        text: String,
    },
    /// Act: a tool call was asked for and resolved. Together with an Allow decision, the intent of the call.
    #[serde(rename = "tool.requested")]
    ToolRequested(ToolAsked),
    /// Act: what policy says of it.
    #[serde(rename = "policy.decision")]
    PolicyDecision(Judgement),
    /// Observe: what came of it, for the model to read.
    #[serde(rename = "tool.result")]
    ToolResult(ToolEnded),
    /// Reflect: the step weighed.
    #[serde(rename = "reflect")]
    Reflect(Reflection),
    /// Intent: the workspace is about to be packed.
    #[serde(rename = "checkpoint.requested")]
    CheckpointRequested {
        /// Step it belongs to.
        step: u32,
    },
    /// Outcome: the workspace's commits are in the artifact store.
    #[serde(rename = "checkpoint")]
    Checkpoint(Box<CheckpointTaken>),
    /// Act: people are about to be asked.
    #[serde(rename = "approval.requested")]
    ApprovalRequested(Box<ApprovalAsked>),
    /// Act: they can vote from here on. Votes count on this object only, and only while admission is what it was.
    #[serde(rename = "approval.created")]
    ApprovalCreated(ApprovalCreated),
    /// Act: somebody voted.
    #[serde(rename = "approval.vote")]
    ApprovalVote(ApprovalVote),
    /// Act: the votes are decided, or no longer count.
    #[serde(rename = "approval.settled")]
    ApprovalSettled(ApprovalSettled),
    /// Act: the approval is used, here and never again. It comes before its action's intent.
    #[serde(rename = "approval.consumed")]
    ApprovalConsumed(ApprovalConsumed),
    /// Intent of whatever follows: this much of the budget is held for it. The store applies it in the transaction of this very row, and
    /// refuses the row where it does not fit.
    #[serde(rename = "budget.reserved")]
    BudgetReserved(BudgetReserved),
    /// Outcome: what was held is given back, and what was spent is spent.
    #[serde(rename = "budget.settled")]
    BudgetSettled(BudgetSettled),
    /// Nothing happens until the matching `run.resumed`.
    #[serde(rename = "run.suspended")]
    RunSuspended(Suspension),
    /// One cause is gone.
    #[serde(rename = "run.resumed")]
    RunResumed(Resumption),
    /// Last row of every run.
    #[serde(rename = "run.finished")]
    RunFinished(RunFinished),
    /// Operator stream: from here on, this text of a PolicySet decides.
    #[serde(rename = "policy.activated")]
    PolicyActivated(PolicyActivated),
    /// Operator stream: from here on, these limits of a RiskBudget hold.
    #[serde(rename = "budget.limited")]
    BudgetLimited(BudgetLimited),
    /// Operator stream: a kill switch was seen engaged, or released.
    #[serde(rename = "kill")]
    Kill(KillSeen),
}

impl Event {
    /// The kind, as in the `kind` column.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::RunStarted(_) => "run.started",
            Event::SandboxRequested(_) => "sandbox.requested",
            Event::SandboxReady(_) => "sandbox.ready",
            Event::WorkspaceRequested { .. } => "workspace.requested",
            Event::WorkspaceLoaded(_) => "workspace.loaded",
            Event::ModelRequest(_) => "model.request",
            Event::ModelResponse(_) => "model.response",
            Event::ThoughtSummary { .. } => "thought.summary",
            Event::ToolRequested(_) => "tool.requested",
            Event::PolicyDecision(_) => "policy.decision",
            Event::ToolResult(_) => "tool.result",
            Event::Reflect(_) => "reflect",
            Event::CheckpointRequested { .. } => "checkpoint.requested",
            Event::Checkpoint(_) => "checkpoint",
            Event::ApprovalRequested(_) => "approval.requested",
            Event::ApprovalCreated(_) => "approval.created",
            Event::ApprovalVote(_) => "approval.vote",
            Event::ApprovalSettled(_) => "approval.settled",
            Event::ApprovalConsumed(_) => "approval.consumed",
            Event::BudgetReserved(_) => "budget.reserved",
            Event::BudgetSettled(_) => "budget.settled",
            Event::RunSuspended(_) => "run.suspended",
            Event::RunResumed(_) => "run.resumed",
            Event::RunFinished(_) => "run.finished",
            Event::PolicyActivated(_) => "policy.activated",
            Event::BudgetLimited(_) => "budget.limited",
            Event::Kill(_) => "kill",
        }
    }

    /// The phase of the loop it belongs to.
    pub const fn phase(&self) -> Phase {
        match self {
            Event::ModelRequest(_) | Event::ModelResponse(_) | Event::ThoughtSummary { .. } => Phase::Plan,
            Event::ToolRequested(_)
            | Event::PolicyDecision(_)
            | Event::ApprovalRequested(_)
            | Event::ApprovalCreated(_)
            | Event::ApprovalVote(_)
            | Event::ApprovalSettled(_)
            | Event::ApprovalConsumed(_) => Phase::Act,
            Event::ToolResult(_) => Phase::Observe,
            Event::Reflect(_) => Phase::Reflect,
            Event::RunStarted(_)
            | Event::SandboxRequested(_)
            | Event::SandboxReady(_)
            | Event::WorkspaceRequested { .. }
            | Event::WorkspaceLoaded(_)
            | Event::CheckpointRequested { .. }
            | Event::Checkpoint(_)
            | Event::BudgetReserved(_)
            | Event::BudgetSettled(_)
            | Event::RunSuspended(_)
            | Event::RunResumed(_)
            | Event::RunFinished(_)
            | Event::PolicyActivated(_)
            | Event::BudgetLimited(_)
            | Event::Kill(_) => Phase::Lifecycle,
        }
    }
}

/// Body of `run.started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted {
    /// Namespace of the AgentRun.
    pub namespace: String,
    /// Name of the AgentRun.
    pub name: String,
    /// Who asked, as admission stamped it.
    pub requested_by: String,
    /// The spec as it was then.
    pub spec: SpecSnapshot,
}

/// What a run takes from its spec, its profile and its goal, fixed at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecSnapshot {
    /// What the agent is there for.
    pub role: Role,
    /// What it shall do.
    pub objective: String,
    /// Name of its task, if it serves one; the lane of a transcript.
    pub task: Option<String>,
    /// Autonomy level, 1 or 2.
    pub autonomy: u8,
    /// Instructions from the profile.
    pub system_prompt: String,
    /// Digest of the profile's spec.
    pub profile_digest: Digest,
    /// Models to ask, in order: `(ModelProvider, model)`.
    pub routes: Vec<(String, String)>,
    /// What each of them costs.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// The account of the RiskBudget that it spends from: `<namespace>/<name>`.
    #[serde(default)]
    pub budget: Option<String>,
    /// Who may approve, and until when.
    #[serde(default)]
    pub approval: ApprovalTerms,
    /// What a merge would merge.
    #[serde(default)]
    pub merge: Option<Proposal>,
    /// The most tokens an answer may have.
    pub max_output_tokens: u32,
    /// Tools on offer.
    pub tools: Vec<ToolName>,
    /// Commands of an acceptance run, in order.
    pub commands: Vec<AcceptanceCommand>,
    /// Packed workspace in the artifact store.
    pub workspace: PackedWorkspace,
    /// Where tools run. A merge has none.
    pub sandbox: SandboxShape,
    /// Bounds.
    pub limits: RunLimits,
}

/// The sandbox that a run is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxShape {
    /// Image of the workspace container.
    pub image: String,
    /// CPU limit, a Kubernetes quantity.
    pub cpu: String,
    /// Memory limit, a Kubernetes quantity.
    pub memory: String,
    /// Size limit of the workspace and of its git directory each, a Kubernetes quantity.
    pub workspace: String,
    /// RuntimeClass, if one is wanted.
    pub runtime_class: Option<String>,
}

/// One command of an acceptance run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Bound of its run time.
    pub timeout_seconds: u32,
}

/// A workspace in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackedWorkspace {
    /// Digest of the packed form.
    pub digest: Digest,
    /// How it is packed.
    pub packing: wire::Packing,
    /// Leading path components to drop.
    pub strip_components: u32,
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLimits {
    /// Model answers (commands, for an acceptance run).
    pub steps: u32,
    /// Wall time from `run.started`, seconds. Time that it is suspended, or waits for people, does not count.
    pub seconds: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Bytes given back to the model.
    pub output_bytes: u64,
}

/// Body of `sandbox.requested`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxAsked {
    /// The Job's deterministic name.
    pub job: String,
    /// Image of the workspace container.
    pub image: String,
}

/// Body of `sandbox.ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxReady {
    /// UID of the Job.
    pub job_uid: String,
    /// UID of its only Pod. A run never goes on in another one.
    pub pod_uid: String,
    /// Name of the Pod.
    pub pod: String,
    /// Digest reference of the image that runs, as the kubelet reports it.
    pub image_id: String,
}

/// Body of `workspace.loaded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceLoaded {
    /// Digest of the packed form.
    pub digest: Digest,
    /// Commit of `reeve/base`.
    pub base_commit: String,
    /// Commit of `main`.
    pub head_commit: String,
    /// Files in it.
    pub files: u64,
}

/// Body of `model.request`. The messages are not repeated: they are a function of the rows before, and `digest` proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelAsked {
    /// Step, from 1.
    pub step: u32,
    /// Index into the run's routes.
    pub route: usize,
    /// ModelProvider asked (`gen_ai.provider.name`).
    pub provider: String,
    /// Model asked (`gen_ai.request.model`).
    pub model: String,
    /// Digest of the canonical redacted request.
    pub digest: Digest,
    /// Messages in it.
    pub messages: usize,
}

/// Body of `model.response`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum ModelAnswered {
    /// It answered.
    Answer {
        /// The answer, redacted.
        response: ModelResponse,
        /// Tries it took.
        attempts: u32,
    },
    /// It did not.
    Failure {
        /// [`crate::model::ModelFailure`].
        failure: crate::model::ModelFailure,
        /// For a person.
        message: String,
        /// Tries it took.
        attempts: u32,
        /// The last try may have been answered and charged all the same: it was cut, or took too long.
        #[serde(default)]
        sent: bool,
    },
}

/// Body of `tool.requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolAsked {
    /// Idempotency key: `<run uid>/<step>/<index>`.
    pub key: String,
    /// [`crate::model::ToolCall::id`].
    pub call_id: String,
    /// The call in canonical form. None where it could not be resolved: an error result follows at once. A control tool's are its arguments.
    pub canonical: Option<wire::Canonical>,
    /// Name as the model gave it.
    pub name: String,
    /// Arguments as the model gave them, redacted.
    pub arguments: Value,
}

/// What policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The call goes on.
    Allow,
    /// It goes on when so many people approve it.
    Ask {
        /// People.
        human: u32,
    },
    /// It does not.
    Deny,
}

/// Body of `policy.decision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Key of the call.
    pub key: String,
    /// Allow or Deny.
    pub verdict: Verdict,
    /// Policies that decided, `<set>/<policy id>`; for a Deny without any, none permitted it.
    pub determining: Vec<String>,
    /// Why, for the model and for people.
    pub reason: String,
    /// Digests of the policy sets that were asked, by name.
    pub sets: Vec<(String, Digest)>,
    /// What sets in mode Shadow would have said otherwise, for people.
    pub shadow: Vec<String>,
}

/// Body of `tool.result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolEnded {
    /// Key of the call.
    pub key: String,
    /// [`crate::model::ToolCall::id`].
    pub call_id: String,
    /// What came of it.
    pub observation: Observation,
    /// For the model to read, redacted.
    pub content: String,
}

/// How a tool call ended, seen from the loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "how")]
pub enum Observation {
    /// It ran.
    Ran {
        /// How it ended in the sandbox.
        status: wire::Status,
        /// Exit code, if a process ran to its end.
        exit_code: Option<i32>,
        /// Bytes the tool produced.
        output_bytes: u64,
        /// Wall time.
        duration_ms: u64,
        /// Commit made.
        commit: Option<String>,
    },
    /// It never ran: unknown tool, invalid arguments, a path outside.
    Invalid,
    /// Policy said no.
    Denied,
    /// Whether it ran cannot be known: the sandbox that ran it is gone.
    Unknown,
    /// A control tool was answered.
    Answered,
    /// A control tool was refused (`finish` with uncommitted changes).
    Refused,
}

/// Body of `reflect`: the step weighed by rule, not by a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reflection {
    /// Step, from 1.
    pub step: u32,
    /// Calls of this step that ran and said yes.
    pub succeeded: u32,
    /// Calls that ran and said no, or could not run.
    pub failed: u32,
    /// Calls that policy denied.
    pub denied: u32,
    /// How often in a row the same call has come.
    pub same_call_in_a_row: u32,
    /// Answers in a row that called no tool that could be understood.
    pub useless_in_a_row: u32,
    /// Result of the last test run, if there was one since the last edit.
    pub tests: Option<bool>,
    /// What Reeve says to the model beside the results, if anything.
    pub advice: Option<String>,
}

/// One task of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTask {
    /// A DNS label, unique in the plan.
    pub name: String,
    /// What to do.
    pub description: String,
}

/// Body of `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointTaken {
    /// Step it belongs to.
    pub step: u32,
    /// What the sandbox packed; its blobs are in the artifact store.
    pub workspace: wire::Checkpointed,
}

/// Body of `run.finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFinished {
    /// Whether it reached what it was there for.
    pub succeeded: bool,
    /// One of [`crate::run::EndReason`].
    pub reason: crate::run::EndReason,
    /// For a person.
    pub message: String,
    /// The plan, of a planner.
    pub tasks: Vec<PlannedTask>,
    /// Time of the end.
    pub at: Timestamp,
}

/// Body of `policy.activated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyActivated {
    /// Namespace of the PolicySet.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a set made anew under the same name starts without a past.
    pub uid: String,
    /// Digest of its spec in the artifact store.
    pub digest: Digest,
    /// Generation it was read from.
    pub generation: i64,
}
