//! What waits for people.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/approval-minimal.yaml")]
//! ```

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// One action that waits for people: made by the operator, voted on by people, used once. Admission proves who voted.
///
/// `kubectl patch approval NAME --type=merge -p '{"spec":{"decision":"Approve"}}'` votes (Kubernetes 1.36 and newer), and so does
/// `kubectl reeve approve NAME`.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "Approval",
    namespaced,
    status = "ApprovalStatus",
    shortname = "apv",
    category = "reeve",
    doc = "One action that waits for people: made by the operator, voted on by people, used once. Vote with `kubectl reeve approve NAME`, or by a patch of spec.decision or spec.votes.",
    selectable = ".spec.subject.name",
    selectable = ".spec.requestedBy",
    validation = Rule::new("self.metadata.name.size() <= 63").message("an Approval's name has at most 63 characters"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.subject.action"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "Requested By", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Missing", type_ = "integer", json_path = ".status.missing"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.subject == oldSelf.subject && self.digest == oldSelf.digest && self.delta == oldSelf.delta && self.requestedBy == oldSelf.requestedBy && self.quorum == oldSelf.quorum && self.expiresAt == oldSelf.expiresAt && (has(self.groups) ? self.groups : []) == (has(oldSelf.groups) ? oldSelf.groups : [])").message("an approval's subject is immutable: vote in spec.votes, or let it expire"))]
pub struct ApprovalSpec {
    /// What would be done, and to what.
    pub subject: Subject,
    /// Digest of exactly what would be done. It is computed anew at the moment of use, and must be this one.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// What would be done, for a person to read: a diff, a command, a host.
    #[schemars(length(max = 32768))]
    pub delta: String,
    /// Who asked. That person has no vote.
    #[schemars(length(min = 1, max = 1024))]
    pub requested_by: String,
    /// People who must approve.
    #[schemars(range(min = 1, max = 16))]
    pub quorum: i32,
    /// If given, only members of one of these groups may vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    pub groups: Option<Vec<String>>,
    /// After this no vote counts.
    pub expires_at: Time,
    /// Your own vote in short: the API server turns it into an entry of `votes` under your name (Kubernetes 1.36 and newer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::shared::own_words::<VoteVerdict>")]
    pub decision: Option<VoteVerdict>,
    /// Votes by user name. You can add your own, and turn your own Approve into Deny until the approval is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "votes_schema")]
    pub votes: Option<BTreeMap<String, Vote>>,
}

/// What an Approval is about.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Kind of the object that acts.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// What it would do: the name of a tool, or `merge`.
    #[schemars(length(min = 1, max = 63))]
    pub action: String,
    /// Idempotency key of this very action. Another call, though it be the same in every argument, has another key and another Approval.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
}

/// One vote.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// For or against.
    pub verdict: VoteVerdict,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

/// For or against.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum VoteVerdict {
    /// It may be done.
    Approve,
    /// It may not. One is enough.
    Deny,
}

impl VoteVerdict {
    /// As written in a spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            VoteVerdict::Approve => "Approve",
            VoteVerdict::Deny => "Deny",
        }
    }
}

/// Where an Approval stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum ApprovalPhase {
    /// Waits for votes.
    Pending,
    /// Enough people approved; it is about to be used.
    Approved,
    /// Somebody denied it, or it was deleted.
    Denied,
    /// Time ran out.
    Expired,
    /// It no longer counts: what it was about has changed or ended, or admission was not in force. Where the action still waits, another one
    /// asks again.
    Superseded,
    /// Used. It is never used again.
    Consumed,
}

impl ApprovalPhase {
    /// Whether nothing will change any more.
    pub const fn is_final(self) -> bool {
        match self {
            ApprovalPhase::Pending | ApprovalPhase::Approved => false,
            ApprovalPhase::Denied | ApprovalPhase::Expired | ApprovalPhase::Superseded | ApprovalPhase::Consumed => true,
        }
    }

    /// As written in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            ApprovalPhase::Pending => "Pending",
            ApprovalPhase::Approved => "Approved",
            ApprovalPhase::Denied => "Denied",
            ApprovalPhase::Expired => "Expired",
            ApprovalPhase::Superseded => "Superseded",
            ApprovalPhase::Consumed => "Consumed",
        }
    }
}

/// What is known of an Approval. Only the operator writes it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::shared::own_words::<ApprovalPhase>")]
    pub phase: Option<ApprovalPhase>,
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Approvals that are still missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<i32>,
    /// Votes that the journal holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub votes: Vec<VoteStatus>,
    /// Conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// A vote as the operator took it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VoteStatus {
    /// Whose.
    #[schemars(length(max = 1024))]
    pub user: String,
    /// For or against.
    pub verdict: VoteVerdict,
    /// Whether it counts.
    pub counted: bool,
    /// Why not, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub why: Option<String>,
}

fn votes_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "Votes by user name. You can add your own, and turn your own Approve into Deny until the approval is used.",
        "maxProperties": 32,
        "additionalProperties": {
            "type": "object",
            "description": "One vote.",
            "required": ["verdict"],
            "properties": {
                "verdict": { "type": "string", "enum": ["Approve", "Deny"], "description": "For or against." },
                "reason": { "type": "string", "maxLength": 1024, "description": "Why." }
            }
        }
    })
}
