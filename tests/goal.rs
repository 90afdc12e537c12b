//! A Goal, from its objective to a patch.

use std::path::Path;

use reeve_api::{AgentRun, Goal, GoalPhase, TaskState};
use reeve_tests::{FakeModel, Gate, Turn, World, call, finish, run_to_end};
use serde_json::{Value, json};
use tokio::process::Command;

const BEFORE: &str = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return add(a, 0)\n";

fn plan(tasks: &[(&str, &str)]) -> Turn {
    let tasks: Vec<Value> = tasks.iter().map(|(name, description)| json!({"name": name, "description": description})).collect();
    call("finish", json!({"summary": "Two steps.", "tasks": tasks}))
}

/// Edits one line of `sums.py`, commits, finishes.
fn edits(old: &str, new: &str) -> Vec<Turn> {
    vec![
        call("fs.edit", json!({"path": "sums.py", "old": old, "new": new})),
        call("git.commit", json!({"message": format!("{new} it is")})),
        finish("Done."),
    ]
}

fn sums() -> Value {
    json!({
        "objective": "sums.py adds and doubles.",
        "workspace": {"inline": {"files": [{"path": "sums.py", "content": BEFORE}]}},
        "acceptance": {"commands": [
            {"argv": ["python3", "-c", "import sums; assert sums.add(2, 2) == 4"]},
            {"argv": ["python3", "-c", "import sums; assert sums.double(4) == 8"]},
        ]},
    })
}

async fn git(folder: &Path, arguments: &[&str]) {
    let output = run_to_end(Command::new("git").args(arguments).current_dir(folder)).await;
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_goal_is_planned_worked_accepted_and_kept_as_a_patch() {
    World::scenario("goal", async |world| {
        let model = FakeModel::lanes([
            ("Task fix-add", edits("a - b", "a + b")),
            ("Task fix-double", edits("add(a, 0)", "add(a, a)")),
            (
                "",
                vec![
                    call("fs.read", json!({"path": "sums.py"})),
                    plan(&[("fix-add", "Make add add."), ("fix-double", "Make double double.")]),
                ],
            ),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.goal("sums", sums()).await;
        let goal = world.merged("sums").await;
        let status = goal.status.unwrap();
        assert_eq!((status.tasks_done, status.tasks_total), (Some(2), Some(2)));
        assert!(status.tasks.iter().all(|task| task.state == TaskState::Done && task.commit.is_some()), "{:?}", status.tasks);
        assert_eq!(status.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["fix-add", "fix-double"]);

        let patch = world.artifact(&status.artifacts, "patch").await;
        let tree = world.folder().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("sums.py"), BEFORE).unwrap();
        std::fs::write(world.folder().join("patch"), &patch).unwrap();
        git(&tree, &["init", "--quiet"]).await;
        git(&tree, &["apply", "../patch"]).await;
        let after = std::fs::read_to_string(tree.join("sums.py")).unwrap();
        assert_eq!(after, BEFORE.replace("a - b", "a + b").replace("add(a, 0)", "add(a, a)"));

        assert!(goal.spec.requested_by.is_some_and(|who| !who.is_empty()), "who asked is stamped by the server");
        assert_eq!(world.jobs().await.len(), 4, "planner, two coders, acceptance: a sandbox each; a merge has none");
        let acceptance = world.journal("sums-acceptance").await;
        assert_eq!((acceptance.count("model.request"), acceptance.count("tool.result")), (0, 2), "acceptance asks no model");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_goal_with_tasks_of_its_own_asks_no_planner() {
    World::scenario("tasks", async |world| {
        let model =
            FakeModel::lanes([("Task fix-add", edits("a - b", "a + b")), ("Task fix-double", edits("add(a, 0)", "add(a, a)"))]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        let mut goal = sums();
        goal["tasks"] =
            json!([{"name": "fix-add", "description": "Make add add."}, {"name": "fix-double", "description": "Make double double."}]);
        world.goal("sums", goal).await;
        world.merged("sums").await;
        assert!(world.api::<AgentRun>().get_opt("sums-planner").await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn at_autonomy_level_1_a_goal_ends_with_its_plan() {
    World::scenario("level-1", async |world| {
        let model = FakeModel::playing([plan(&[("fix-add", "Make add add.")])]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        let mut goal = sums();
        goal["autonomyLevel"] = json!(1);
        world.goal("sums", goal).await;
        let ended = world.goal_ended("sums").await;
        assert_eq!((ended.succeeded, ended.reason.as_str()), (true, "PlanProposed"), "{}", ended.message);
        assert_eq!(world.api::<AgentRun>().list(&Default::default()).await.unwrap().items.len(), 1, "only the planner ran");
    })
    .await;
}

#[tokio::test]
async fn a_goal_fails_with_the_command_that_did_not_pass() {
    World::scenario("unaccepted", async |world| {
        let model = FakeModel::lanes([("Task fix-add", edits("a - b", "a * b"))]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        let mut goal = sums();
        goal["tasks"] = json!([{"name": "fix-add", "description": "Make add add."}]);
        goal["acceptance"]["commands"] = json!([{"argv": ["python3", "-c", "import sums; assert sums.add(2, 3) == 5"]}]);
        world.goal("sums", goal).await;
        let ended = world.goal_ended("sums").await;
        assert_eq!((ended.succeeded, ended.reason.as_str()), (false, "AcceptanceFailed"), "{}", ended.message);
        assert!(ended.object.status.unwrap().artifacts.is_empty(), "what was not accepted is not handed out");
    })
    .await;
}

#[tokio::test]
async fn a_suspended_goal_suspends_its_run_and_resumes_it() {
    World::scenario("goal-suspend", async |world| {
        let gate = Gate::default();
        let mut turns = edits("a - b", "a + b");
        turns[0] = turns[0].clone().held_by(&gate);
        let model = FakeModel::lanes([("Task fix-add", turns)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        let mut goal = sums();
        goal["tasks"] = json!([{"name": "fix-add", "description": "Make add add."}]);
        goal["acceptance"]["commands"] = json!([{"argv": ["python3", "-c", "import sums; assert sums.add(2, 2) == 4"]}]);
        world.goal("sums", goal).await;
        gate.reached().await;
        world.patch::<Goal>("sums", json!({"spec": {"suspended": true}})).await.unwrap();
        let phase = |phase| move |goal: &Goal| goal.status.as_ref().and_then(|status| status.phase) == Some(phase);
        world.wait::<Goal>("sums", "Suspended", phase(GoalPhase::Suspended)).await;
        gate.open();
        world.run_is("sums-task-fix-add", "Suspended").await;
        world.patch::<Goal>("sums", json!({"spec": {"suspended": false}})).await.unwrap();
        world.merged("sums").await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_goal_takes_its_runs_and_sandboxes_with_it() {
    World::scenario("goal-delete", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([call("fs.list", json!({})).held_by(&gate)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.goal("sums", sums()).await;
        gate.reached().await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.delete::<Goal>("sums").await;
        world.gone::<AgentRun>("sums-planner").await;
        world.gone::<k8s_openapi::api::core::v1::Pod>(&pod).await;
        gate.open();
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_of_the_goals_name_that_belongs_to_another_is_not_taken_over() {
    World::scenario("foreign", async |world| {
        let model = FakeModel::playing([]).await;
        world.agents_ask(&model).await;
        world.run("sums-planner", json!({"suspended": true})).await;
        let _operator = world.operator().await;
        world.goal("sums", sums()).await;
        let ended = world.goal_ended("sums").await;
        assert_eq!(ended.reason, "NameTaken", "{}", ended.message);
        assert!(ended.message.contains("sums-planner"), "{}", ended.message);
    })
    .await;
}
