//! A crash at any instant loses nothing and repeats nothing.
//!
//! The operator is built with fail points: at the point named it ends itself by SIGKILL. Each test drives one run through all points of
//! its part, an operator for each, and a last one without.

use reeve_tests::{FakeModel, Gate, Start, Turn, World, call, calls, finish};
use serde_json::{Value, json};

/// A tool call that can be counted afterwards: it adds a line to a file.
fn adds(line: &str) -> (&'static str, Value) {
    ("shell.run", json!({"argv": ["python3", "-c", format!("open('lines.txt', 'a').write({line:?} + '\\n')")]}))
}

fn turns() -> Vec<Turn> {
    vec![
        calls([adds("one")]),
        calls([adds("two"), adds("three")]),
        call("git.commit", json!({"message": "Three lines"})),
        finish("Three lines are there."),
    ]
}

/// Drives a run through the points, one operator after the other, and holds that nothing was lost or done twice.
async fn survives(name: &str, points: &[&str]) {
    World::scenario(name, async |world| {
        let gate = Gate::default();
        let mut script = turns();
        // Past the last answer the sandbox goes, and its ledger with it.
        let to_the_end = points.iter().any(|point| point.contains("checkpoint"));
        if !to_the_end {
            script[3] = script[3].clone().held_by(&gate);
        }
        let model = FakeModel::playing(script).await;
        world.agents_ask(&model).await;
        world.run("crashed", json!({})).await;
        for point in points {
            let operator = world.operator_that_dies_at(point).await;
            operator.killed().await;
        }
        let _operator = world.operator().await;
        if !to_the_end {
            gate.reached().await;
            ledger_holds(world).await;
            gate.open();
        }
        holds(world, points.len()).await;
    })
    .await;
}

/// By the sandbox's own ledger, each call started once and ended once.
async fn ledger_holds(world: &World) {
    let ledger = world.exec(&["cat", "/reeve/ledger/calls.jsonl"]).await;
    let facts: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys = |fact: &str| facts.iter().filter(|line| line["fact"] == fact).filter_map(|line| line["key"].as_str()).collect::<Vec<_>>();
    let (started, done) = (keys("started"), keys("done"));
    let mut once = started.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((started.len(), once.len(), done.len()), (4, 4, 4), "three lines and a commit, each once:\n{ledger}");
}

async fn holds(world: &World, crashes: usize) {
    let run = world.succeeded("crashed").await;
    let rows = world.journal("crashed").await;
    let patch = world.patch_of(&run).await;
    let added: Vec<&str> = patch.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).collect();
    assert_eq!(added, ["+one", "+two", "+three"], "each tool ran exactly once\n{rows}");
    let mut keys: Vec<String> = rows.results().into_iter().map(|ended| ended.key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), all), (all, 4), "each call has one result\n{rows}");
    assert_eq!(rows.count("run.started"), 1);
    assert_eq!(rows.count("run.finished"), 1);
    assert_eq!(rows.count("sandbox.ready"), 1, "a run never goes on in another sandbox\n{rows}");
    let asked = rows.count("sandbox.requested");
    assert!(world.jobs().await.len() <= 1 && world.pods().await.len() <= 1 && asked == 1, "no second Job, no second Pod exists\n{rows}");
    world.sandbox_ended(&rows).await;
    let epochs = rows.epochs();
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "epochs grow: {epochs:?}");
    assert!(epochs.len() <= crashes + 1, "{epochs:?}");
    world.verify().await;
}

#[tokio::test]
async fn killed_around_the_start_of_a_run_it_starts_once() {
    survives("crash-start", &["journal.run.started.before@1", "journal.run.started.after@1"]).await;
}

#[tokio::test]
async fn killed_around_the_creation_of_the_sandbox_there_is_one_job() {
    survives(
        "crash-job",
        &[
            "journal.sandbox.requested.before@1",
            "journal.sandbox.requested.after@1",
            "effect.job.before@1",
            "effect.job.after@1",
            "journal.sandbox.ready.before@1",
            "journal.sandbox.ready.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_the_import_of_the_workspace_it_is_imported_once() {
    survives(
        "crash-import",
        &[
            "journal.workspace.requested.before@1",
            "journal.workspace.requested.after@1",
            "effect.import.before@1",
            "effect.import.after@1",
            "journal.workspace.loaded.before@1",
            "journal.workspace.loaded.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_a_model_answer_it_is_asked_again() {
    survives(
        "crash-model",
        &[
            "journal.model.request.before@1",
            "journal.model.request.after@1",
            "effect.model.before@1",
            "effect.model.after@1",
            "journal.model.response.before@1",
            "journal.model.response.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_the_intent_of_a_tool_call_it_is_made_once() {
    survives(
        "crash-intent",
        &[
            "effect.resolve.before@1",
            "effect.resolve.after@1",
            "journal.tool.requested.before@1",
            "journal.tool.requested.after@1",
            "journal.policy.decision.before@1",
            "journal.policy.decision.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_a_tool_call_its_outcome_is_found_in_the_ledger() {
    survives(
        "crash-tool",
        &[
            "effect.tool.before@1",
            "effect.tool.after@1",
            "journal.tool.result.before@1",
            "journal.tool.result.after@1",
            // The first call of the second answer, then the second of it.
            "effect.tool.after@1",
            "effect.tool.after@2",
            "journal.reflect.before@1",
            "journal.reflect.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_the_checkpoint_and_the_final_status_the_run_ends_once() {
    survives(
        "crash-end",
        &[
            "journal.checkpoint.requested.before@1",
            "journal.checkpoint.requested.after@1",
            "effect.checkpoint.before@1",
            "effect.checkpoint.after@1",
            "journal.checkpoint.before@1",
            // Its outcome and the last row share a commit.
            "journal.run.finished.before@1",
            "journal.run.finished.after@1",
            "effect.shutdown.before@1",
            "status.final.before@1",
            "status.final.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_from_outside_while_a_tool_runs_the_call_goes_on_and_is_found() {
    World::scenario("crash-running", async |world| {
        let waits = "import os, time\nopen('lines.txt', 'a').write('one\\n')\nwhile not os.path.exists('go'): time.sleep(0.05)";
        let model = FakeModel::playing([
            call("shell.run", json!({"argv": ["python3", "-c", waits]})),
            call("shell.run", json!({"argv": ["rm", "go"]})),
            call("git.commit", json!({"message": "One line"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("crashed", json!({})).await;
        world.exec_until_there("lines.txt").await;
        operator.kill9().await;
        let _operator = world.operator().await;
        world.exec(&["touch", "/workspace/go"]).await;
        let run = world.succeeded("crashed").await;
        let patch = world.patch_of(&run).await;
        assert_eq!(patch.lines().filter(|line| *line == "+one").count(), 1, "{patch}");
        assert_eq!(world.journal("crashed").await.epochs().len(), 2);
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn of_two_operators_only_the_leader_acts() {
    World::scenario("two", async |world| {
        let gate = Gate::default();
        let mut script = turns();
        script[1] = script[1].clone().held_by(&gate);
        let model = FakeModel::playing(script).await;
        world.agents_ask(&model).await;
        let first = world.operator().await;
        world.run("crashed", json!({})).await;
        gate.reached().await;
        // A data directory has one writer; a second operator on the same one would be refused for that alone.
        let other = world.folder().join("other");
        std::fs::create_dir(&other).unwrap();
        let second = world.operator_with(Start { identity: "second".to_owned(), data: Some(other.clone()), ..Start::default() }).await;
        gate.open();
        world.succeeded("crashed").await;
        let asked = model.requests();
        assert_eq!(asked, 4, "nobody asked the model beside the leader");
        assert!(first.has_said("leading") && !second.has_said("leading"));
        assert!(!second.has_said("crashed"), "the second operator touched the run");
        holds(world, 0).await;
        // What it gives up, the other takes at once.
        assert!(first.stop().await.success());
        second.says("leading").await;
    })
    .await;
}
