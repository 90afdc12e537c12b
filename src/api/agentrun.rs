//! One agent at one task.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/agentrun-minimal.yaml")]
//! ```

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{Command, Condition, LocalRef, Role, Task, Workspace};

/// One agent at one task: a loop of Plan, Act, Observe and Reflect in a sandbox of its own, every effect journaled before it happens.
///
/// A spec is immutable but for `suspended` and `answers`.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "AgentRun",
    namespaced,
    status = "AgentRunStatus",
    shortname = "run",
    category = "reeve",
    doc = "One agent at one task: a loop of Plan, Act, Observe and Reflect in a sandbox of its own, every effect journaled before it happens.",
    selectable = ".spec.goalRef.name",
    selectable = ".spec.role",
    validation = Rule::new("self.metadata.name.size() <= 63").message("an AgentRun's name has at most 63 characters"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "integer", json_path = ".status.step"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".status.maxSteps"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Goal", type_ = "string", json_path = ".spec.goalRef.name", priority = 1),
    printcolumn(name = "Tokens In", type_ = "integer", json_path = ".status.usage.inputTokens", priority = 1),
    printcolumn(name = "Tokens Out", type_ = "integer", json_path = ".status.usage.outputTokens", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// `has` rather than `self.?field`: behind an optional the API server no longer sees how large a field can be, and refuses the rule for its cost.
#[x_kube(validation = Rule::new("self.role == oldSelf.role && (has(self.objective) ? has(oldSelf.objective) && self.objective == oldSelf.objective : !has(oldSelf.objective)) && (has(self.task) ? has(oldSelf.task) && self.task == oldSelf.task : !has(oldSelf.task)) && (has(self.goalRef) ? has(oldSelf.goalRef) && self.goalRef == oldSelf.goalRef : !has(oldSelf.goalRef)) && (has(self.requestedBy) ? has(oldSelf.requestedBy) && self.requestedBy == oldSelf.requestedBy : !has(oldSelf.requestedBy)) && self.autonomyLevel == oldSelf.autonomyLevel && self.profileRef == oldSelf.profileRef && (has(self.workspace) ? has(oldSelf.workspace) && self.workspace == oldSelf.workspace : !has(oldSelf.workspace)) && (has(self.commands) ? has(oldSelf.commands) && self.commands == oldSelf.commands : !has(oldSelf.commands)) && (has(self.limits) ? has(oldSelf.limits) && self.limits == oldSelf.limits : !has(oldSelf.limits)) && (has(self.budgetRef) ? has(oldSelf.budgetRef) && self.budgetRef == oldSelf.budgetRef : !has(oldSelf.budgetRef)) && (has(self.approval) ? has(oldSelf.approval) && self.approval == oldSelf.approval : !has(oldSelf.approval)) && (has(self.merge) ? has(oldSelf.merge) && self.merge == oldSelf.merge : !has(oldSelf.merge)) && (has(self.forkOf) ? has(oldSelf.forkOf) && self.forkOf == oldSelf.forkOf : !has(oldSelf.forkOf))").message("the spec of an AgentRun is immutable but for suspended and answers; create another run instead"))]
#[x_kube(validation = Rule::new("!has(oldSelf.answers) || (has(self.answers) && oldSelf.answers.all(k, k in self.answers && self.answers[k] == oldSelf.answers[k]))").message("an answer once given stands"))]
#[x_kube(validation = Rule::new("(self.role == 'Acceptance') == has(self.commands)").message("commands are what a run of role Acceptance has, and only such a run"))]
#[x_kube(validation = Rule::new("self.role in ['Acceptance', 'Merge'] || has(self.objective) || has(self.forkOf)").message("objective is required for the roles Planner and Coder"))]
#[x_kube(validation = Rule::new("!has(self.forkOf) || self.role in ['Planner', 'Coder']").message("forkOf is for the roles Planner and Coder: the others ask no model"))]
#[x_kube(validation = Rule::new("!has(self.forkOf) || !(has(self.objective) || has(self.task) || has(self.goalRef) || has(self.workspace))").message("a run with forkOf has its objective, task and workspace from there, and belongs to no Goal: leave out objective, task, goalRef and workspace"))]
#[x_kube(validation = Rule::new("(self.role == 'Merge') == has(self.merge)").message("merge is what a run of role Merge has, and only such a run"))]
#[x_kube(validation = Rule::new("self.role != 'Merge' || has(self.goalRef)").message("a run of role Merge belongs to a Goal: the operator makes it"))]
#[x_kube(validation = Rule::new("!has(self.workspace) || !has(self.workspace.artifact) || has(self.goalRef)").message("workspace.artifact belongs to runs of a Goal; use inline or archive"))]
pub struct AgentRunSpec {
    /// Who asked. Stamped by the API server; nobody can name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub requested_by: Option<String>,
    /// Stops the run between two steps, and lets it go on when taken back. The clock of `limits.seconds` stands still meanwhile.
    #[serde(default)]
    pub suspended: bool,
    /// What the agent is there for.
    pub role: Role,
    /// What it shall do, for the model. Required but for the role Acceptance, and where `forkOf` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub objective: Option<String>,
    /// Name of the task, which is also the lane of a transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub task: Option<String>,
    /// The Goal it serves. Only the operator creates such a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_ref: Option<LocalRef>,
    /// 1: it may look and propose. 2: it may also change its sandbox's workspace.
    #[serde(default = "autonomy")]
    #[schemars(range(min = 1, max = 2))]
    pub autonomy_level: i32,
    /// Who the agent is.
    #[serde(default = "default_profile")]
    pub profile_ref: LocalRef,
    /// What it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// The place in another run that this one goes on from: with its conversation, and its workspace as it was there. `kubectl reeve fork`
    /// writes it. Budget, time, approvals and sandbox are this run's own; steps, tool calls and output bytes count on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<ForkOf>,
    /// Commands of a run of role Acceptance, in order; the first that fails ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub commands: Option<Vec<Command>>,
    /// Bounds; each has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
    /// The RiskBudget that it spends from. Left out: the budget `default` of the namespace, if there is one when it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ref: Option<LocalRef>,
    /// Who may approve what policy asks keys for, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// What a run of role Merge merges. Only the operator writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeProposal>,
    /// Answers to questions of the agent (`status.question.id`). An answer once given stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 100), schema_with = "answers_schema")]
    pub answers: Option<BTreeMap<String, String>>,
}

pub(crate) const fn autonomy() -> i32 {
    2
}

pub(crate) fn default_profile() -> LocalRef {
    LocalRef { name: "default".to_owned() }
}

fn answers_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "description": "Answers to questions of the agent, by status.question.id. An answer once given stands.",
        "maxProperties": 100,
        "additionalProperties": { "type": "string", "maxLength": 8192 }
    })
}

/// Who may approve what policy asks keys for, and until when. It can only narrow: whoever votes needs the verb `approve` all the same.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// If given, only members of one of these groups may vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    pub groups: Option<Vec<String>>,
    /// An Approval expires after this many seconds, which means no. Default 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_seconds: Option<i32>,
}

/// A place in another AgentRun of the same namespace: a row of its journal, at which nothing is in flight and the workspace is what was kept of
/// it last. The AgentRun itself may be gone: its journal stays.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForkOf {
    /// Name of the AgentRun.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Its UID: a name can be used again.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Position of the row in its journal, from 1.
    #[schemars(range(min = 1))]
    pub seq: i64,
    /// Hash of that row: `sha256:` and 64 hex digits.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub hash: String,
}

/// What is to become a Goal's result.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeProposal {
    /// Commit that the work began at.
    #[schemars(length(min = 1, max = 64))]
    pub base_commit: String,
    /// Commit that is to be merged.
    #[schemars(length(min = 1, max = 64))]
    pub head_commit: String,
    /// The patch and the git bundle.
    #[schemars(length(min = 1, max = 8))]
    pub artifacts: Vec<RunArtifact>,
}

/// Bounds of one run. Reaching one ends the run with the reason that names it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunLimits {
    /// Model answers. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub steps: Option<i32>,
    /// Wall time in seconds. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub seconds: Option<i32>,
    /// Tool calls. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5000))]
    pub tool_calls: Option<i32>,
    /// Bytes that the conversation may grow to: what tools give back, and what the model answers. Default 4194304.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 16777216))]
    pub output_bytes: Option<i64>,
}

/// Where a run stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AgentRunPhase {
    /// Waits for what it refers to, or for a place.
    Pending,
    /// The sandbox is being made.
    Starting,
    /// The loop runs.
    Running,
    /// Stopped by a person or a kill switch, or waiting: for an answer, an approval, or its budget. Condition Ready says which.
    Suspended,
    /// Reached its end well.
    Succeeded,
    /// Ended otherwise; condition Ready says why.
    Failed,
}

impl AgentRunPhase {
    /// Whether the run has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, AgentRunPhase::Succeeded | AgentRunPhase::Failed)
    }
}

/// What is known of a run: a projection of its journal, at most one second old.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRunStatus {
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<AgentRunPhase>,
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Step that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// Steps that it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<i32>,
    /// The last steps in brief, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub steps: Vec<StepStatus>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
    /// Head of its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalHead>,
    /// What the agent asks a person; answer it in `spec.answers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// The Approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_approval: Option<PendingApproval>,
    /// Name of its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub job: Option<String>,
    /// Its last checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult>,
    /// Conditions: Ready, SandboxReady.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// One step in brief.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Its number, from 1.
    pub step: i32,
    /// What was called, and what came of it.
    #[schemars(length(max = 32), inner(length(max = 256)))]
    pub calls: Vec<String>,
}

/// What a run used.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatus {
    /// Model answers.
    pub model_answers: i64,
    /// Input tokens, cached ones included.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Tool calls.
    pub tool_calls: i64,
    /// Tool calls that policy denied.
    pub denied_calls: i64,
    /// Bytes of the conversation: what tools gave back, and what the model answered.
    pub output_bytes: i64,
    /// What its models cost, in US dollars.
    #[serde(rename = "costUSD", default)]
    #[schemars(length(max = 24))]
    pub cost_usd: String,
}

/// Head of a run's journal, signed by the operator: what `reeve journal verify --status` compares with. It finds a journal whose tail was cut,
/// whose run was deleted or whose rows were written anew by whoever holds the database but not the operator's key; save it elsewhere to find
/// the same by the holder of that key.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JournalHead {
    /// Position of the last row in the run's stream.
    pub seq: i64,
    /// Its hash.
    #[schemars(length(max = 71))]
    pub hash: String,
    /// Name of the key that signed it: the first 16 bytes of the SHA-256 of the public key, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub key_id: Option<String>,
    /// Ed25519 signature over the run's UID, seq, hash and keyId, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 88))]
    pub signature: Option<String>,
}

/// A question to a person.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Key into `spec.answers`.
    #[schemars(length(max = 40))]
    pub id: String,
    /// The question.
    #[schemars(length(max = 4096))]
    pub text: String,
}

/// An Approval that a run waits for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingApproval {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What is asked for.
    #[schemars(length(max = 63))]
    pub action: String,
    /// People who must approve.
    pub quorum: i32,
}

/// Bytes in the artifact store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunArtifact {
    /// What it is: `patch` (git diff from the base) or `bundle` (git bundle).
    #[schemars(length(max = 40))]
    pub name: String,
    /// SHA-256 digest.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Length.
    pub bytes: i64,
}

/// A checkpoint: the workspace's commits, kept.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// Commit that the workspace was loaded as.
    #[schemars(length(max = 64))]
    pub base_commit: String,
    /// Commit that it stands at.
    #[schemars(length(max = 64))]
    pub head_commit: String,
    /// Files that differ between them.
    #[schemars(length(max = 50), inner(length(max = 4096)))]
    pub changed: Vec<String>,
    /// What is kept.
    #[schemars(length(max = 8))]
    pub artifacts: Vec<RunArtifact>,
}

/// How a run ended.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Why, in one word: the reason of condition Ready.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What the agent says of it, or what went wrong.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// The plan, of a planner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub tasks: Vec<Task>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}
