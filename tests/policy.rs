//! Every tool call is judged, and a denial is an answer.

use reeve_api::PolicySet;
use reeve_core::journal::{Event, Observation, Verdict};
use reeve_tests::{FakeModel, World, call, calls, finish};
use serde_json::json;

#[tokio::test]
async fn a_denied_call_goes_back_to_the_model_with_rule_and_reason() {
    World::scenario("denied", async |world| {
        let model = FakeModel::playing([
            calls([
                ("shell.run", json!({"argv": ["bash", "-c", "ls"]})),
                ("shell.run", json!({"argv": ["find", ".", "-exec", "rm", "{}", ";"]})),
                ("shell.run", json!({"argv": ["python3", "-m", "pip", "install", "left-pad"]})),
            ]),
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("denied", json!({})).await;
        let run = world.succeeded("denied").await;
        assert_eq!(run.status.as_ref().unwrap().usage.as_ref().unwrap().denied_calls, 3);
        let rows = world.journal("denied").await;
        let judgements: Vec<_> = rows
            .events()
            .into_iter()
            .filter_map(|event| if let Event::PolicyDecision(judgement) = event { Some(judgement) } else { None })
            .collect();
        for (place, rule) in ["no-shells", "find-only-finds", "no-package-installation-python"].into_iter().enumerate() {
            let judgement = &judgements[place];
            assert_eq!(judgement.verdict, Verdict::Deny, "call {place}\n{rows}");
            assert!(judgement.determining.iter().any(|policy| policy.ends_with(&format!("/{rule}"))), "{judgement:?}");
            assert_eq!(rows.results()[place].observation, Observation::Denied);
            assert!(rows.told(place).contains(&judgement.reason) && rows.told(place).contains(rule), "{}", rows.told(place));
        }
        assert!(!world.patch_of(&run).await.contains("left-pad"), "what was denied did not happen");
    })
    .await;
}

#[tokio::test]
async fn at_autonomy_level_1_an_agent_reads_and_changes_nothing() {
    World::scenario("level-1-run", async |world| {
        let model = FakeModel::playing([
            calls([
                ("fs.list", json!({})),
                ("fs.write", json!({"path": "a.txt", "content": "a\n"})),
                ("shell.run", json!({"argv": ["ls"]})),
            ]),
            finish("I would write a.txt."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("suggests", json!({"autonomyLevel": 1})).await;
        let run = world.succeeded("suggests").await;
        assert_eq!(run.status.unwrap().usage.unwrap().denied_calls, 2);
    })
    .await;
}

const NO_EDITS: &str = r#"
@id("everything-else")
permit (principal, action, resource);
@id("no-edits-here")
@reason("nothing is edited in this namespace")
forbid (principal, action, resource == Tool::"fs.edit");
"#;

fn policy_set(name: &str, cedar: &str) -> serde_json::Value {
    json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "PolicySet", "metadata": {"name": name}, "spec": {"cedar": cedar}})
}

#[tokio::test]
async fn a_set_of_the_namespace_narrows_and_a_bad_edit_leaves_the_one_before_in_force() {
    World::scenario("sets", async |world| {
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("fs.edit", json!({"path": "a.txt", "old": "a", "new": "b"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.put(&policy_set("narrow", NO_EDITS)).await;
        let ready = |set: &PolicySet| {
            set.status
                .as_ref()
                .is_some_and(|status| status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
        };
        let good = world.wait::<PolicySet>("narrow", "Ready", ready).await.status.unwrap().active_digest;
        for (bad, words) in [
            ("permit (principal, action, resource);", "@id"),
            ("@id(\"open\") permit (principal, action, resource", "unexpected end"),
            ("@id(\"dragons\") permit (principal is Dragon, action, resource);", "Dragon"),
        ] {
            world.put(&policy_set("narrow", bad)).await;
            let generation = world.api::<PolicySet>().get("narrow").await.unwrap().metadata.generation;
            let told = |set: &PolicySet| set.status.as_ref().is_some_and(|status| status.observed_generation == generation);
            let status = world.wait::<PolicySet>("narrow", "told", told).await.status.unwrap();
            let condition = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
            assert_eq!(condition.status, "False", "{condition:?}");
            assert!(condition.message.contains(words), "{}", condition.message);
            assert_eq!(status.active_digest, good, "the good text stays in force");
        }
        world.run("narrowed", json!({})).await;
        world.succeeded("narrowed").await;
        let rows = world.journal("narrowed").await;
        assert_eq!(rows.results()[1].observation, Observation::Denied, "{rows}");
        assert!(rows.told(1).contains("nothing is edited in this namespace"), "{}", rows.told(1));
    })
    .await;
}

#[tokio::test]
async fn a_set_whose_golden_decision_does_not_hold_never_becomes_active() {
    World::scenario("golden", async |world| {
        let _operator = world.operator().await;
        let mut set = policy_set("golden", NO_EDITS);
        set["spec"]["cases"] = json!([
            {"name": "reading is fine", "tool": "fs.read", "paths": ["a.txt"], "expect": "Allow"},
            {"name": "editing is fine", "tool": "fs.edit", "paths": ["a.txt"], "expect": "Allow"},
        ]);
        world.put(&set).await;
        let told = |set: &PolicySet| set.status.as_ref().is_some_and(|status| status.observed_generation.is_some());
        let status = world.wait::<PolicySet>("golden", "told", told).await.status.unwrap();
        assert_eq!(status.active_digest, None);
        assert!(status.conditions[0].message.contains("editing is fine"), "{:?}", status.conditions);
    })
    .await;
}
