//! What is referred to and is not there, or not usable: a reason, a sentence, and recovery when it comes.

use reeve_api::{AgentProfile, AgentRun, Goal, GoalPhase, ModelProvider, RiskBudget};
use reeve_core::class::Class;
use reeve_operator::cluster::{WriteError, write_status};
use reeve_tests::{FakeModel, World, call, finish, priced_models};
use serde_json::json;

#[tokio::test]
async fn an_object_made_anew_under_its_name_keeps_its_own_status() {
    World::scenario("made-anew", async |world| {
        let budget = json!({
            "apiVersion": "reeve.dev/v1alpha1", "kind": "RiskBudget",
            "metadata": { "name": "team" }, "spec": { "limits": { "tokens": 5 } },
        });
        world.put(&budget).await;
        let api = world.api::<RiskBudget>();
        let client = world.as_the_operator().await.api::<RiskBudget>().into_client();
        let before = api.get("team").await.unwrap();
        world.delete::<RiskBudget>("team").await;
        world.put(&budget).await;
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "Valid", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
        });
        let status = json!({ "conditions": [condition] });
        let refused = write_status(&client, &before, None, &status).await.unwrap_err();
        assert!(matches!(refused, WriteError::MadeAnew { .. }) && refused.class() == Class::Conflict, "{refused}");
        let anew = api.get("team").await.unwrap();
        assert!(anew.status.is_none(), "{:?}", anew.status);
        write_status(&client, &anew, None, &status).await.unwrap();
        assert_eq!(api.get("team").await.unwrap().status.unwrap().conditions[0].reason, "Valid");
    })
    .await;
}

#[tokio::test]
async fn a_status_decided_on_an_old_phase_is_not_written() {
    World::scenario("moved-on", async |world| {
        let spec = json!({ "objective": "It is done.", "acceptance": { "commands": [{ "argv": ["true"] }] } });
        world.put(&json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "Goal", "metadata": { "name": "g" }, "spec": spec })).await;
        let api = world.api::<Goal>();
        let client = world.as_the_operator().await.api::<Goal>().into_client();
        let goal = api.get("g").await.unwrap();
        let phase = |phase: &str| json!({ "phase": phase });
        write_status(&client, &goal, None, &phase("Accepting")).await.unwrap();
        write_status(&client, &goal, Some(&phase("Accepting")), &phase("Failed")).await.unwrap();
        let late = write_status(&client, &goal, Some(&phase("Accepting")), &phase("Merging")).await.unwrap_err();
        assert!(matches!(late, WriteError::MovedOn { .. }) && late.class() == Class::Conflict, "{late}");
        assert_eq!(api.get("g").await.unwrap().status.unwrap().phase, Some(GoalPhase::Failed));
    })
    .await;
}

/// Waits until condition Ready of a ModelProvider has this reason; gives its message.
async fn provider_is(world: &World, name: &str, reason: &str) -> String {
    let of = |provider: &ModelProvider| {
        provider.status.as_ref().and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned())
    };
    let provider = world.wait::<ModelProvider>(name, reason, |provider| of(provider).is_some_and(|ready| ready.reason == reason)).await;
    of(&provider).unwrap().message
}

async fn profile_is(world: &World, name: &str, reason: &str) -> String {
    let of = |profile: &AgentProfile| {
        profile.status.as_ref().and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready").cloned())
    };
    let profile = world.wait::<AgentProfile>(name, reason, |profile| of(profile).is_some_and(|ready| ready.reason == reason)).await;
    of(&profile).unwrap().message
}

#[tokio::test]
async fn a_run_waits_for_its_profile_and_its_provider_and_starts_when_they_come() {
    World::scenario("dangling", async |world| {
        let model = FakeModel::playing([finish("Nothing to do.")]).await;
        let _operator = world.operator().await;
        world.run("waits", json!({})).await;
        let message = world.run_is("waits", "ProfileNotFound").await;
        assert!(message.contains("default"), "{message}");
        world.agents_ask_in_order(&["model"]).await;
        let message = world.run_is("waits", "ProviderNotFound").await;
        assert!(message.contains("model"), "{message}");
        profile_is(world, "default", "ProviderNotFound").await;
        assert!(world.jobs().await.is_empty(), "nothing is started before all is there");
        world.provider("model", &model.url).await;
        world.succeeded("waits").await;
        world.look_again::<AgentProfile>("default").await;
        profile_is(world, "default", "Valid").await;
    })
    .await;
}

#[tokio::test]
async fn a_route_to_a_model_that_the_provider_does_not_have_says_which_it_has() {
    World::scenario("no-model", async |world| {
        let model = FakeModel::playing([finish("Nothing to do.")]).await;
        world.agents_ask(&model).await;
        let route = json!([{"providerRef": {"name": "model"}, "model": "gpt-∞"}]);
        world.patch::<AgentProfile>("default", json!({"spec": {"routes": {"coder": route}}})).await.unwrap();
        let _operator = world.operator().await;
        world.run("waits", json!({})).await;
        let message = world.run_is("waits", "ModelNotFound").await;
        assert!(message.contains("gpt-∞") && message.contains("any"), "{message}");
        let route = json!([{"providerRef": {"name": "model"}, "model": "any"}]);
        world.patch::<AgentProfile>("default", json!({"spec": {"routes": {"coder": route}}})).await.unwrap();
        world.succeeded("waits").await;
    })
    .await;
}

#[tokio::test]
async fn a_workspace_whose_archive_is_missing_or_broken_is_named() {
    World::scenario("archive", async |world| {
        let model = FakeModel::playing([finish("Nothing to do.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        let archive = json!({"archive": {"configMapKeyRef": {"name": "source", "key": "tar.gz"}}});
        world.run("waits", json!({"workspace": archive})).await;
        let message = world.run_is("waits", "ConfigMapNotFound").await;
        assert!(message.contains("source"), "{message}");
        world.config_map("source", "other", "x").await;
        world.look_again::<AgentRun>("waits").await;
        let message = world.run_is("waits", "ConfigMapKeyNotFound").await;
        assert!(message.contains("tar.gz") && message.contains("other"), "{message}");
        world.config_map("source", "tar.gz", "this is no archive").await;
        world.look_again::<AgentRun>("waits").await;
        world.failed("waits", "WorkspaceInvalid").await;
        assert_eq!(model.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_provider_names_what_is_wrong_with_its_secret_until_nothing_is() {
    World::scenario("secret", async |world| {
        let model = FakeModel::playing([finish("Nothing to do.")]).await;
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "model"},
                "spec": {"kind": "openai-chat", "baseURL": model.url, "secretRef": {"name": "keys", "key": "model"}, "models": priced_models()},
            }))
            .await;
        world.agents_ask_in_order(&["model"]).await;
        let _operator = world.operator().await;
        let message = provider_is(world, "model", "SecretNotFound").await;
        assert!(message.contains("keys"), "{message}");
        world.secret("keys", None, json!({"other": "some-key-value"})).await;
        world.look_again::<ModelProvider>("model").await;
        let message = provider_is(world, "model", "SecretNotForHost").await;
        assert!(message.contains("reeve.dev/allowed-hosts") && message.contains(model.host()), "{message}");
        world.secret("keys", Some("api.example.com"), json!({"other": "some-key-value"})).await;
        world.run("asks", json!({})).await;
        let message = world.run_is("asks", "SecretNotForHost").await;
        assert!(message.contains(model.host()), "{message}");
        world.secret("keys", Some(model.host()), json!({"other": "some-key-value"})).await;
        world.look_again::<ModelProvider>("model").await;
        let message = provider_is(world, "model", "SecretKeyNotFound").await;
        assert!(message.contains("\"model\""), "{message}");
        world.secret("keys", Some(model.host()), json!({"other": "some-key-value", "model": "the-real-key"})).await;
        world.look_again::<ModelProvider>("model").await;
        provider_is(world, "model", "Configured").await;
        world.succeeded("asks").await;
        assert_eq!(model.authorizations(), [Some("Bearer the-real-key".to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn a_provider_whose_transcript_cannot_be_read_says_where() {
    World::scenario("bad-transcript", async |world| {
        world.config_map("transcript", "answers", "version: 1\nmatch: position\nlanes: {coder: [{tekst: hello}]}\n").await;
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": "recorded"},
                "spec": {"kind": "recorded", "transcript": {"configMapKeyRef": {"name": "transcript", "key": "answers"}}, "models": priced_models()},
            }))
            .await;
        let _operator = world.operator().await;
        let message = provider_is(world, "recorded", "TranscriptInvalid").await;
        assert!(message.contains("tekst"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_provider_deleted_in_mid_run_ends_the_run_by_name() {
    World::scenario("deleted-ref", async |world| {
        let gate = reeve_tests::Gate::default();
        let model = FakeModel::playing([call("fs.list", json!({})).held_by(&gate), finish("Nothing to do.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("bereft", json!({})).await;
        gate.reached().await;
        world.delete::<ModelProvider>("model").await;
        gate.open();
        let message = world.failed("bereft", "ModelFailed").await;
        assert!(message.contains("ProviderNotReady") && message.contains("\"model\""), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_profile_edited_or_deleted_in_mid_run_does_not_change_the_run() {
    World::scenario("edited-ref", async |world| {
        let gate = reeve_tests::Gate::default();
        let model = FakeModel::playing([call("fs.list", json!({})).held_by(&gate), finish("Nothing to do.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("steady", json!({})).await;
        gate.reached().await;
        world.patch::<AgentProfile>("default", json!({"spec": {"prompts": {"coder": "You are a pirate."}}})).await.unwrap();
        world.delete::<AgentProfile>("default").await;
        gate.open();
        world.succeeded("steady").await;
        assert!(!model.asked()[1].to_string().contains("pirate"));
    })
    .await;
}
