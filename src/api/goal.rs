//! What a person wants done.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/goal-minimal.yaml")]
//! ```

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApprovalRule, Command, Condition, LocalRef, RunArtifact, RunLimits, Task, UsageStatus, Workspace};

/// What a person wants done: planned by a planner run, done by one coder run a task, accepted by commands in a fresh sandbox, merged when policy's keys are turned, kept as a patch.
///
/// A spec is immutable but for `suspended`.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "Goal",
    namespaced,
    status = "GoalStatus",
    shortname = "goal",
    category = "reeve",
    doc = "What a person wants done: planned by a planner run, done by one coder run a task, accepted by commands in a fresh sandbox, merged when policy's keys are turned, kept as a patch.",
    selectable = ".spec.profileRef.name",
    validation = Rule::new("self.metadata.name.size() <= 63").message("a Goal's name has at most 63 characters"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.tasksDone"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.tasksTotal"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Requested By", type_ = "string", json_path = ".spec.requestedBy", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// `has` rather than `self.?field`: behind an optional the API server no longer sees how large a field can be, and refuses the rule for its cost.
#[x_kube(validation = Rule::new("self.objective == oldSelf.objective && (has(self.requestedBy) ? has(oldSelf.requestedBy) && self.requestedBy == oldSelf.requestedBy : !has(oldSelf.requestedBy)) && self.autonomyLevel == oldSelf.autonomyLevel && self.profileRef == oldSelf.profileRef && (has(self.workspace) ? has(oldSelf.workspace) && self.workspace == oldSelf.workspace : !has(oldSelf.workspace)) && (has(self.tasks) ? has(oldSelf.tasks) && self.tasks == oldSelf.tasks : !has(oldSelf.tasks)) && self.acceptance == oldSelf.acceptance && (has(self.limits) ? has(oldSelf.limits) && self.limits == oldSelf.limits : !has(oldSelf.limits)) && (has(self.budgetRef) ? has(oldSelf.budgetRef) && self.budgetRef == oldSelf.budgetRef : !has(oldSelf.budgetRef)) && (has(self.approval) ? has(oldSelf.approval) && self.approval == oldSelf.approval : !has(oldSelf.approval))").message("the spec of a Goal is immutable but for suspended; create another Goal instead"))]
#[x_kube(validation = Rule::new("!has(self.workspace) || !has(self.workspace.artifact)").message("workspace.artifact belongs to runs of a Goal; use inline or archive"))]
#[x_kube(validation = Rule::new("!has(self.tasks) || self.tasks.all(t, self.tasks.filter(u, u.name == t.name).size() == 1)").message("each task needs a name of its own"))]
pub struct GoalSpec {
    /// Who asked. Stamped by the API server; nobody can name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub requested_by: Option<String>,
    /// Stops the Goal's runs between two steps, and lets them go on when taken back.
    #[serde(default)]
    pub suspended: bool,
    /// What shall be reached, for the models.
    #[schemars(length(min = 1, max = 16384))]
    pub objective: String,
    /// 1: the Goal ends with a plan. 2: it is carried out, in sandboxes.
    #[serde(default = "crate::agentrun::autonomy")]
    #[schemars(range(min = 1, max = 2))]
    pub autonomy_level: i32,
    /// Who the agents are.
    #[serde(default = "crate::agentrun::default_profile")]
    pub profile_ref: LocalRef,
    /// What they work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// Tasks, in order. Given here, no planner is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub tasks: Option<Vec<GoalTask>>,
    /// What decides whether it is reached.
    pub acceptance: Acceptance,
    /// Bounds of each of its runs; each has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
    /// The RiskBudget that its runs spend from. Left out: the budget `default` of the namespace, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ref: Option<LocalRef>,
    /// Who may approve what policy asks keys for, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
}

/// A task of a Goal.
pub type GoalTask = Task;

/// What decides whether a Goal is reached.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// Commands, run in order in a fresh sandbox that holds the merged work. All must exit with 0.
    #[schemars(length(min = 1, max = 20))]
    pub commands: Vec<Command>,
}

/// Where a Goal stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GoalPhase {
    /// Waits for what it refers to.
    Pending,
    /// A planner works.
    Planning,
    /// Coders work.
    Working,
    /// The acceptance commands run.
    Accepting,
    /// The work is accepted, and waits for its merge.
    Merging,
    /// Stopped by a person.
    Suspended,
    /// Reached.
    Succeeded,
    /// Not reached; condition Ready says why.
    Failed,
}

impl GoalPhase {
    /// Whether the Goal has ended.
    pub const fn is_final(self) -> bool {
        matches!(self, GoalPhase::Succeeded | GoalPhase::Failed)
    }
}

/// What is known of a Goal.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoalStatus {
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<GoalPhase>,
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its tasks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub tasks: Vec<TaskStatus>,
    /// Tasks that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_done: Option<i32>,
    /// Tasks in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_total: Option<i32>,
    /// Commit that the work stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub head_commit: Option<String>,
    /// What its tasks left and the acceptance commands passed, before it is merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub proposed: Vec<RunArtifact>,
    /// What was merged: the patch, and the git bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub artifacts: Vec<RunArtifact>,
    /// The merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// What its runs used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageStatus>,
    /// Conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// A merge that happened.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    /// Commit that was merged.
    #[schemars(length(max = 64))]
    pub commit: String,
    /// Who approved it; nobody where policy asks for no key.
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub approved_by: Vec<String>,
}

/// Where a task stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TaskState {
    /// Waits for those before it.
    Waiting,
    /// Its run works.
    Running,
    /// Done.
    Done,
    /// Its run failed.
    Failed,
}

/// One task.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// Its AgentRun.
    #[schemars(length(max = 63))]
    pub run: String,
    /// Commit that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
}
