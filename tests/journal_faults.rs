//! What the journal stands on fails under a real operator: a disk that does not flush, a database that is killed.

use reeve_api::AgentRun;
use reeve_tests::{Gate, Operator, World, deadline};
use serde_json::json;

use crate::journal::{get, halted_by};

/// A run is in its model's hands when the fault comes. While it is there nothing happens, and readiness says why; when it is gone all goes on
/// by itself.
async fn survives<F>(world: &World, fails: impl AsyncFnOnce(&Operator) -> F, is_over: impl AsyncFnOnce(F), words: &[&str]) {
    let gate = Gate::default();
    let model = halted_by(&gate).await;
    world.agents_ask(&model).await;
    let operator = world.operator().await;
    world.run("halted", json!({"objective": "Halted half-way."})).await;
    gate.reached().await;
    assert!(get(&operator.http, "/readyz").await.starts_with("HTTP/1.1 200"));

    let fault = fails(&operator).await;
    gate.open();
    for name in ["halted", "waits"] {
        if name == "waits" {
            world.run(name, json!({})).await;
        }
        let message = world.run_is(name, "JournalUnavailable").await;
        assert!(words.iter().any(|word| message.contains(word)), "{name}: {message}");
    }
    let ready = get(&operator.http, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the journal takes no rows, so nothing is done"), "{ready}");
    assert!(!world.exec(&["ls", "/workspace"]).await.contains("a.txt"), "a tool ran whose intent is not journaled");
    assert_eq!(world.jobs().await.len(), 1, "no sandbox is made whose intent is not journaled");

    is_over(fault).await;
    for name in ["halted", "waits"] {
        world.look_again::<AgentRun>(name).await;
        let ended = world.run_ended(name).await;
        assert!(ended.succeeded, "{name}: {}: {}", ended.reason, ended.message);
    }
    is_ready(&operator).await;
    let rows = world.journal("halted").await;
    assert_eq!((rows.count("run.started"), rows.count("run.finished"), rows.count("sandbox.ready")), (1, 1, 1), "{rows}");
    assert_eq!(rows.results().len(), 2, "each call has one result\n{rows}");
    world.verify().await;
}

/// It looks at its journal every few seconds.
async fn is_ready(operator: &Operator) {
    let ready = async {
        while !get(&operator.http, "/readyz").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline(), ready).await.expect("it is not ready, though its journal takes rows");
}

#[tokio::test]
async fn a_disk_that_does_not_flush_stops_everything_until_it_does() {
    World::scenario("unflushed", async |world| {
        survives(world, async |operator| operator.cannot_flush(), async |fault| drop(fault), &["disk I/O error"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_killed_stops_everything_until_it_is_back() {
    World::scenario_on_own_postgres("pg-killed", async |world, database| {
        // Cut off in the middle, or not reached at all.
        let words = ["postgres", "onnection", "EOF", "socket", "os error"];
        survives(world, async |_| database.kill9().await, async |()| database.starts_again().await, &words).await;
    })
    .await;
}
