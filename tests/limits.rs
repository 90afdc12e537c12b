//! Bounds: each ends the run with the reason that names it.

use reeve_tests::{FakeModel, Turn, World, call, calls, finish};
use serde_json::{Value, json};

fn writes(count: usize) -> Vec<Turn> {
    (0..count).map(|n| call("fs.write", json!({"path": "a.txt", "content": format!("{n}\n")}))).collect()
}

async fn ends(world: &World, model: &FakeModel, limits: Value, reason: &str, words: &str) {
    world.agents_ask(model).await;
    let _operator = world.operator().await;
    world.run("bounded", json!({"limits": limits})).await;
    let message = world.failed("bounded", reason).await;
    assert!(message.contains(words), "{message}");
    world.verify().await;
}

#[tokio::test]
async fn a_run_takes_no_more_steps_than_it_may() {
    World::scenario("steps", async |world| {
        let model = FakeModel::playing(writes(3)).await;
        ends(world, &model, json!({"steps": 2}), "StepLimitReached", "spec.limits.steps").await;
        assert_eq!(model.requests(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_run_makes_no_more_tool_calls_than_it_may() {
    World::scenario("calls", async |world| {
        let write = |name: &str| ("fs.write", json!({"path": name, "content": "a\n"}));
        let model = FakeModel::playing([calls([write("a"), write("b"), write("c")])]).await;
        ends(world, &model, json!({"toolCalls": 2}), "ToolCallLimitReached", "spec.limits.toolCalls").await;
        assert_eq!(world.journal("bounded").await.results().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_told_no_more_bytes_than_it_may() {
    World::scenario("bytes", async |world| {
        let prints = |n: usize| call("shell.run", json!({"argv": ["python3", "-c", format!("print('x' * 2000, {n})")]}));
        let model = FakeModel::playing([prints(1), prints(2)]).await;
        ends(world, &model, json!({"outputBytes": 1024}), "OutputLimitReached", "spec.limits.outputBytes").await;
    })
    .await;
}

#[tokio::test]
async fn a_run_takes_no_longer_than_it_may_even_in_mid_call() {
    World::scenario("seconds", async |world| {
        let model = FakeModel::playing([call(
            "shell.run",
            json!({"argv": ["python3", "-c", "import time; time.sleep(600)"], "timeout_seconds": 600}),
        )])
        .await;
        ends(world, &model, json!({"seconds": 8}), "DeadlineExceeded", "spec.limits.seconds").await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_waits_for_a_silent_model_ends_at_its_time() {
    World::scenario("silent", async |world| {
        let never = reeve_tests::Gate::default();
        let model = FakeModel::playing([finish("Never said.").held_by(&never)]).await;
        ends(world, &model, json!({"seconds": 8}), "DeadlineExceeded", "spec.limits.seconds").await;
    })
    .await;
}

#[tokio::test]
async fn the_same_call_three_times_in_a_row_ends_the_run() {
    World::scenario("repeated", async |world| {
        let list = || call("fs.list", json!({"path": "."}));
        let model = FakeModel::playing([list(), list(), list()]).await;
        ends(world, &model, json!({}), "RepeatedCall", "3 times").await;
        assert_eq!(world.journal("bounded").await.results().len(), 2, "the third is not made");
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_ends_at_its_timeout_with_all_its_processes_and_the_run_goes_on() {
    World::scenario("timeout", async |world| {
        let forks = "import subprocess, time\nsubprocess.Popen(['python3', '-c', 'import time; time.sleep(600)'])\nprint('before', flush=True)\ntime.sleep(600)";
        let model = FakeModel::playing([
            call("shell.run", json!({"argv": ["python3", "-c", forks], "timeout_seconds": 1})),
            call("shell.run", json!({"argv": ["python3", "-c", processes()]})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("timed", json!({})).await;
        world.succeeded("timed").await;
        let rows = world.journal("timed").await;
        assert_eq!(rows.ran(0).0, reeve_core::tool::wire::Status::Timeout, "{rows}");
        assert!(rows.told(0).contains("before"), "what it said until then is kept: {}", rows.told(0));
        assert!(!rows.told(1).contains("time.sleep"), "a process outlived the timeout: {}", rows.told(1));
    })
    .await;
}

/// Python that prints the command lines of all processes it can see.
fn processes() -> &'static str {
    "import glob\nfor path in glob.glob('/proc/[0-9]*/cmdline'):\n    try: print(open(path).read().replace('\\0', ' ').strip())\n    except OSError: pass"
}

#[tokio::test]
async fn memory_beyond_the_limit_ends_the_tool_or_the_run_by_name() {
    World::scenario("oom", async |world| {
        let eats = "data = []\nwhile True: data.append(bytearray(16 * 1024 * 1024))";
        let model = FakeModel::playing([call("shell.run", json!({"argv": ["python3", "-c", eats]})), finish("Done.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("greedy", json!({})).await;
        let ended = world.run_ended("greedy").await;
        let rows = world.journal("greedy").await;
        if ended.succeeded {
            let (status, code) = rows.ran(0);
            assert_ne!(code, Some(0), "{status:?}\n{rows}");
        } else {
            assert_eq!(ended.reason, "SandboxLost", "{}\n{rows}", ended.message);
        }
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_is_killed_for_its_memory_ends_the_run_as_lost() {
    World::scenario("oom-pod", async |world| {
        let gate = reeve_tests::Gate::default();
        let model = FakeModel::playing([call("fs.list", json!({})), call("fs.list", json!({"depth": 2})).held_by(&gate)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("killed", json!({})).await;
        gate.reached().await;
        // What the kernel does to a container whose first process it chooses.
        world.kill_pid_1().await;
        gate.open();
        world.failed("killed", "SandboxLost").await;
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_ends_the_run_as_unavailable() {
    World::scenario("image", async |world| {
        let model = FakeModel::playing([]).await;
        world.agents_ask(&model).await;
        let patch = json!({"spec": {"sandbox": {"image": "localhost:1/no/such-image:1"}}});
        world.patch::<reeve_api::AgentProfile>("default", patch).await.unwrap();
        let _operator = world.operator().await;
        // A registry gets a minute to come back; this run has less.
        world.run("unpulled", json!({"limits": {"seconds": 20}})).await;
        let message = world.failed("unpulled", "SandboxUnavailable").await;
        assert!(message.contains("localhost:1/no/such-image:1"), "{message}");
        assert_eq!(model.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_namespace_without_room_ends_the_run_as_unavailable_or_says_what_it_waits_for() {
    World::scenario("quota", async |world| {
        let model = FakeModel::playing([finish("Done.")]).await;
        world.agents_ask(&model).await;
        world
            .put(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))
            .await;
        let _operator = world.operator().await;
        world.run("crowded", json!({"limits": {"seconds": 20}})).await;
        let ended = world.run_ended("crowded").await;
        assert!(["SandboxUnavailable", "DeadlineExceeded"].contains(&ended.reason.as_str()), "{}: {}", ended.reason, ended.message);
        assert!(ended.message.contains("made no Pod") || ended.message.contains("quota"), "{}", ended.message);
    })
    .await;
}
