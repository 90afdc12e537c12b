//! One patch stops everything, at once, and nothing is lost by it.

use std::time::{Duration, Instant};

use reeve_api::KillSwitch;
use reeve_core::journal::Event;
use reeve_core::tool::wire;
use reeve_tests::{FakeModel, Gate, World, call, finish};
use serde_json::json;

/// A tree that outlives its parents: double forks, a session of their own, deaf to SIGTERM. Each beats in a file of its own.
const TREE: &str = "
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def beat(name):
    end = time.time() + 60
    while time.time() < end:
        with open(name, 'a') as file: file.write('.')
        time.sleep(0.02)
    os._exit(0)
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: beat(f'beat-{n}')
        os._exit(0)
open('started', 'w').close()
beat('beat-main')
";

fn quiet(switch: &KillSwitch) -> bool {
    switch.status.as_ref().is_some_and(|status| status.quiet_after_ms.is_some())
}

#[tokio::test]
async fn engaged_it_kills_a_process_tree_and_released_the_run_goes_on() {
    World::scenario("kill", async |world| {
        let model = FakeModel::playing([
            call("shell.run", json!({"argv": ["python3", "-c", TREE], "timeout_seconds": 120})),
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("shell.run", json!({"argv": ["rm", "-f", "started", "beat-0", "beat-1", "beat-2", "beat-main"]})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("works", json!({})).await;
        for file in ["started", "beat-0", "beat-1", "beat-2"] {
            world.exec_until_there(file).await;
        }
        let pod = world.running_pod_uid().await;
        assert!(world.processes_of(&pod, "beat") >= 4, "the tree stands");
        let engaged = Instant::now();
        world.kill("stop").await;
        world.until_no_process(&pod, "beat").await;
        let dead_after = engaged.elapsed();
        assert!(dead_after < Duration::from_secs(5), "every tool process is dead within 5 s: {dead_after:?}");
        let message = world.run_is("works", "KillSwitchEngaged").await;
        assert!(message.contains("stop is engaged: a test says so"), "{message}");
        let switch = world.wait::<KillSwitch>("stop", "quiet", quiet).await.status.unwrap();
        assert_eq!((switch.stopped_runs, switch.stopped_tool_calls), (Some(1), Some(1)), "{switch:?}");
        assert!(switch.quiet_after_ms.unwrap() < 5_000, "{switch:?}");
        assert_eq!(model.requests(), 1, "no model was asked since");
        let clerk = world.user("clerk", &[("reeve.dev", "killswitches", &["patch", "get", "delete"])]).await;
        let refused = clerk.patch::<KillSwitch>("stop", json!({"spec": {"engaged": false}})).await.unwrap_err();
        assert!(refused.contains("release"), "{refused}");
        world.release("stop").await;
        let run = world.succeeded("works").await;
        assert!(world.patch_of(&run).await.contains("+a"));
        let rows = world.journal("works").await;
        assert_eq!(rows.ran(0).0, wire::Status::Halted, "{rows}");
        rows.assert_order(&["run.suspended", "run.resumed", "tool.result", "run.finished"]);
        let kills = world.operator_rows().await.events().into_iter().filter(|event| matches!(event, Event::Kill(_))).count();
        assert_eq!(kills, 2, "engaging and releasing are journaled");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn engaged_it_cuts_off_a_model_request_which_is_asked_again_when_it_is_released() {
    World::scenario("kill-model", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([finish("Done.").held_by(&gate).then(finish("Done."))]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.budget("default", json!({"tokens": 1_000_000})).await;
        world.run("works", json!({})).await;
        gate.reached().await;
        world.kill("stop").await;
        world.run_is("works", "KillSwitchEngaged").await;
        let rows = world.journal("works").await;
        assert!(
            rows.events().iter().any(|event| matches!(event, Event::BudgetSettled(settled) if settled.in_full)),
            "what may be charged counts\n{rows}"
        );
        gate.open();
        assert_eq!(model.requests(), 1);
        world.release("stop").await;
        world.succeeded("works").await;
        assert_eq!(model.requests(), 2);
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn under_an_engaged_switch_nothing_begins() {
    World::scenario("kill-first", async |world| {
        let model = FakeModel::playing([finish("Done.")]).await;
        world.agents_ask(&model).await;
        world.kill("stop").await;
        let _operator = world.operator().await;
        world.run("waits", json!({})).await;
        world.run_is("waits", "KillSwitchEngaged").await;
        assert_eq!((model.requests(), world.jobs().await.len()), (0, 0));
        // Deleting one is releasing it.
        world.delete::<KillSwitch>("stop").await;
        world.succeeded("waits").await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_starts_under_an_engaged_switch_kills_what_runs() {
    World::scenario("kill-restart", async |world| {
        let model = FakeModel::playing([
            call("shell.run", json!({"argv": ["python3", "-c", TREE], "timeout_seconds": 120})),
            call("shell.run", json!({"argv": ["rm", "-f", "started", "beat-0", "beat-1", "beat-2", "beat-main"]})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("works", json!({})).await;
        world.exec_until_there("beat-2").await;
        let pod = world.running_pod_uid().await;
        operator.kill9().await;
        world.kill("stop").await;
        assert!(world.processes_of(&pod, "beat") >= 1, "without an operator it goes on");
        let _operator = world.operator().await;
        world.until_no_process(&pod, "beat").await;
        world.run_is("works", "KillSwitchEngaged").await;
        world.release("stop").await;
        world.succeeded("works").await;
        assert_eq!(world.journal("works").await.ran(0).0, wire::Status::Halted);
    })
    .await;
}
