//! Two live operators: whatever an old leader still has in its hands when it wakes, nothing of it is accepted.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use reeve_tests::{FakeModel, Gate, Operator, Rows, Start, Turn, World, call, finish};
use serde_json::json;

/// A call of Python.
fn python(script: &str) -> Turn {
    call("shell.run", json!({"argv": ["python3", "-c", script]}))
}

/// A tool call that adds a line to a file.
fn adds(line: &str) -> Turn {
    python(&format!("open('lines.txt', 'a').write({line:?} + '\\n')"))
}

/// An operator that leads, and the run `handed-over` that it drives: these calls, a commit and an end.
async fn leading<const N: usize>(world: &World, calls: [Turn; N]) -> (FakeModel, Operator) {
    let last = [call("git.commit", json!({"message": "Lines"})), finish("The lines are there.")];
    let model = FakeModel::playing(calls.into_iter().chain(last)).await;
    world.agents_ask(&model).await;
    let operator = world.operator().await;
    world.run("handed-over", json!({})).await;
    (model, operator)
}

/// Another operator, as another Pod starts one.
async fn another(world: &World) -> Operator {
    world.operator_with(Start { identity: "second".to_owned(), ..Start::default() }).await
}

/// The run ended well, each line was added once, and from the row on with which the second leads none is the first's.
async fn holds(world: &World, added: &[&str]) -> Rows {
    let run = world.succeeded("handed-over").await;
    let rows = world.journal("handed-over").await;
    let patch = world.patch_of(&run).await;
    let lines: Vec<&str> = patch.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).collect();
    assert_eq!(lines, added, "each call was made once\n{rows}");
    let epochs = rows.epochs();
    assert_eq!(epochs.len(), 2, "the first leader's rows, then the second's, and none of the first's after them: {epochs:?}\n{rows}");
    assert!(epochs[0] < epochs[1], "{epochs:?}");
    assert_eq!((rows.count("run.started"), rows.count("run.finished"), rows.count("sandbox.ready")), (1, 1, 1), "{rows}");
    world.verify().await;
    rows
}

#[tokio::test]
async fn an_answer_that_comes_to_an_old_leader_is_worth_nothing() {
    World::scenario_on_postgres("leaders-model", async |world| {
        let (first_answer, second_answer) = (Gate::default(), Gate::default());
        let (model, old) = leading(world, [adds("one").held_by(&first_answer), adds("two").held_by(&second_answer)]).await;
        first_answer.reached().await;
        old.falls_asleep();
        let new = another(world).await;
        new.says("leading").await;
        first_answer.open();
        // The new leader has made the first call and asks for the next when the old one wakes, with the first answer in its hands.
        second_answer.reached().await;
        old.wakes();
        assert!(!old.ended().await.success(), "it was not asked to stop, and has no work any more");
        second_answer.open();
        holds(world, &["+one", "+two"]).await;
        assert_eq!(model.requests(), 5, "four answers, and the one request that was in flight when the first fell asleep");
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_of_an_old_leader_ends_in_the_new_ones_journal() {
    World::scenario_on_postgres("leaders-tool", async |world| {
        let waits =
            "import os, time\nopen('lines.txt', 'a').write('one\\n')\nwhile not os.path.exists('go'): time.sleep(0.05)\nos.remove('go')";
        let (model, old) = leading(world, [python(waits)]).await;
        world.exec_until_there("lines.txt").await;
        old.falls_asleep();
        let new = another(world).await;
        new.says("leading").await;
        old.wakes();
        assert!(!old.ended().await.success(), "it was not asked to stop, and has no work any more");
        world.exec(&["touch", "/workspace/go"]).await;
        let rows = holds(world, &["+one"]).await;
        assert_eq!(rows.results().len(), 2, "each call has one result\n{rows}");
        assert_eq!(model.requests(), 3, "the old leader asked nothing any more");
    })
    .await;
}

#[tokio::test]
async fn a_lease_from_a_clock_half_a_minute_off_is_waited_for_like_any_other() {
    for (name, off) in [("leaders-ahead", 30), ("leaders-behind", -30)] {
        World::scenario(name, async |world| {
            let gate = Gate::default();
            let (_model, old) = leading(world, [adds("one").held_by(&gate)]).await;
            gate.reached().await;
            old.falls_asleep();
            taken_by_a_stranger(world, off).await;
            // The journal's file has one writer, and the first is that while it sleeps.
            let early = another(world).await;
            assert!(!early.ended().await.success(), "it was refused");
            early.says("is written by another process").await;
            old.wakes();
            assert!(!old.ended().await.success(), "the Lease is another's");
            let new = another(world).await;
            new.says("leading").await;
            gate.open();
            let rows = holds(world, &["+one"]).await;
            assert!(rows.epochs()[1] >= rows.epochs()[0] + 2, "the stranger's epoch lies between: {:?}", rows.epochs());
        })
        .await;
    }
}

/// Someone else takes the Lease, with a clock that is so many seconds off, and is not heard of again.
async fn taken_by_a_stranger(world: &World, off: i64) {
    let leases = world.api::<Lease>();
    let mut lease = leases.get("reeve").await.unwrap();
    let at = MicroTime(Timestamp::now() + SignedDuration::from_secs(off));
    let spec = lease.spec.as_mut().unwrap();
    spec.holder_identity = Some("stranger".to_owned());
    spec.lease_transitions = spec.lease_transitions.map(|transitions| transitions + 1);
    spec.acquire_time = Some(at.clone());
    spec.renew_time = Some(at);
    leases.replace("reeve", &PostParams::default(), &lease).await.unwrap();
}
