//! Sandboxes that go away, and streams that break.

use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use reeve_api::AgentRun;
use reeve_core::journal::Observation;
use reeve_tests::{FakeModel, Gate, World, call, finish};
use serde_json::json;

/// A tool call that says that it runs, and then waits for a file that a test makes.
fn waits_for_go() -> serde_json::Value {
    let text = "import os, time\nopen('started', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.05)\nos.remove('go'); os.remove('started')";
    json!({"argv": ["python3", "-c", text]})
}

#[tokio::test]
async fn a_stream_cut_in_mid_call_is_opened_again_and_the_outcome_found() {
    World::scenario("cut", async |world| {
        let model = FakeModel::playing([
            call("shell.run", waits_for_go()),
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("cut", json!({})).await;
        world.exec_until_there("started").await;
        world.cut_the_stream().await;
        world.exec(&["touch", "/workspace/go"]).await;
        world.succeeded("cut").await;
        let rows = world.journal("cut").await;
        assert_eq!(rows.ran(0).1, Some(0), "the call's own outcome, not `unknown`\n{rows}");
        assert_eq!(rows.count("sandbox.ready"), 1);
        assert_eq!(rows.epochs().len(), 1, "the same operator went on");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_in_mid_call_ends_the_run_and_the_call_is_unknown() {
    World::scenario("pod-deleted", async |world| {
        let model = FakeModel::playing([call("shell.run", waits_for_go())]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("lost", json!({})).await;
        world.exec_until_there("started").await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.delete::<Pod>(&pod).await;
        world.failed("lost", "SandboxLost").await;
        let rows = world.journal("lost").await;
        let last = rows.results().pop().unwrap_or_else(|| panic!("the call has no result\n{rows}"));
        assert_eq!(last.observation, Observation::Unknown, "{rows}");
        assert!(world.jobs().await.len() <= 1, "no second Job exists");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_between_calls_ends_the_run() {
    World::scenario("pod-gone", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([call("fs.list", json!({})), call("fs.list", json!({"depth": 2})).held_by(&gate)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("lost", json!({})).await;
        gate.reached().await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.delete::<Pod>(&pod).await;
        world.gone::<Pod>(&pod).await;
        gate.open();
        world.failed("lost", "SandboxLost").await;
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn an_evicted_pod_ends_the_run() {
    World::scenario("evicted", async |world| {
        let model = FakeModel::playing([call("shell.run", waits_for_go())]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("evicted", json!({})).await;
        world.exec_until_there("started").await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.api::<Pod>().evict(&pod, &EvictParams::default()).await.unwrap();
        world.failed("evicted", "SandboxLost").await;
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_sandbox_deleted_while_the_operator_is_down_is_found_lost_by_the_next() {
    World::scenario("lost-down", async |world| {
        let model = FakeModel::playing([call("shell.run", waits_for_go())]).await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("lost", json!({})).await;
        world.exec_until_there("started").await;
        operator.kill9().await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.delete::<Pod>(&pod).await;
        world.gone::<Pod>(&pod).await;
        let _operator = world.operator().await;
        world.failed("lost", "SandboxLost").await;
        let last = world.journal("lost").await.results().pop().unwrap();
        assert_eq!(last.observation, Observation::Unknown);
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_deleted_in_mid_call_leaves_nothing_behind() {
    World::scenario("run-deleted", async |world| {
        let model = FakeModel::playing([call("shell.run", waits_for_go())]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("deleted", json!({})).await;
        world.exec_until_there("started").await;
        let pod = world.pod().await.metadata.name.unwrap();
        world.delete::<AgentRun>("deleted").await;
        world.gone::<Pod>(&pod).await;
        world.verify().await;
        // The operator goes on with others.
        let other = FakeModel::playing([finish("Nothing to do.")]).await;
        world.provider("model", &other.url).await;
        world.run("next", json!({})).await;
        world.succeeded("next").await;
    })
    .await;
}
