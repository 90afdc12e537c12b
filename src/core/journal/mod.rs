//! The journal: what a row is, how rows are chained, and how a chain is checked. Storage is `reeve-store`'s.

mod anchored;
mod archived;
mod bodies;
mod canonical;
mod chain;
mod event;
mod gates;
mod kept;
pub mod merkle;
pub mod proof;
pub mod sign;
mod verify;

pub use anchored::{Anchored, AnchoredHead, AnchoredTree, KeyIntroduced, KeyRotated, PostedRoot, SignedLog};
pub use archived::{Gathered, Place, RunArchived};
pub use bodies::{
    AcceptanceCommand, CheckpointTaken, ForkedFrom, Judgement, ModelAnswered, ModelAsked, Observation, PackedWorkspace, PlannedTask,
    PolicyActivated, Reflection, RunFinished, RunLimits, RunStarted, SandboxAsked, SandboxReady, SandboxShape, SpecSnapshot, ToolAsked,
    ToolEnded, Verdict, WorkspaceLoaded,
};
pub use canonical::is_canonical;
pub use chain::{Head, Row, RowDraft};
pub use event::{Actor, Event, Phase};
pub use gates::{
    AdmissionPolicy, ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, ApprovalTerms, ApprovalVote, BudgetLimited,
    BudgetReserved, BudgetSettled, Cause, KillSeen, Proposal, Resumption, Suspension,
};
pub use kept::{KeptBody, phase_of_kept};
pub use verify::{ArchivedRun, ChainError, Expected, ForkLink, ForkLinks, SavedHead, SavedRoot, SignatureOf, Signed, Verified, Verifier};

use serde::{Deserialize, Serialize};

/// Which log of the database a row belongs to: a run by its UID, or the operator's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stream(String);

impl Stream {
    /// The stream of the run with this UID.
    pub fn run(uid: &str) -> Stream {
        Stream(uid.to_owned())
    }

    /// The operator's own: policy activations, key rotations.
    pub fn operator() -> Stream {
        Stream("operator".to_owned())
    }

    /// As stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A Lease's fencing epoch: it only ever grows, and rows of a lower one than the journal has seen are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Whether whoever acts under this epoch is refused where `highest` was seen: someone newer leads.
    pub const fn is_fenced_by(self, highest: Epoch) -> bool {
        self.0 < highest.0
    }
}

/// Position of a row in its stream, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The one after.
    pub const fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}
