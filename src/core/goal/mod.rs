//! What a Goal needs next: a planner run, one coder run a task in order, the acceptance commands in a fresh sandbox, the merge, the end.
//!
//! ```text
//! observe: the Goal and what the journal says of its runs → plan: runs to create or suspend, and the status
//! ```
//!
//! A run's outcome is read from the journal, not from its status, so that nobody who may write a status can move a Goal.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use reeve_api::{
    AgentRun, AgentRunSpec, Artifact, ConditionStatus, ConditionType, Goal, GoalPhase, GoalSpec, GoalStatus, LocalRef, MergeProposal,
    Merged, Role, RunArtifact, Task, TaskState, TaskStatus, UsageStatus, Workspace, label,
};

use crate::budget;
use crate::conditions::{self, Say};
use crate::journal::CheckpointTaken;
use crate::names;
use crate::run::{EndReason, RunState, checkpoint, usage};

/// Names fit an AgentRun's own bound.
const MAX_RUN_NAME: usize = names::MAX_LABEL;

/// Reason of a Goal whose next run the API server does not take.
const RUN_REFUSED: &str = "RunRefused";

/// What is known of one run of the Goal.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    /// No object of that name.
    Absent,
    /// An object of that name that this Goal does not own.
    Foreign,
    /// Ours; folded from its journal.
    Ours {
        /// Whether `spec.suspended` is set on it.
        suspended: bool,
        /// What it says it waits for, if it has not begun: reason and sentence. Shown, never decided on.
        waiting: Option<(String, String)>,
        /// Its rows. Boxed: a run's state is large.
        state: Box<RunState>,
    },
}

/// Whether the operator made this run for this very Goal.
///
/// An owner reference alone proves nothing, since whoever creates a run writes it. Admission lets nobody but the operator set the label, and
/// a run's `goalRef` at its creation, which never changes.
pub fn owns(goal: &Goal, run: &AgentRun) -> bool {
    let Some(uid) = &goal.metadata.uid else { return false };
    let owned = run.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == *uid);
    let labelled = run.metadata.labels.as_ref().and_then(|labels| labels.get(label::GOAL_UID)) == Some(uid);
    let referred = run.spec.goal_ref.as_ref().map(|goal| &goal.name) == goal.metadata.name.as_ref();
    owned && labelled && referred
}

/// Something to do, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create this AgentRun.
    CreateRun {
        /// Its name.
        name: String,
        /// Its spec.
        spec: Box<AgentRunSpec>,
        /// Why.
        reason: String,
    },
    /// Set `spec.suspended` of this AgentRun.
    Suspend {
        /// Its name.
        name: String,
        /// To this.
        suspended: bool,
    },
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::CreateRun { name, reason, .. } => write!(f, "create run {name}: {reason}"),
            Action::Suspend { name, suspended: true } => write!(f, "suspend run {name}: the goal is suspended"),
            Action::Suspend { name, suspended: false } => write!(f, "resume run {name}: the goal is no longer suspended"),
        }
    }
}

/// What to do about a Goal, and what to say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// At most one creation, and what suspending needs.
    pub actions: Vec<Action>,
    /// The status.
    pub status: GoalStatus,
}

/// Name of the planner run.
pub fn planner_name(goal: &str) -> String {
    names::join(&[goal, "planner"], MAX_RUN_NAME)
}

/// Name of the run of this task.
pub fn task_name(goal: &str, task: &str) -> String {
    names::join(&[goal, "task", task], MAX_RUN_NAME)
}

/// Name of the acceptance run.
pub fn acceptance_name(goal: &str) -> String {
    names::join(&[goal, "acceptance"], MAX_RUN_NAME)
}

/// Name of the merge run.
pub fn merge_name(goal: &str) -> String {
    names::join(&[goal, "merge"], MAX_RUN_NAME)
}

/// Where the Goal has come to, gathered while walking its runs in order.
struct Walk<'a> {
    goal: &'a Goal,
    name: &'a str,
    actions: Vec<Action>,
    tasks: Vec<TaskStatus>,
    usage: UsageStatus,
    last: Option<CheckpointTaken>,
    accepted: bool,
    merged: Option<Merged>,
}

/// Where a walk stops.
enum Stop {
    At(GoalPhase, ConditionStatus, String, String),
}

/// Decides what a Goal needs next.
///
/// Guarantees: one run at a time, each task's run starts from the commit that the one before left, and a Goal succeeds only when its
/// acceptance run did and its merge run then merged what was accepted. `child` looks a run up by name.
pub fn plan(goal: &Goal, child: impl Fn(&str) -> Child, now: Timestamp) -> Plan {
    let name = goal.metadata.name.as_deref().unwrap_or_default();
    let mut walk = Walk {
        goal,
        name,
        actions: Vec::new(),
        tasks: Vec::new(),
        usage: UsageStatus::default(),
        last: None,
        accepted: false,
        merged: None,
    };
    let Stop::At(mut phase, status, mut reason, mut message) = walk.through(&child);
    if goal.spec.suspended && !phase.is_final() {
        walk.actions.retain(|action| matches!(action, Action::Suspend { .. }));
        (phase, reason, message) = (GoalPhase::Suspended, "Suspended".to_owned(), "spec.suspended is true.".to_owned());
    }
    let old = goal.status.as_ref();
    let done = walk.tasks.iter().filter(|task| task.state == TaskState::Done).count();
    let say = Say::ready(status, reason, message);
    Plan {
        status: GoalStatus {
            phase: Some(phase),
            observed_generation: goal.metadata.generation,
            tasks_done: (!walk.tasks.is_empty()).then(|| i32::try_from(done).unwrap_or(i32::MAX)),
            tasks_total: (!walk.tasks.is_empty()).then(|| i32::try_from(walk.tasks.len()).unwrap_or(i32::MAX)),
            tasks: walk.tasks,
            head_commit: walk.last.as_ref().map(|last| last.workspace.head_commit.clone()),
            proposed: if walk.accepted && walk.merged.is_none() { artifacts(walk.last.as_ref()) } else { Vec::new() },
            artifacts: if walk.merged.is_some() { artifacts(walk.last.as_ref()) } else { Vec::new() },
            merged: walk.merged,
            usage: Some(walk.usage),
            conditions: conditions::set(old.map_or(&[], |old| &old.conditions), &[say], goal.metadata.generation, now),
        },
        actions: walk.actions,
    }
}

/// The status when the API server does not take a run of the Goal. An admin may mend what is in the way, so the Goal has not failed.
pub fn refused(goal: &Goal, planned: &GoalStatus, run: &str, why: &str, now: Timestamp) -> GoalStatus {
    const LONGEST: usize = 1024;
    let mut status = planned.clone();
    for task in status.tasks.iter_mut().filter(|task| task.run == run) {
        task.state = TaskState::Waiting;
    }
    let message = format!("AgentRun {run} cannot be created, and is tried again: {why}").chars().take(LONGEST).collect::<String>();
    let old = goal.status.as_ref().map_or(&[][..], |old| &old.conditions);
    status.conditions = conditions::set(old, &[Say::ready(ConditionStatus::Unknown, RUN_REFUSED, message)], goal.metadata.generation, now);
    status
}

/// Whether the status that was shown last says that this run was there.
///
/// A status is written after its run is created. So one that is late, or was lost in a crash, says less than there was, never more: the
/// worst it does is to have a run created whose deletion it had not seen.
fn was_there(goal: &Goal, run: &str) -> bool {
    let Some(shown) = &goal.status else { return false };
    let name = goal.metadata.name.as_deref().unwrap_or_default();
    let refused = shown.conditions.iter().any(|told| told.type_ == ConditionType::Ready.as_str() && told.reason == RUN_REFUSED);
    if run == planner_name(name) {
        return !shown.tasks.is_empty() || (shown.phase == Some(GoalPhase::Planning) && !refused);
    }
    if run == acceptance_name(name) {
        let begun = shown.phase == Some(GoalPhase::Accepting) && !refused;
        return begun || !shown.proposed.is_empty() || shown.merged.is_some();
    }
    if run == merge_name(name) {
        return (shown.phase == Some(GoalPhase::Merging) && !refused) || shown.merged.is_some();
    }
    shown.tasks.iter().any(|task| task.run == run && task.state != TaskState::Waiting)
}

fn artifacts(last: Option<&CheckpointTaken>) -> Vec<RunArtifact> {
    last.map(|taken| checkpoint(taken).artifacts).unwrap_or_default()
}

impl Walk<'_> {
    fn through(&mut self, child: &impl Fn(&str) -> Child) -> Stop {
        let tasks = match &self.goal.spec.tasks {
            Some(tasks) => tasks.clone(),
            None => match self.planned(child) {
                Ok(tasks) => tasks,
                Err(stop) => return stop,
            },
        };
        for task in &tasks {
            let run = task_name(self.name, &task.name);
            self.tasks.push(TaskStatus { name: task.name.clone(), state: TaskState::Waiting, run, commit: None });
        }
        if self.goal.spec.autonomy_level < 2 {
            let message =
                format!("{} tasks are proposed. At autonomy level 1 nothing is carried out: raise it in another Goal.", tasks.len());
            return Stop::At(GoalPhase::Succeeded, ConditionStatus::True, "PlanProposed".to_owned(), message);
        }
        for (index, task) in tasks.iter().enumerate() {
            if let Some(stop) = self.task(index, task, tasks.len(), child) {
                return stop;
            }
        }
        self.acceptance(child)
    }

    fn planned(&mut self, child: &impl Fn(&str) -> Child) -> Result<Vec<Task>, Stop> {
        let name = planner_name(self.name);
        let state = self.run(&name, GoalPhase::Planning, child, "a goal without tasks is planned first", |spec| AgentRunSpec {
            objective: Some(spec.objective.clone()),
            workspace: spec.workspace.clone(),
            ..blank(Role::Planner, spec, None)
        })?;
        let finished = state.finished.ok_or_else(|| bug("the planner has no end"))?;
        Ok(finished.tasks.into_iter().map(|task| Task { name: task.name, description: task.description }).collect())
    }

    fn task(&mut self, index: usize, task: &Task, of: usize, child: &impl Fn(&str) -> Child) -> Option<Stop> {
        let name = task_name(self.name, &task.name);
        let workspace = self.workspace();
        let objective = objective(&self.goal.spec, task);
        let reason = format!("task {} of {of}, {}", index + 1, task.name);
        // Running means that its run was created, which a suspended Goal does not do.
        let starts = !self.goal.spec.suspended || child(&name) != Child::Absent;
        if let Some(status) = self.tasks.get_mut(index).filter(|_| starts) {
            status.state = TaskState::Running;
        }
        let outcome = self.run(&name, GoalPhase::Working, child, &reason, |spec| AgentRunSpec {
            objective: Some(objective),
            workspace,
            ..blank(Role::Coder, spec, Some(task.name.clone()))
        });
        let status = self.tasks.get_mut(index)?;
        match outcome {
            Ok(state) => {
                let Some(taken) = state.checkpoint else { return Some(bug("a coder finished without a checkpoint")) };
                status.state = TaskState::Done;
                status.commit = Some(taken.workspace.head_commit.clone());
                self.last = Some(taken);
                None
            }
            Err(stop) => {
                let Stop::At(phase, ..) = &stop;
                if *phase == GoalPhase::Failed {
                    status.state = TaskState::Failed;
                }
                Some(stop)
            }
        }
    }

    fn acceptance(&mut self, child: &impl Fn(&str) -> Child) -> Stop {
        let name = acceptance_name(self.name);
        let workspace = self.workspace();
        let outcome = self.run(&name, GoalPhase::Accepting, child, "every task is done", |spec| AgentRunSpec {
            workspace,
            commands: Some(spec.acceptance.commands.clone()),
            ..blank(Role::Acceptance, spec, None)
        });
        if let Err(stop) = outcome {
            return stop;
        }
        self.accepted = true;
        self.merge(child)
    }

    /// The accepted work becomes the Goal's result, when policy's keys are turned.
    fn merge(&mut self, child: &impl Fn(&str) -> Child) -> Stop {
        let name = merge_name(self.name);
        let Some(last) = self.last.clone() else { return bug("there is nothing to merge") };
        let workspace = self.workspace();
        let outcome = self.run(&name, GoalPhase::Merging, child, "the work is accepted", |spec| AgentRunSpec {
            workspace,
            merge: Some(MergeProposal {
                base_commit: last.workspace.base_commit.clone(),
                head_commit: last.workspace.head_commit.clone(),
                artifacts: artifacts(Some(&last)),
            }),
            ..blank(Role::Merge, spec, None)
        });
        match outcome {
            Ok(state) => {
                let approved_by = state.gates.approved_by;
                let by = if approved_by.is_empty() { String::new() } else { format!(", approved by {}", approved_by.join(", ")) };
                let message = format!("{} tasks are done, every acceptance command passed, and the work is merged{by}.", self.tasks.len());
                self.merged = Some(Merged { commit: last.workspace.head_commit, approved_by });
                Stop::At(GoalPhase::Succeeded, ConditionStatus::True, "Reached".to_owned(), message)
            }
            Err(stop) => stop,
        }
    }

    /// The work so far: what the last task left, or the Goal's own source.
    fn workspace(&self) -> Option<Workspace> {
        match &self.last {
            Some(taken) => {
                let artifact = Artifact { digest: taken.workspace.bundle.digest.to_string() };
                Some(Workspace { inline: None, archive: None, artifact: Some(artifact) })
            }
            None => self.goal.spec.workspace.clone(),
        }
    }

    /// The state of a run that succeeded, or where the Goal stops because of it.
    fn run(
        &mut self,
        name: &str,
        phase: GoalPhase,
        child: &impl Fn(&str) -> Child,
        reason: &str,
        spec: impl FnOnce(&GoalSpec) -> AgentRunSpec,
    ) -> Result<RunState, Stop> {
        let stop = |reason: &str, message| Err(Stop::At(phase, ConditionStatus::Unknown, reason.to_owned(), message));
        match child(name) {
            Child::Absent if was_there(self.goal, name) => {
                let message = format!("AgentRun {name} was deleted; its work is not done and paid for twice. Create another Goal.");
                Err(Stop::At(GoalPhase::Failed, ConditionStatus::False, "RunDeleted".to_owned(), message))
            }
            Child::Absent => {
                let mut spec = spec(&self.goal.spec);
                spec.goal_ref = Some(LocalRef { name: self.name.to_owned() });
                self.actions.push(Action::CreateRun { name: name.to_owned(), spec: Box::new(spec), reason: reason.to_owned() });
                stop("Running", format!("Run {name} is about to start."))
            }
            Child::Foreign => {
                let message = format!("AgentRun {name} exists and belongs to another; delete it, or give this Goal another name.");
                Err(Stop::At(GoalPhase::Failed, ConditionStatus::False, "NameTaken".to_owned(), message))
            }
            Child::Ours { suspended, waiting, state } => {
                self.add(&usage(&state));
                let Some(finished) = &state.finished else {
                    // A suspended Goal says so before it suspends its run. So a run that is suspended while its Goal was not, a person suspended.
                    let resumed = self.goal.status.as_ref().and_then(|shown| shown.phase) == Some(GoalPhase::Suspended);
                    match (self.goal.spec.suspended, suspended) {
                        (true, true) | (false, false) => {}
                        (true, false) => self.actions.push(Action::Suspend { name: name.to_owned(), suspended: true }),
                        (false, true) if resumed => self.actions.push(Action::Suspend { name: name.to_owned(), suspended: false }),
                        (false, true) => {
                            return stop("RunSuspended", format!("AgentRun {name} is suspended: take its spec.suspended back to go on."));
                        }
                    }
                    return match waiting {
                        Some((reason, message)) => stop(&reason, format!("Run {name} waits: {message}")),
                        None => stop("Running", format!("Run {name} works.")),
                    };
                };
                if finished.succeeded {
                    return Ok(*state);
                }
                let message = format!("Run {name} ended: {}: {}", finished.reason.as_str(), finished.message);
                let reason = match phase {
                    GoalPhase::Merging if finished.reason == EndReason::MergeRefused => "MergeRefused",
                    GoalPhase::Accepting => "AcceptanceFailed",
                    GoalPhase::Pending
                    | GoalPhase::Planning
                    | GoalPhase::Working
                    | GoalPhase::Merging
                    | GoalPhase::Suspended
                    | GoalPhase::Succeeded
                    | GoalPhase::Failed => "RunFailed",
                };
                Err(Stop::At(GoalPhase::Failed, ConditionStatus::False, reason.to_owned(), message))
            }
        }
    }

    fn add(&mut self, other: &UsageStatus) {
        let UsageStatus { model_answers, input_tokens, output_tokens, tool_calls, denied_calls, output_bytes, cost_usd } = other;
        let cost = |text: &str| budget::parse_usd(text).unwrap_or(0);
        self.usage.cost_usd = budget::usd(cost(&self.usage.cost_usd).saturating_add(cost(cost_usd)));
        self.usage.model_answers += model_answers;
        self.usage.input_tokens += input_tokens;
        self.usage.output_tokens += output_tokens;
        self.usage.tool_calls += tool_calls;
        self.usage.denied_calls += denied_calls;
        self.usage.output_bytes += output_bytes;
    }
}

fn bug(what: &str) -> Stop {
    Stop::At(GoalPhase::Failed, ConditionStatus::False, "InternalError".to_owned(), format!("A bug of Reeve: {what}."))
}

fn blank(role: Role, goal: &GoalSpec, task: Option<String>) -> AgentRunSpec {
    AgentRunSpec {
        requested_by: goal.requested_by.clone(),
        suspended: false,
        role,
        objective: None,
        task,
        goal_ref: None,
        autonomy_level: goal.autonomy_level,
        profile_ref: goal.profile_ref.clone(),
        workspace: None,
        commands: None,
        limits: goal.limits.clone(),
        budget_ref: goal.budget_ref.clone(),
        approval: goal.approval.clone(),
        merge: None,
        fork_of: None,
        answers: None,
    }
}

fn objective(goal: &GoalSpec, task: &Task) -> String {
    const LONGEST: usize = 16_384;
    let commands = goal.acceptance.commands.iter().map(|command| format!("- {}", command.argv.join(" "))).collect::<Vec<_>>().join("\n");
    let text = format!(
        "Task {}: {}\n\nIt serves this objective: {}\n\nWhen all tasks are done, these commands must pass in a fresh sandbox:\n{commands}",
        task.name, task.description, goal.objective
    );
    text.chars().take(LONGEST).collect()
}
