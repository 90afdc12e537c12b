//! What the server refuses before the operator hears of it: by schema, by CEL and by admission.

use reeve_api::{AgentRun, Goal};
use reeve_tests::{World, repository, yaml};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One line of `refusals.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Starts from `hack/examples/<kind>-minimal.yaml`.
    kind: String,
    case: String,
    /// JSON pointers into the object as it is first applied; with this the case is about an update.
    first: Option<BTreeMap<String, Value>>,
    /// JSON pointers into the object that must be refused.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
    /// Words of the refusal.
    says: String,
}

/// What `hack/examples/<kind>-minimal.yaml` holds.
pub(crate) fn minimal(kind: &str) -> Value {
    yaml(&std::fs::read_to_string(repository().join(format!("hack/examples/{kind}-minimal.yaml"))).unwrap())
}

/// `{$repeat: text, times: n}` stands for a long text.
fn expanded(value: &Value) -> Value {
    match (value.get("$repeat").and_then(Value::as_str), value.get("times").and_then(Value::as_u64)) {
        (Some(text), Some(times)) => json!(text.repeat(usize::try_from(times).unwrap())),
        (_, _) => value.clone(),
    }
}

/// Puts a value at a JSON pointer; objects on the way are made.
pub(crate) fn set(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let mut place = object;
    for step in parent.split('/').skip(1) {
        place = place.as_object_mut().unwrap().entry(step).or_insert_with(|| json!({}));
    }
    place.as_object_mut().unwrap().insert(field.to_owned(), expanded(value));
}

#[tokio::test]
async fn every_bad_object_is_refused_with_words_that_help() {
    World::scenario("refusals", async |world| {
        let cases: Vec<Case> = serde_saphyr::from_str(include_str!("refusals.yaml")).unwrap();
        let mut wrong = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let mut object = minimal(&case.kind);
            object["metadata"]["name"] = json!(format!("case-{number}"));
            if let Some(first) = &case.first {
                first.iter().for_each(|(pointer, value)| set(&mut object, pointer, value));
                if let Err(message) = world.try_apply(&object).await {
                    wrong.push(format!("{}, {}: the first object was refused: {message}", case.kind, case.case));
                    continue;
                }
            }
            case.set.iter().for_each(|(pointer, value)| set(&mut object, pointer, value));
            for pointer in &case.remove {
                let (parent, field) = pointer.rsplit_once('/').unwrap();
                object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
            }
            match world.try_apply(&object).await {
                Ok(_) => wrong.push(format!("{}, {}: was taken", case.kind, case.case)),
                Err(message) if message.contains(&case.says) => {}
                Err(message) => wrong.push(format!("{}, {}: expected {:?}, the server says {message:?}", case.kind, case.case, case.says)),
            }
        }
        assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    })
    .await;
}

const EVERYTHING_OF_REEVE: &[(&str, &str, &[&str])] =
    &[("reeve.dev", "*", &["get", "list", "watch", "create", "update", "patch", "delete"])];

#[tokio::test]
async fn who_asks_is_stamped_and_nobody_can_ask_in_anothers_name() {
    World::scenario("requested-by", async |world| {
        let developer = world.user("developer", EVERYTHING_OF_REEVE).await;
        for kind in ["agentrun", "goal"] {
            let mut object = minimal(kind);
            let stamped = developer.put(&object).await;
            assert_eq!(stamped.data["spec"]["requestedBy"], "developer", "{kind}");
            let again = developer.put(&object).await;
            assert_eq!(again.data["spec"]["requestedBy"], "developer", "applying the same file again changes nothing");
            object["metadata"]["name"] = json!("forged");
            object["spec"]["requestedBy"] = json!("someone-else");
            let refusal = developer.refused(&object).await;
            assert!(refusal.contains("requestedBy"), "{refusal}");
            // Who writes it themselves may, as on servers that stamp nothing.
            object["spec"]["requestedBy"] = json!("developer");
            developer.put(&object).await;
        }
        let refusal = developer.patch::<Goal>("forged", json!({"spec": {"requestedBy": "someone-else"}})).await.unwrap_err();
        assert!(refusal.contains("immutable") || refusal.contains("requestedBy"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn only_the_operator_makes_runs_of_a_goal() {
    World::scenario("goal-ref", async |world| {
        let developer = world.user("developer", EVERYTHING_OF_REEVE).await;
        let mut run = minimal("agentrun");
        run["spec"]["goalRef"] = json!({"name": "some-goal"});
        let refusal = developer.refused(&run).await;
        assert!(refusal.contains("goalRef"), "{refusal}");
        let refusal = world.refused(&run).await;
        assert!(refusal.contains("goalRef"), "not even the admin: {refusal}");
    })
    .await;
}

#[tokio::test]
async fn naming_a_secret_takes_the_right_to_read_it() {
    World::scenario("secret-right", async |world| {
        world.secret("keys", Some("api.example.com"), json!({"model": "some-key-value"})).await;
        let developer = world.user("developer", EVERYTHING_OF_REEVE).await;
        let holder = world.user("holder", &[("reeve.dev", "*", &["get", "create", "patch", "update"]), ("", "secrets", &["get"])]).await;
        let mut provider = minimal("modelprovider");
        provider["spec"]["secretRef"] = json!({"name": "keys", "key": "model"});
        let refusal = developer.refused(&provider).await;
        assert!(refusal.contains("keys") || refusal.contains("Secret"), "{refusal}");
        holder.put(&provider).await;
        // Without the Secret she may; with it in place, an edit of hers would use what she cannot read.
        let mut own = minimal("modelprovider");
        own["metadata"]["name"] = json!("own");
        developer.put(&own).await;
        provider["spec"]["baseURL"] = json!("http://elsewhere.example.com/v1");
        let refusal = developer.refused(&provider).await;
        assert!(refusal.contains("keys") || refusal.contains("Secret"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn a_status_is_the_operators_alone() {
    World::scenario("status", async |world| {
        let rules: &[(&str, &str, &[&str])] =
            &[("reeve.dev", "*", &["get", "create", "patch", "update"]), ("reeve.dev", "agentruns/status", &["patch", "update"])];
        let developer = world.user("developer", rules).await;
        developer.put(&minimal("agentrun")).await;
        let forged = json!({"status": {"phase": "Succeeded"}});
        let refusal = developer.patch_status::<AgentRun>("say-hello", forged).await.unwrap_err();
        assert!(refusal.contains("status"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_once_given_stands_and_suspended_may_change() {
    World::scenario("mutable", async |world| {
        world.run("say-hello", json!({})).await;
        for patch in [
            json!({"suspended": true}),
            json!({"suspended": false}),
            json!({"answers": {"q1-0": "yes"}}),
            json!({"answers": {"q2-0": "no"}}),
        ] {
            world.patch::<AgentRun>("say-hello", json!({"spec": patch})).await.unwrap();
        }
        let refusal = world.patch::<AgentRun>("say-hello", json!({"spec": {"answers": {"q1-0": "no"}}})).await.unwrap_err();
        assert!(refusal.contains("an answer once given stands"), "{refusal}");
        let refusal = world.patch::<AgentRun>("say-hello", json!({"spec": {"answers": null}})).await.unwrap_err();
        assert!(refusal.contains("an answer once given stands"), "{refusal}");
    })
    .await;
}
