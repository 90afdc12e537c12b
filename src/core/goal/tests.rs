//! A goal from its first run to its end, seen through the plan alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use reeve_api::{Acceptance, AgentRun, Command, ConditionStatus, Goal, GoalPhase, GoalSpec, LocalRef, Role, TaskState, label};

use super::{Action, Child, Plan, acceptance_name, merge_name, owns, plan, planner_name, refused, task_name};
use crate::Digest;
use crate::journal::{CheckpointTaken, PlannedTask, RunFinished};
use crate::run::{EndReason, RunState};
use crate::tool::wire::{Blob, Checkpointed};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn goal(name: &str) -> Goal {
    let spec = GoalSpec {
        requested_by: Some("asker".to_owned()),
        suspended: false,
        objective: "o".to_owned(),
        autonomy_level: 2,
        profile_ref: reeve_api::LocalRef { name: "default".to_owned() },
        workspace: None,
        tasks: None,
        acceptance: Acceptance { commands: vec![Command { argv: vec!["true".to_owned()], timeout_seconds: 5 }] },
        limits: None,
        budget_ref: None,
        approval: None,
    };
    let mut goal = Goal::new(name, spec);
    goal.metadata.generation = Some(1);
    goal
}

fn ended(succeeded: bool, tasks: &[&str], left: Option<&str>) -> Child {
    let mut state = RunState::new("u");
    state.usage.input_tokens = 7;
    state.checkpoint = left.map(|left| {
        let blob = |name: &str| Blob { digest: Digest::of(name), bytes: 1 };
        let workspace = Checkpointed {
            base_commit: "base".to_owned(),
            head_commit: left.to_owned(),
            uncommitted: Vec::new(),
            changed: Vec::new(),
            patch: blob(&format!("patch-{left}")),
            bundle: blob(&format!("bundle-{left}")),
        };
        CheckpointTaken { step: 1, workspace }
    });
    let reason = if succeeded { EndReason::Finished } else { EndReason::StepLimitReached };
    let tasks = tasks.iter().map(|name| PlannedTask { name: (*name).to_owned(), description: "d".to_owned() }).collect();
    state.finished = Some(RunFinished { succeeded, reason, message: "m".to_owned(), tasks, at: now() });
    Child::Ours { suspended: false, waiting: None, state: Box::new(state) }
}

fn working() -> Child {
    Child::Ours { suspended: false, waiting: None, state: Box::new(RunState::new("u")) }
}

fn held() -> Child {
    Child::Ours { suspended: true, waiting: None, state: Box::new(RunState::new("u")) }
}

fn with(goal: &Goal, children: &[(String, Child)]) -> Plan {
    let children: BTreeMap<String, Child> = children.iter().cloned().collect();
    plan(goal, |name| children.get(name).cloned().unwrap_or(Child::Absent), now())
}

fn created(plan: &Plan) -> Option<(&str, Role, Option<String>)> {
    match plan.actions.as_slice() {
        [Action::CreateRun { name, spec, .. }] => {
            let from = spec.workspace.as_ref().and_then(|workspace| workspace.artifact.as_ref()).map(|artifact| artifact.digest.clone());
            Some((name, spec.role, from))
        }
        [] => None,
        other => panic!("{other:?}"),
    }
}

fn reason(plan: &Plan) -> (&str, &str) {
    let ready = &plan.status.conditions[0];
    (&ready.status, &ready.reason)
}

#[test]
fn a_goal_is_planned_then_done_task_by_task_then_accepted() {
    let goal = goal("g");
    let mut children = Vec::new();
    let first = with(&goal, &children);
    assert_eq!(created(&first), Some(("g-planner", Role::Planner, None)));
    assert_eq!(first.status.phase, Some(GoalPhase::Planning));
    children.push((planner_name("g"), working()));
    assert_eq!(created(&with(&goal, &children)), None);
    children[0].1 = ended(true, &["a", "b"], None);
    assert_eq!(created(&with(&goal, &children)), Some(("g-task-a", Role::Coder, None)));
    children.push((task_name("g", "a"), ended(true, &[], Some("one"))));
    let second = with(&goal, &children);
    assert_eq!(created(&second), Some(("g-task-b", Role::Coder, Some(Digest::of("bundle-one").to_string()))));
    assert_eq!((second.status.tasks_done, second.status.tasks_total), (Some(1), Some(2)));
    children.push((task_name("g", "b"), ended(true, &[], Some("two"))));
    let third = with(&goal, &children);
    assert_eq!(created(&third), Some(("g-acceptance", Role::Acceptance, Some(Digest::of("bundle-two").to_string()))));
    children.push((acceptance_name("g"), ended(true, &[], None)));
    let accepted = with(&goal, &children);
    assert_eq!(created(&accepted), Some(("g-merge", Role::Merge, Some(Digest::of("bundle-two").to_string()))));
    assert_eq!(accepted.status.phase, Some(GoalPhase::Merging));
    assert_eq!(accepted.status.proposed.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["patch", "bundle"]);
    assert!(accepted.status.artifacts.is_empty(), "nothing is the result before it is merged");
    children.push((merge_name("g"), ended(true, &[], None)));
    let last = with(&goal, &children);
    assert_eq!((last.status.phase, reason(&last)), (Some(GoalPhase::Succeeded), ("True", "Reached")));
    assert_eq!(last.status.artifacts.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["patch", "bundle"]);
    assert_eq!(last.status.head_commit.as_deref(), Some("two"));
    assert_eq!(last.status.usage.unwrap().input_tokens, 35);
}

#[test]
fn every_run_is_asked_for_in_the_name_of_who_asked_for_the_goal() {
    let goal = goal("g");
    let plan = with(&goal, &[]);
    let [Action::CreateRun { spec, .. }] = plan.actions.as_slice() else { panic!("no run") };
    assert_eq!(spec.requested_by.as_deref(), Some("asker"));
    assert_eq!(spec.goal_ref.as_ref().map(|goal| goal.name.as_str()), Some("g"));
}

#[test]
fn a_run_that_fails_fails_the_goal_with_its_words() {
    let goal = goal("g");
    let planner = (planner_name("g"), ended(true, &["a"], None));
    let plan = with(&goal, &[planner.clone(), (task_name("g", "a"), ended(false, &[], None))]);
    assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Failed), ("False", "RunFailed")));
    assert_eq!(plan.status.conditions[0].message, "Run g-task-a ended: StepLimitReached: m");
    assert_eq!(plan.status.tasks[0].state, TaskState::Failed);
    let done = (task_name("g", "a"), ended(true, &[], Some("one")));
    let plan = with(&goal, &[planner, done, (acceptance_name("g"), ended(false, &[], None))]);
    assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Failed), ("False", "AcceptanceFailed")));
    assert!(plan.status.artifacts.is_empty());
}

#[test]
fn a_name_that_is_taken_is_never_taken_over() {
    let plan = with(&goal("g"), &[(planner_name("g"), Child::Foreign)]);
    assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Failed), ("False", "NameTaken")));
    assert!(plan.actions.is_empty());
}

#[test]
fn at_autonomy_level_one_a_goal_ends_with_a_plan() {
    let mut goal = goal("g");
    goal.spec.autonomy_level = 1;
    let plan = with(&goal, &[(planner_name("g"), ended(true, &["a"], None))]);
    assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Succeeded), ("True", "PlanProposed")));
    assert!(plan.actions.is_empty());
}

#[test]
fn a_suspended_goal_starts_nothing_and_suspends_what_works() {
    let mut goal = goal("g");
    goal.spec.suspended = true;
    assert!(with(&goal, &[]).actions.is_empty());
    let plan = with(&goal, &[(planner_name("g"), working())]);
    assert_eq!(plan.actions, [Action::Suspend { name: "g-planner".to_owned(), suspended: true }]);
    assert_eq!(plan.status.phase, Some(GoalPhase::Suspended));
    goal.status = Some(plan.status);
    goal.spec.suspended = false;
    let plan = with(&goal, &[(planner_name("g"), held())]);
    assert_eq!(plan.actions, [Action::Suspend { name: "g-planner".to_owned(), suspended: false }]);
    assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Planning), ("Unknown", "Running")));
}

#[test]
fn a_run_that_a_person_suspended_stays_suspended() {
    let mut goal = goal("g");
    let children = [(planner_name("g"), held())];
    for before in [None, Some(with(&goal, &[]).status), Some(with(&goal, &[(planner_name("g"), working())]).status)] {
        goal.status = before;
        let plan = with(&goal, &children);
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Planning), ("Unknown", "RunSuspended")));
        assert!(plan.status.conditions[0].message.contains("AgentRun g-planner is suspended"));
        goal.status = Some(plan.status);
    }
}

/// The children of a goal with tasks a and b, up to `run`, which is `last` or not there.
fn up_to(run: &str, last: Option<Child>) -> Vec<(String, Child)> {
    let all = [
        (planner_name("g"), ended(true, &["a", "b"], None)),
        (task_name("g", "a"), ended(true, &[], Some("one"))),
        (task_name("g", "b"), ended(true, &[], Some("two"))),
        (acceptance_name("g"), working()),
    ];
    let mut children: Vec<_> = all.into_iter().take_while(|(name, _)| name != run).collect();
    children.extend(last.map(|last| (run.to_owned(), last)));
    children
}

const RUNS: [&str; 4] = ["g-planner", "g-task-a", "g-task-b", "g-acceptance"];

#[test]
fn a_run_that_was_deleted_fails_its_goal_and_is_not_done_again() {
    for run in RUNS {
        for begun in [None, Some(working())] {
            let mut goal = goal("g");
            // What is shown after the run was created, and what is shown while it works.
            goal.status = Some(with(&goal, &up_to(run, begun)).status);
            let plan = with(&goal, &up_to(run, None));
            assert!(plan.actions.is_empty(), "{run}: {:?}", plan.actions);
            assert_eq!((plan.status.phase, reason(&plan)), (Some(GoalPhase::Failed), ("False", "RunDeleted")), "{run}");
            assert!(plan.status.conditions[0].message.starts_with(&format!("AgentRun {run} was deleted")));
        }
    }
    let mut goal = goal("g");
    goal.status = Some(with(&goal, &up_to("g-acceptance", Some(working()))).status);
    for run in RUNS {
        assert_eq!(reason(&with(&goal, &up_to(run, None))), ("False", "RunDeleted"), "{run}, finished before");
    }
}

#[test]
fn a_run_that_was_deleted_while_its_goal_was_suspended_fails_it_too() {
    let mut goal = goal("g");
    goal.spec.suspended = true;
    goal.status = Some(with(&goal, &up_to("g-task-b", Some(working()))).status);
    assert_eq!(goal.status.as_ref().unwrap().phase, Some(GoalPhase::Suspended));
    assert_eq!(reason(&with(&goal, &up_to("g-task-b", None))), ("False", "RunDeleted"));
}

#[test]
fn a_crash_between_the_creation_of_a_run_and_the_status_changes_nothing() {
    for (index, run) in RUNS.iter().enumerate() {
        let mut goal = goal("g");
        // The status of the moment before: the run before this one worked, or nothing was shown yet.
        goal.status = index.checked_sub(1).map(|before| with(&goal, &up_to(RUNS[before], Some(working()))).status);
        let not_created = with(&goal, &up_to(run, None));
        assert_eq!(created(&not_created).map(|(name, ..)| name), Some(*run));
        let there = with(&goal, &up_to(run, Some(working())));
        assert!(there.actions.is_empty());
        assert!(!there.status.phase.unwrap().is_final(), "{run}");
    }
}

#[test]
fn a_goal_suspended_between_two_runs_goes_on_with_the_next() {
    for run in RUNS {
        let mut goal = goal("g");
        goal.spec.suspended = true;
        goal.status = Some(with(&goal, &up_to(run, None)).status);
        goal.spec.suspended = false;
        assert_eq!(created(&with(&goal, &up_to(run, None))).map(|(name, ..)| name), Some(run));
    }
}

#[test]
fn what_a_run_waits_for_is_what_its_goal_says() {
    let waiting = Some(("ProfileNotFound".to_owned(), "create it".to_owned()));
    let child = Child::Ours { suspended: false, waiting, state: Box::new(RunState::new("u")) };
    let plan = with(&goal("g"), &[(planner_name("g"), child)]);
    assert_eq!(reason(&plan), (ConditionStatus::Unknown.as_str(), "ProfileNotFound"));
}

#[test]
fn names_of_runs_fit_and_stay_apart() {
    let long = "g".repeat(63);
    let names = [planner_name(&long), task_name(&long, "a"), task_name(&long, "b"), acceptance_name(&long)];
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

/// The first run of this goal as the operator makes it.
fn made(goal: &Goal) -> AgentRun {
    let plan = with(goal, &[]);
    let [Action::CreateRun { name, spec, .. }] = plan.actions.as_slice() else { panic!("no run") };
    let mut run = AgentRun::new(name, (**spec).clone());
    let uid = goal.metadata.uid.clone().unwrap();
    run.metadata.labels = Some(BTreeMap::from([(label::GOAL_UID.to_owned(), uid.clone())]));
    let owner = OwnerReference { uid, controller: Some(true), name: "g".to_owned(), ..OwnerReference::default() };
    run.metadata.owner_references = Some(vec![owner]);
    run
}

type Forge = fn(&mut AgentRun);

#[test]
fn a_run_is_its_goals_only_with_what_none_but_the_operator_can_write() {
    let mut goal = goal("g");
    goal.metadata.uid = Some("goal-uid".to_owned());
    assert!(owns(&goal, &made(&goal)));
    let forgeries: [(&str, Forge); 7] = [
        ("no label", |run| run.metadata.labels = None),
        ("another label", |run| run.metadata.labels = Some(BTreeMap::from([(label::GOAL_UID.to_owned(), "other".to_owned())]))),
        ("no goalRef", |run| run.spec.goal_ref = None),
        ("another goalRef", |run| run.spec.goal_ref = Some(LocalRef { name: "other".to_owned() })),
        ("no owner", |run| run.metadata.owner_references = None),
        ("no controller", |run| run.metadata.owner_references.as_mut().unwrap()[0].controller = None),
        ("a goal of this name that is gone", |run| run.metadata.owner_references.as_mut().unwrap()[0].uid = "other".to_owned()),
    ];
    for (what, forge) in forgeries {
        let mut run = made(&goal);
        forge(&mut run);
        assert!(!owns(&goal, &run), "{what}");
    }
    let run = made(&goal);
    goal.metadata.uid = None;
    assert!(!owns(&goal, &run));
}

#[test]
fn a_run_that_is_refused_is_said_and_tried_again() {
    for run in RUNS {
        let mut goal = goal("g");
        let first = with(&goal, &up_to(run, None));
        let status = refused(&goal, &first.status, run, "exceeded quota: runs", now());
        assert_eq!((status.conditions[0].status.as_str(), status.conditions[0].reason.as_str()), ("Unknown", "RunRefused"));
        assert!(status.conditions[0].message.contains(run) && status.conditions[0].message.contains("exceeded quota: runs"));
        goal.status = Some(status);
        let again = with(&goal, &up_to(run, None));
        assert_eq!(created(&again).map(|(name, ..)| name), Some(run), "{run}");
        assert_eq!(refused(&goal, &again.status, run, "exceeded quota: runs", now()), goal.status.unwrap(), "written once");
    }
}
