//! Models that answer badly, or not at all.

use reeve_core::journal::Observation;
use reeve_tests::{FakeModel, World, call, calls, finish, priced_models, says, status};
use serde_json::json;

#[tokio::test]
async fn a_model_that_never_calls_a_tool_ends_the_run_as_useless() {
    World::scenario("useless", async |world| {
        let model = FakeModel::playing([says("Hm."), says("Let me think."), says("I would rather not.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("useless", json!({})).await;
        let message = world.failed("useless", "ModelUseless").await;
        assert!(message.contains("3 times"), "{message}");
        assert_eq!(model.requests(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_cannot_be_understood_goes_back_to_the_model_with_what_is_wrong() {
    World::scenario("invalid", async |world| {
        let model = FakeModel::playing([
            calls([
                ("fs.write", json!({"path": "a.txt"})),
                ("fs.write", json!({"path": "a.txt", "content": "a", "mode": "0777"})),
                ("fs.read", json!("{\"path\": ")),
                ("fs.burn", json!({})),
                ("fs.read", json!({"path": "../../etc/passwd"})),
                ("shell.run", json!({"argv": ["no-such-program"]})),
            ]),
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("invalid", json!({})).await;
        world.succeeded("invalid").await;
        let rows = world.journal("invalid").await;
        let expected = ["content", "mode", "not JSON", "no tool", "..", "no-such-program"];
        for (place, words) in expected.into_iter().enumerate() {
            assert_eq!(rows.results()[place].observation, Observation::Invalid, "call {place}\n{rows}");
            assert!(rows.told(place).contains(words), "call {place}: {:?} does not say {words:?}", rows.told(place));
        }
        let second = model.asked()[1].to_string();
        assert!(second.contains("Error: "), "the model is told that the calls failed");
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_answer_end_the_run_with_what_came() {
    World::scenario("garbled", async |world| {
        let model = FakeModel::playing([status(200, "<html>a captive portal</html>")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("garbled", json!({})).await;
        let message = world.failed("garbled", "ModelFailed").await;
        assert!(message.contains("ModelAnswerGarbled"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_refuses_the_key_ends_the_run_at_once() {
    World::scenario("unauthorized", async |world| {
        let model =
            FakeModel::playing([status(401, r#"{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}"#)]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("unauthorized", json!({})).await;
        let message = world.failed("unauthorized", "ModelFailed").await;
        assert!(message.contains("ModelUnauthorized"), "{message}");
        assert_eq!(model.requests(), 1, "a refused key is not tried again");
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_not_there_ends_the_run_after_its_retries() {
    World::scenario("nobody", async |world| {
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "nobody"},
                "spec": {"kind": "openai-chat", "baseURL": "http://127.0.0.1:9/v1", "maxRetries": 1, "models": priced_models()},
            }))
            .await;
        world.agents_ask_in_order(&["nobody"]).await;
        let _operator = world.operator().await;
        world.run("nobody", json!({})).await;
        let message = world.failed("nobody", "ModelFailed").await;
        assert!(message.contains("ModelUnavailable") && message.contains("2 attempts"), "{message}");
    })
    .await;
}

const TRANSCRIPT: &str = r#"
version: 1
match: position
lanes:
  coder:
  - toolCalls: [{name: fs.write, arguments: {path: a.txt, content: "a\n"}}]
    usage: {inputTokens: 100, outputTokens: 10}
  - toolCalls: [{name: git.commit, arguments: {message: a}}]
"#;

fn recorded() -> serde_json::Value {
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "recorded"},
        "spec": {"kind": "recorded", "transcript": {"configMapKeyRef": {"name": "transcript", "key": "answers"}}, "models": priced_models()},
    })
}

#[tokio::test]
async fn a_transcript_is_played_to_its_end() {
    World::scenario("transcript", async |world| {
        let text = format!("{TRANSCRIPT}  - toolCalls: [{{name: finish, arguments: {{summary: Done.}}}}]\n");
        world.config_map("transcript", "answers", &text).await;
        world.put(&recorded()).await;
        world.agents_ask_in_order(&["recorded"]).await;
        let _operator = world.operator().await;
        world.run("recorded", json!({})).await;
        let run = world.succeeded("recorded").await;
        assert_eq!(run.status.unwrap().usage.unwrap().input_tokens, 100);
    })
    .await;
}

#[tokio::test]
async fn a_transcript_that_runs_out_ends_the_run_naming_the_request() {
    World::scenario("miss", async |world| {
        world.config_map("transcript", "answers", TRANSCRIPT).await;
        world.put(&recorded()).await;
        world.agents_ask_in_order(&["recorded"]).await;
        let _operator = world.operator().await;
        world.run("missed", json!({})).await;
        let message = world.failed("missed", "TranscriptMiss").await;
        assert!(message.contains("sha256:") && message.contains("request 2") && message.contains("coder"), "{message}");
        world.verify().await;
    })
    .await;
}
