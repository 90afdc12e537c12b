//! A crash at any instant around an approval: the action is done once or not at all.

use reeve_api::{Approval, ApprovalPhase};
use reeve_core::journal::Event;
use reeve_tests::{FakeModel, World, ci_written, one_line_written};
use serde_json::json;

/// Drives a Goal's merge through the points, an operator for each. Somebody approves as soon as it is asked for; nobody a second time.
async fn merges_once(name: &str, before_the_vote: &[&str], after_the_vote: &[&str]) {
    World::scenario(name, async |world| {
        let model = FakeModel::playing(one_line_written()).await;
        world.agents_ask(&model).await;
        world
            .goal(
                "one",
                json!({
                    "tasks": [{"name": "write", "description": "Write one.txt."}],
                    "acceptance": {"commands": [{"argv": ["grep", "-q", "one", "one.txt"]}]},
                }),
            )
            .await;
        for point in before_the_vote {
            world.operator_that_dies_at(point).await.killed().await;
        }
        let operator = world.operator().await;
        let approval = world.asks("one-merge").await;
        operator.kill9().await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        for point in after_the_vote {
            world.operator_that_dies_at(point).await.killed().await;
        }
        let _operator = world.operator().await;
        let goal = world.reached("one").await.status.unwrap();
        let bundle = goal.artifacts.iter().find(|artifact| artifact.name == "bundle").unwrap();
        assert_eq!(world.result_of("one").await.as_deref(), Some(bundle.digest.as_str()));
        let rows = world.journal("one-merge").await;
        for kind in [
            "approval.requested",
            "approval.created",
            "approval.vote",
            "approval.settled",
            "approval.consumed",
            "tool.result",
            "run.finished",
        ] {
            assert_eq!(rows.count(kind), 1, "{kind} stands there once\n{rows}");
        }
        let approvals = world.api::<Approval>().list(&Default::default()).await.unwrap().items;
        assert_eq!(approvals.len(), 1, "nobody is asked twice");
        assert_eq!(approvals[0].status.as_ref().unwrap().phase, Some(ApprovalPhase::Consumed));
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn killed_while_it_asks_it_asks_once() {
    merges_once(
        "crash-ask",
        &[
            "journal.approval.requested.before@1",
            "journal.approval.requested.after@1",
            "effect.approval.before@1",
            "effect.approval.after@1",
            "journal.approval.created.before@1",
            "journal.approval.created.after@1",
        ],
        &[],
    )
    .await;
}

#[tokio::test]
async fn killed_while_it_hears_and_uses_a_vote_the_vote_counts_once() {
    merges_once(
        "crash-use",
        &[],
        &[
            "journal.approval.vote.before@1",
            "journal.approval.vote.after@1",
            "effect.consume.before@1",
            "effect.consume.after@1",
            "journal.approval.consumed.before@1",
            "journal.approval.consumed.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_the_merge_it_is_merged_once() {
    merges_once(
        "crash-merge",
        &[],
        &[
            "effect.merge.before@1",
            "effect.merge.after@1",
            "journal.tool.result.before@1",
            "journal.tool.result.after@1",
            // The last row shares its commit.
            "status.final.before@1",
            "status.final.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_an_approved_call_that_spends_it_is_made_once_and_the_budget_is_right() {
    World::scenario("crash-call", async |world| {
        let model = FakeModel::playing(ci_written()).await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.budget("default", json!({"tokens": 10_000_000, "toolCalls": 100})).await;
        world.run("ci", json!({})).await;
        let approval = world.asks("ci").await;
        operator.kill9().await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        for point in [
            "journal.approval.vote.before@1",
            "journal.approval.vote.after@1",
            "effect.consume.before@1",
            "effect.consume.after@1",
            "journal.approval.consumed.before@1",
            // Consumption, decision, reservation: the intent of the call, in one commit.
            "journal.budget.reserved.after@1",
            "effect.tool.before@1",
            "effect.tool.after@1",
            "journal.tool.result.before@1",
            "journal.budget.settled.after@1",
        ] {
            world.operator_that_dies_at(point).await.killed().await;
        }
        let _operator = world.operator().await;
        let run = world.succeeded("ci").await;
        let patch = world.patch_of(&run).await;
        assert_eq!(patch.lines().filter(|line| *line == "+on: push").count(), 1, "{patch}");
        let rows = world.journal("ci").await;
        for kind in ["approval.requested", "approval.created", "approval.vote", "approval.settled", "approval.consumed"] {
            assert_eq!(rows.count(kind), 1, "{kind} stands there once\n{rows}");
        }
        let tokens = |event| if let Event::BudgetSettled(settled) = event { settled.used.tokens } else { 0 };
        let in_rows: u64 = rows.events().into_iter().map(tokens).sum();
        let spent = world.spent("default", i64::try_from(in_rows).unwrap()).await;
        assert_eq!(spent.tool_calls.unwrap().used, 2, "a write and a commit\n{rows}");
        assert_eq!(rows.count("budget.reserved"), rows.count("budget.settled"), "{rows}");
        world.verify().await;
    })
    .await;
}
