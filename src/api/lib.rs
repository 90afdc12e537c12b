//! The kinds of `reeve.dev/v1alpha1`: types, validation rules, columns, examples. No logic.
//!
//! Architecture invariant: what a user may write is decided here, by schema and CEL; a field that does nothing is not in a schema.
//! (The tests in `tests/kinds.rs` apply every example to a real API server and every bad one too.)
//!
//! Specs that started something are immutable; what a person may change on a running Goal or AgentRun is `suspended`, on an AgentRun
//! `answers`, and on an Approval their own entry of `votes`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(unreachable_pub, reason = "derive(CustomResource) writes pub structs into private modules")]
#![allow(clippy::duplicated_attributes, reason = "columns are attributes of the same name")]

mod agentprofile;
mod agentrun;
mod approval;
mod condition;
mod goal;
mod killswitch;
mod modelprovider;
mod policyset;
mod riskbudget;
mod shared;

pub use agentprofile::{AgentProfile, AgentProfileSpec, AgentProfileStatus, Prompts, Route, Routes, Sandbox, SandboxResources};
pub use agentrun::{
    AgentRun, AgentRunPhase, AgentRunSpec, AgentRunStatus, ApprovalRule, CheckpointStatus, ForkOf, JournalHead, MergeProposal,
    PendingApproval, Question, RunArtifact, RunLimits, RunResult, StepStatus, UsageStatus,
};
pub use approval::{Approval, ApprovalPhase, ApprovalSpec, ApprovalStatus, Subject, Vote, VoteStatus, VoteVerdict};
pub use condition::{Condition, ConditionStatus, ConditionType};
pub use goal::{Acceptance, Goal, GoalPhase, GoalSpec, GoalStatus, GoalTask, Merged, TaskState, TaskStatus};
pub use killswitch::{KillSwitch, KillSwitchSpec, KillSwitchStatus};
pub use modelprovider::{Model, ModelPrice, ModelProvider, ModelProviderSpec, ModelProviderStatus, ProviderKind, Transcript};
pub use policyset::{ExpectedVerdict, PolicyCase, PolicyMode, PolicySet, PolicySetSpec, PolicySetStatus};
pub use riskbudget::{Balance, BudgetLimits, RiskBudget, RiskBudgetSpec, RiskBudgetStatus, UsdBalance};
pub use shared::{
    Archive, Artifact, Command, ConfigMapKeyRef, Inline, InlineFile, LocalRef, Role, SecretKeyRef, Task, ToolName, Workspace,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group.
pub const GROUP: &str = "reeve.dev";
/// The only version.
pub const VERSION: &str = "v1alpha1";
/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "reeve";

/// Labels and annotations that Reeve writes or reads.
pub mod label {
    /// UID of the AgentRun that an object serves.
    pub const RUN_UID: &str = "reeve.dev/run-uid";
    /// Name of the AgentRun that an object serves.
    pub const RUN: &str = "reeve.dev/run";
    /// UID of the Goal that an AgentRun serves.
    pub const GOAL_UID: &str = "reeve.dev/goal-uid";
    /// On a sandbox's Pod: what the default-deny NetworkPolicy selects.
    pub const SANDBOX: &str = "reeve.dev/sandbox";
    /// Annotation on the PolicySet that the operator made: digest of the spec that it came with. While the spec still is that, a newer Reeve
    /// brings it up to date; one that a person has edited is left alone.
    pub const SHIPPED: &str = "reeve.dev/shipped-digest";
    /// On the ConfigMaps that keep the roots of a journal: name of the Lease of the operator that wrote them.
    pub const JOURNAL_ANCHORS: &str = "reeve.dev/journal-anchors";
    /// Annotation on a Secret: the hosts (`host` or `host:port`, comma separated) that its value may be sent to.
    pub const ALLOWED_HOSTS: &str = "reeve.dev/allowed-hosts";
}

/// Every CustomResourceDefinition, in the order of the alphabet.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        AgentProfile::crd(),
        AgentRun::crd(),
        Approval::crd(),
        Goal::crd(),
        KillSwitch::crd(),
        ModelProvider::crd(),
        PolicySet::crd(),
        RiskBudget::crd(),
    ]
}
