//! Bodies of the events by which runs are gated: approvals, budgets, stops.

use jiff::Timestamp;
use reeve_api::{ApprovalPhase, VoteVerdict};
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::budget::{Amounts, Limits};
use crate::limits::DEFAULT_APPROVAL_SECONDS;
use crate::tool::wire::Blob;

/// Who may approve what a run asks keys for, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalTerms {
    /// If not empty, only members of one of these groups may vote.
    pub groups: Vec<String>,
    /// An approval expires after this, seconds.
    pub timeout_seconds: u32,
}

impl Default for ApprovalTerms {
    fn default() -> ApprovalTerms {
        ApprovalTerms { groups: Vec::new(), timeout_seconds: DEFAULT_APPROVAL_SECONDS }
    }
}

/// What a merge would merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// UID of the Goal whose result it becomes.
    pub goal_uid: String,
    /// Commit that the work began at.
    pub base_commit: String,
    /// Commit that is to be merged.
    pub head_commit: String,
    /// `git diff --binary` between them, in the artifact store.
    pub patch: Blob,
    /// The git bundle, in the artifact store.
    pub bundle: Blob,
}

/// Body of `approval.requested`: all that the Approval says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalAsked {
    /// Idempotency key of the action.
    pub key: String,
    /// The how manieth time it is asked for, from 1.
    pub attempt: u32,
    /// Name of the Approval.
    pub name: String,
    /// What would be done: the name of a tool.
    pub action: String,
    /// Digest of exactly what would be done.
    pub digest: Digest,
    /// The same for a person.
    pub delta: String,
    /// People who must approve.
    pub quorum: u32,
    /// If not empty, only members of one of these groups may vote.
    pub groups: Vec<String>,
    /// Who has no vote.
    pub requested_by: String,
    /// After this no vote counts.
    pub expires_at: Timestamp,
}

/// An admission policy, or a binding of one, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionPolicy {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID: one that was deleted and made again is another.
    pub uid: String,
    /// Its generation: one that was edited and restored is not what it was.
    pub generation: i64,
    /// Digest of its canonical spec.
    pub digest: Digest,
}

/// Body of `approval.created`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalCreated {
    /// Idempotency key of the action.
    pub key: String,
    /// Name of the Approval.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The admission policies that hold its votes, in order of kind and name.
    pub admission: Vec<AdmissionPolicy>,
}

/// Body of `approval.vote`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalVote {
    /// Idempotency key of the action.
    pub key: String,
    /// UID of the Approval.
    pub uid: String,
    /// Whose, as the API server proved it.
    pub user: String,
    /// For or against.
    pub verdict: VoteVerdict,
    /// In their own words.
    pub reason: Option<String>,
    /// Why it does not count. None: it does.
    pub refused: Option<String>,
}

/// Body of `approval.settled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSettled {
    /// Idempotency key of the action.
    pub key: String,
    /// Name of the Approval.
    pub name: String,
    /// Approved, Denied, Expired or Superseded. Approved may still become one of the others until it is used.
    pub phase: ApprovalPhase,
    /// Why, for a person.
    pub message: String,
}

/// Body of `approval.consumed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalConsumed {
    /// Idempotency key of the action.
    pub key: String,
    /// Name of the Approval.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Digest of what is done, computed anew: the one that was approved.
    pub digest: Digest,
    /// Who approved.
    pub by: Vec<String>,
}

/// Body of `budget.reserved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetReserved {
    /// `<namespace>/<name>` of the RiskBudget.
    pub account: String,
    /// Names the reservation: unique in the journal.
    pub key: String,
    /// What is held.
    pub amounts: Amounts,
}

/// Body of `budget.settled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSettled {
    /// `<namespace>/<name>` of the RiskBudget.
    pub account: String,
    /// The reservation.
    pub key: String,
    /// What was spent. It may be more than was held: then the budget is breached, and says so.
    pub used: Amounts,
    /// Nobody knows what was spent, so it counts in full.
    pub in_full: bool,
}

/// Body of `budget.limited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLimited {
    /// `<namespace>/<name>` of the RiskBudget.
    pub account: String,
    /// Its UID.
    pub uid: String,
    /// Generation that the limits were read from.
    pub generation: i64,
    /// The limits from here on. None: the budget was deleted, and nothing may be spent from it.
    pub limits: Option<Limits>,
}

/// Body of `kill`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KillSeen {
    /// Namespace of the KillSwitch.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether it is engaged.
    pub engaged: bool,
    /// Why, in the words of who engaged it.
    pub reason: String,
}

/// Why a run stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// A kill switch is engaged, or the switches cannot be read.
    KillSwitch,
    /// `spec.suspended` is true.
    #[default]
    Spec,
    /// Its budget has not enough left.
    Budget,
}

impl Cause {
    /// The reason of condition Ready.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::KillSwitch => "KillSwitchEngaged",
            Cause::Spec => "Suspended",
            Cause::Budget => "BudgetExhausted",
        }
    }
}

/// Body of `run.suspended`. Rows of the first release have no cause: it was the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Suspension {
    /// Why.
    pub cause: Cause,
    /// Why, for a person.
    pub message: String,
}

/// Body of `run.resumed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resumption {
    /// Which cause is gone.
    pub cause: Cause,
}
