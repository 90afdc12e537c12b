//! No budget is overdrawn: reserved before, settled after, right to the token whatever crashes.

use reeve_api::{AgentRun, RiskBudget};
use reeve_core::journal::Event;
use reeve_tests::{FakeModel, Gate, Turn, World, budget, call, finish};
use serde_json::json;

/// Tokens that the simulated model says it used for one answer.
const ANSWER: i64 = 110;

fn three_steps() -> Vec<Turn> {
    vec![call("fs.write", json!({"path": "a.txt", "content": "a\n"})), call("git.commit", json!({"message": "a"})), finish("Done.")]
}

/// What a run reserves for its first model request.
async fn first_reservation(world: &World, run: &str) -> u64 {
    let first = |event| if let Event::BudgetReserved(reserved) = event { Some(reserved.amounts.tokens) } else { None };
    world.journal(run).await.events().into_iter().find_map(first).expect("it reserved")
}

#[tokio::test]
async fn a_run_stands_still_at_its_limit_and_goes_on_when_it_is_raised() {
    World::scenario("raised", async |world| {
        let model = FakeModel::playing(three_steps()).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.budget("default", json!({"toolCalls": 1, "costUSD": "5"})).await;
        world.run("spends", json!({})).await;
        let message = world.run_is("spends", "BudgetExhausted").await;
        assert!(message.contains("toolCalls has a limit of 1, of which 1 is used and 0 reserved; 1 more is needed"), "{message}");
        assert_eq!(model.requests(), 2, "the second call was asked for, and not made");
        let shown = world.spent("default", 2 * ANSWER).await;
        assert_eq!(shown.tool_calls.as_ref().map(|calls| (calls.limit, calls.used, calls.left)), Some((Some(1), 1, Some(0))));
        // 2 answers of 100 input tokens at 1 and 10 output tokens at 2 dollars a million.
        assert_eq!(shown.cost_usd.as_ref().map(|cost| (cost.used.as_str(), cost.left.as_deref())), Some(("0.00024", Some("4.99976"))));
        let clerk = world.user("clerk", &[("reeve.dev", "riskbudgets", &["patch", "get"])]).await;
        let refused = clerk.patch::<RiskBudget>("default", json!({"spec": {"limits": {"toolCalls": 2}}})).await.unwrap_err();
        assert!(refused.contains("raise") && refused.contains("toolCalls"), "{refused}");
        let treasurer = world.user("treasurer", &[("reeve.dev", "riskbudgets", &["raise", "patch", "get"])]).await;
        treasurer.patch::<RiskBudget>("default", json!({"spec": {"limits": {"toolCalls": 2}}})).await.unwrap();
        world.succeeded("spends").await;
        let rows = world.journal("spends").await;
        rows.assert_order(&[
            "budget.reserved",
            "model.request",
            "model.response",
            "budget.settled",
            "run.suspended",
            "run.resumed",
            "budget.reserved",
            "tool.result",
            "budget.settled",
        ]);
        let shown = world.spent("default", 3 * ANSWER).await;
        assert_eq!(shown.tool_calls.unwrap().used, 2);
        let limited = world.operator_rows().await.events().into_iter().filter(|event| matches!(event, Event::BudgetLimited(_))).count();
        assert_eq!(limited, 2, "a raise is journaled");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn of_twenty_runs_on_a_budget_for_one_more_call_exactly_one_goes_through() {
    World::scenario("twenty", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing(vec![call("fs.list", json!({"path": "."})).held_by(&gate), finish("Done.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        // What one request reserves, from a run on a budget of its own.
        world.budget("probe", json!({"tokens": 1_000_000})).await;
        world.run("probe", json!({"budgetRef": {"name": "probe"}})).await;
        gate.reached().await;
        let one = first_reservation(world, "probe").await;
        world.delete::<AgentRun>("probe").await;
        let before = model.requests();
        world.budget("one", json!({"tokens": one})).await;
        let names: Vec<String> = (0..20).map(|n| format!("run-{n}")).collect();
        for name in &names {
            world.run(name, json!({"budgetRef": {"name": "one"}})).await;
        }
        let mut exhausted = 0;
        let mut waiting = names.clone();
        while exhausted < 19 {
            let (name, _) = world.first_that_is(&waiting, "BudgetExhausted").await;
            waiting.retain(|other| *other != name);
            exhausted += 1;
        }
        assert_eq!(model.requests() - before, 1, "the server saw one request");
        let shown = world.wait::<RiskBudget>("one", "reserved in full", |budget| {
            budget
                .status
                .as_ref()
                .and_then(|status| status.tokens.as_ref())
                .is_some_and(|tokens| tokens.reserved == i64::try_from(one).unwrap())
        });
        shown.await;
        gate.open();
        world.run_is(&waiting[0], "BudgetExhausted").await;
        // What was not used is given back, and is too little for another.
        world.spent("one", ANSWER).await;
        assert_eq!(model.requests() - before, 1);
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_model_without_a_price_is_not_asked() {
    World::scenario("unpriced", async |world| {
        let model = FakeModel::playing([finish("Done.")]).await;
        world.agents_ask(&model).await;
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "model"},
                "spec": {"kind": "openai-chat", "baseURL": model.url, "models": [{"name": "any"}]},
            }))
            .await;
        let _operator = world.operator().await;
        world.run("asks", json!({})).await;
        let message = world.run_is("asks", "ModelUnpriced").await;
        assert!(message.contains("spec.models[].price"), "{message}");
        assert_eq!(model.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_is_missing_or_deleted_allows_nothing() {
    World::scenario("no-budget", async |world| {
        let gate = Gate::default();
        let mut turns = three_steps();
        turns[1] = turns[1].clone().held_by(&gate);
        let model = FakeModel::playing(turns).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("spends", json!({"budgetRef": {"name": "team"}})).await;
        world.run_is("spends", "BudgetNotFound").await;
        world.budget("team", json!({"tokens": 1_000_000})).await;
        gate.reached().await;
        world.delete::<RiskBudget>("team").await;
        gate.open();
        let message = world.run_is("spends", "BudgetExhausted").await;
        assert!(message.contains("is not there"), "{message}");
        // Made anew it goes on where it was.
        world.put(&budget("team", &json!({"tokens": 1_000_000}))).await;
        world.succeeded("spends").await;
        world.spent("team", 3 * ANSWER).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_deleted_run_had_reserved_counts_in_full() {
    World::scenario("deleted-run", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([finish("Never said.").held_by(&gate)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.budget("default", json!({"tokens": 1_000_000})).await;
        world.run("spends", json!({})).await;
        gate.reached().await;
        let reserved = first_reservation(world, "spends").await;
        world.delete::<AgentRun>("spends").await;
        let shown = world.wait::<RiskBudget>("default", "settled", |budget| {
            budget.status.as_ref().and_then(|status| status.tokens.as_ref()).is_some_and(|tokens| tokens.reserved == 0 && tokens.used > 0)
        });
        assert_eq!(shown.await.status.unwrap().tokens.unwrap().used, i64::try_from(reserved).unwrap());
        world.verify().await;
    })
    .await;
}

/// Drives a budgeted run through the points, an operator for each, and holds the budget to its rows.
async fn stays_right(name: &str, points: &[&str]) {
    World::scenario(name, async |world| {
        let model = FakeModel::playing(three_steps()).await;
        world.agents_ask(&model).await;
        world.put(&budget("default", &json!({"tokens": 10_000_000, "toolCalls": 100, "costUSD": "100", "runtimeSeconds": 36_000}))).await;
        // In force before the run begins, or it would spend from no budget.
        let first = world.operator().await;
        world.budget("default", json!({"tokens": 10_000_000, "toolCalls": 100, "costUSD": "100", "runtimeSeconds": 36_000})).await;
        first.kill9().await;
        world.run("spends", json!({})).await;
        for point in points {
            world.operator_that_dies_at(point).await.killed().await;
        }
        let _operator = world.operator().await;
        let run = world.succeeded("spends").await;
        let rows = world.journal("spends").await;
        let patch = world.patch_of(&run).await;
        assert_eq!(patch.lines().filter(|line| *line == "+a").count(), 1, "{patch}");
        let (mut answers, mut in_full) = (0, 0);
        for event in rows.events() {
            if let Event::ModelResponse(_) = event {
                answers += ANSWER;
            } else if let Event::BudgetSettled(settled) = event
                && settled.in_full
            {
                in_full += i64::try_from(settled.used.tokens).unwrap();
            }
        }
        // Right to the token.
        let shown = world.spent("default", answers + in_full).await;
        assert_eq!(shown.tool_calls.unwrap().used, 2, "each call counts once\n{rows}");
        assert_eq!(rows.count("budget.reserved"), rows.count("budget.settled"), "{rows}");
        assert!(model.requests() <= 3 + points.len(), "a request that was lost is asked once more, no oftener");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn killed_around_a_model_request_the_budget_is_right() {
    stays_right(
        "spent-model",
        &[
            "journal.budget.reserved.before@1",
            "journal.budget.reserved.after@1",
            "effect.model.before@1",
            "effect.model.after@1",
            "journal.model.response.before@1",
            "journal.budget.settled.before@1",
            "journal.budget.settled.after@1",
        ],
    )
    .await;
}

#[tokio::test]
async fn killed_around_a_tool_call_the_budget_is_right() {
    stays_right(
        "spent-tool",
        &[
            // The reservation of the first call is the second of the run.
            "journal.budget.reserved.before@2",
            "journal.budget.reserved.after@1",
            "effect.tool.before@1",
            "effect.tool.after@1",
            "journal.tool.result.before@1",
            "journal.tool.result.after@1",
        ],
    )
    .await;
}
