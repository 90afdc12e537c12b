//! What can stand in a journal. One variant a kind; the kind's name is the serde tag.
//!
//! Architecture invariant: an event holds everything that the fold needs. Nothing that a run depends on later (prompts, limits, routes) is
//! read from the cluster again, so an edit of a profile never changes a run that has started.

use serde::{Deserialize, Serialize};

use super::anchored::{Anchored, KeyIntroduced, KeyRotated};
use super::archived::RunArchived;
use super::bodies::{
    CheckpointTaken, Judgement, ModelAnswered, ModelAsked, PolicyActivated, Reflection, RunFinished, RunStarted, SandboxAsked,
    SandboxReady, ToolAsked, ToolEnded, WorkspaceLoaded,
};
use super::gates::{
    ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, ApprovalVote, BudgetLimited, BudgetReserved, BudgetSettled,
    KillSeen, Resumption, Suspension,
};
use crate::Digest;

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
    /// Operator stream: the first key that signs heads.
    #[serde(rename = "key.introduced")]
    KeyIntroduced(KeyIntroduced),
    /// Operator stream: another key signs from here on.
    #[serde(rename = "key.rotated")]
    KeyRotated(KeyRotated),
    /// Operator stream: these heads are signed, and in the tree.
    #[serde(rename = "journal.anchored")]
    JournalAnchored(Anchored),
    /// Operator stream: the rows of a run that has ended stand in a file, and no more in the journal. Its rows go in the transaction that
    /// writes this one.
    #[serde(rename = "run.archived")]
    RunArchived(Box<RunArchived>),
    /// Operator stream: a process leads, under the epoch of this row. The first of these rows is that epoch's first row, and nobody else's:
    /// from there on, no row of an older leader is taken. A later one says that the journal takes rows again after it took none.
    #[serde(rename = "lease.taken")]
    LeaseTaken {
        /// Who holds the Lease: the UID of its Pod.
        identity: String,
    },
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
            Event::KeyIntroduced(_) => "key.introduced",
            Event::KeyRotated(_) => "key.rotated",
            Event::JournalAnchored(_) => "journal.anchored",
            Event::RunArchived(_) => "run.archived",
            Event::LeaseTaken { .. } => "lease.taken",
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
            | Event::Kill(_)
            | Event::KeyIntroduced(_)
            | Event::KeyRotated(_)
            | Event::JournalAnchored(_)
            | Event::RunArchived(_)
            | Event::LeaseTaken { .. } => Phase::Lifecycle,
        }
    }
}
