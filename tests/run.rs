//! An AgentRun that a person applies by hand.

use k8s_openapi::api::batch::v1::Job;
use reeve_api::{AgentRun, AgentRunPhase};
use reeve_core::journal::Event;
use reeve_tests::{FakeModel, Gate, World, call, calls, finish, priced_models, says, status, workspace};
use serde_json::json;

#[tokio::test]
async fn a_run_applied_by_hand_does_its_work_and_ends_well() {
    World::scenario("by-hand", async |world| {
        let model = FakeModel::playing([
            call("fs.read", json!({"path": "greet.py"})),
            call("tests.run", json!({"argv": ["python3", "-c", "import greet; assert greet.greet() == 'hello'"]})),
            call("fs.edit", json!({"path": "greet.py", "old": "'helo'", "new": "'hello'"})),
            call("tests.run", json!({"argv": ["python3", "-c", "import greet; assert greet.greet() == 'hello'"]})),
            call("git.diff", json!({})),
            call("git.commit", json!({"message": "Greet in full"})),
            finish("The greeting is whole."),
        ])
        .await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("greet", json!({"workspace": workspace(&[("greet.py", "def greet():\n    return 'helo'\n")])})).await;
        let run = world.succeeded("greet").await;

        let rows = world.journal("greet").await;
        rows.assert_order(&[
            "run.started",
            "sandbox.requested",
            "sandbox.ready",
            "workspace.requested",
            "workspace.loaded",
            "model.request",
            "model.response",
            "tool.requested",
            "policy.decision",
            "tool.result",
            "reflect",
            "checkpoint.requested",
            "checkpoint",
            "run.finished",
        ]);
        let phases: Vec<&str> = rows.events().iter().map(|event| event.phase().as_str()).filter(|phase| *phase != "Lifecycle").collect();
        let mut steps = phases.clone();
        steps.dedup();
        assert!(steps.starts_with(&["Plan", "Act", "Observe", "Reflect", "Plan", "Act", "Observe", "Reflect"]), "{steps:?}");
        assert_eq!((rows.ran(1).1, rows.ran(3).1), (Some(1), Some(0)), "the tests fail before the edit and pass after it\n{rows}");
        assert!(rows.told(4).contains("+    return 'hello'"), "{}", rows.told(4));

        let status = run.status.clone().unwrap();
        let head = rows.0.last().unwrap();
        let anchored = status.journal.unwrap();
        assert_eq!(
            (anchored.seq, anchored.hash),
            (i64::try_from(head.seq.0).unwrap(), head.hash.to_string()),
            "status holds the journal's head"
        );
        assert_eq!(status.usage.unwrap().model_answers, 7);
        let patch = world.patch_of(&run).await;
        assert!(patch.contains("+    return 'hello'") && patch.contains("-    return 'helo'"), "{patch}");
        assert!(world.verify().await.contains(&rows.0.len().to_string()) || rows.0.len() > 10);

        let jobs = world.jobs().await;
        assert_eq!(jobs.len(), 1, "one Job, ever");
        let complete = |job: &Job| job.status.as_ref().is_some_and(|status| status.succeeded == Some(1));
        world.wait::<Job>(jobs[0].metadata.name.as_deref().unwrap(), "complete", complete).await;
        assert!(operator.stop().await.success(), "SIGTERM ends the operator in order");
    })
    .await;
}

#[tokio::test]
async fn calls_of_one_answer_are_all_made_and_answered_in_order() {
    World::scenario("parallel", async |world| {
        let write = |name: &str| ("fs.write", json!({"path": name, "content": format!("{name}\n")}));
        let model = FakeModel::playing([
            calls([write("a.txt"), write("b.txt"), ("fs.read", json!({"path": "missing.txt"})), write("c.txt")]),
            call("git.commit", json!({"message": "Three files"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("parallel", json!({})).await;
        let run = world.succeeded("parallel").await;
        let patch = world.patch_of(&run).await;
        assert!(["+a.txt", "+b.txt", "+c.txt"].iter().all(|line| patch.contains(line)), "{patch}");
        let second = &model.asked()[1];
        let answered: Vec<&str> = second["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["role"] == "tool")
            .filter_map(|message| message["tool_call_id"].as_str())
            .collect();
        assert_eq!(answered.len(), 4, "each call has its answer: {second:#}");
        assert_eq!(world.journal("parallel").await.results().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_suspended_run_waits_and_a_resumed_one_goes_on() {
    World::scenario("suspend", async |world| {
        let gate = Gate::default();
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})).held_by(&gate),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("suspended", json!({})).await;
        gate.reached().await;
        world.patch::<AgentRun>("suspended", json!({"spec": {"suspended": true}})).await.unwrap();
        gate.open();
        world.run_is("suspended", "Suspended").await;
        world.patch::<AgentRun>("suspended", json!({"spec": {"suspended": false}})).await.unwrap();
        world.succeeded("suspended").await;
        // The answer may be acted on until the operator has heard of the suspension: what counts is that nothing is done from then on.
        let rows = world.journal("suspended").await;
        let kinds = rows.kinds();
        let suspended = kinds.iter().position(|kind| *kind == "run.suspended").unwrap();
        assert_eq!(kinds[suspended + 1], "run.resumed", "nothing is done while it is suspended\n{rows}");
        rows.assert_order(&["run.suspended", "run.resumed", "model.request", "run.finished"]);
    })
    .await;
}

#[tokio::test]
async fn a_question_waits_for_a_person_and_its_answer_reaches_the_model() {
    World::scenario("ask", async |world| {
        let model = FakeModel::playing([
            call("ask", json!({"question": "Which colour?"})),
            call("fs.write", json!({"path": "colour.txt", "content": "green\n"})),
            call("git.commit", json!({"message": "Green"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("asking", json!({})).await;
        let asking = |run: &AgentRun| run.status.as_ref().is_some_and(|status| status.question.is_some());
        let run = world.wait::<AgentRun>("asking", "asking", asking).await;
        let question = run.status.as_ref().unwrap().question.clone().unwrap();
        assert_eq!(question.text, "Which colour?");
        assert_eq!(run.status.unwrap().phase, Some(AgentRunPhase::Suspended));
        assert_eq!(model.requests(), 1);
        world.patch::<AgentRun>("asking", json!({"spec": {"answers": {question.id: "Green, please."}}})).await.unwrap();
        let run = world.succeeded("asking").await;
        assert!(run.status.unwrap().question.is_none(), "an answered question is not asked any more");
        assert_eq!(world.journal("asking").await.told(0), "Green, please.");
        assert!(model.asked()[1].to_string().contains("Green, please."));
    })
    .await;
}

#[tokio::test]
async fn where_the_first_provider_does_not_answer_the_next_is_asked() {
    World::scenario("fallback", async |world| {
        let broken = FakeModel::playing([status(500, "broken")]).await;
        let whole = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "broken"},
                "spec": {"kind": "openai-chat", "baseURL": broken.url, "maxRetries": 0, "models": priced_models()},
            }))
            .await;
        world.provider("whole", &whole.url).await;
        world.agents_ask_in_order(&["broken", "whole"]).await;
        let _operator = world.operator().await;
        world.run("fallback", json!({})).await;
        world.succeeded("fallback").await;
        let rows = world.journal("fallback").await;
        let asked: Vec<String> = rows
            .events()
            .into_iter()
            .filter_map(|event| if let Event::ModelRequest(asked) = event { Some(asked.provider) } else { None })
            .collect();
        assert_eq!(asked, ["broken", "whole", "whole", "whole"], "{rows}");
        assert_eq!(broken.requests(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_overloaded_provider_is_asked_again() {
    World::scenario("retry", async |world| {
        let model = FakeModel::playing([
            status(429, "slow down").then(status(503, "busy")).then(call("fs.write", json!({"path": "a.txt", "content": "a\n"}))),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("retried", json!({})).await;
        world.succeeded("retried").await;
        assert_eq!(model.requests(), 5, "two in vain, three answered");
        let answers = world.journal("retried").await.count("model.response");
        assert_eq!(answers, 3, "tries of one request are one answer");
    })
    .await;
}

#[tokio::test]
async fn a_key_reaches_its_server_and_stands_nowhere_else() {
    World::scenario("key", async |world| {
        let key = "correct-horse-battery-staple";
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": format!("my key is {key}\n")})),
            call("git.commit", json!({"message": "a"})),
            finish(&format!("Done with {key}.")),
        ])
        .await;
        world.secret("model-key", Some(model.host()), json!({"key": key})).await;
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "model"},
                "spec": {"kind": "openai-chat", "baseURL": model.url, "secretRef": {"name": "model-key", "key": "key"}, "models": priced_models()},
            }))
            .await;
        world.agents_ask_in_order(&["model"]).await;
        let operator = world.operator().await;
        world.run("keyed", json!({})).await;
        let run = world.succeeded("keyed").await;
        assert!(model.authorizations().iter().all(|header| header.as_deref() == Some(&format!("Bearer {key}"))));
        let rows = world.journal("keyed").await;
        assert!(!rows.0.iter().any(|row| row.body.contains(key)), "the key stands in the journal\n{rows}");
        assert!(!serde_json::to_string(&run).unwrap().contains(key), "the key stands in the status");
        assert!(!operator.has_said(key), "the key stands in the log");
        assert!(!model.asked().iter().skip(1).any(|body| body.to_string().contains(key)), "the key is told to the model");
    })
    .await;
}

#[tokio::test]
async fn finishing_with_uncommitted_work_goes_back_to_the_model() {
    World::scenario("uncommitted", async |world| {
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            finish("Done?"),
            says("Let me commit first."),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("uncommitted", json!({})).await;
        world.succeeded("uncommitted").await;
        let rows = world.journal("uncommitted").await;
        assert!(rows.told(1).contains("a.txt") && rows.told(1).contains("ommit"), "{}", rows.told(1));
        assert!(model.asked()[3].to_string().contains("You called no tool"), "an answer without a call is answered with advice");
    })
    .await;
}
