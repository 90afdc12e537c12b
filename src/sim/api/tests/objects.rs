//! Versions, conflicts, ownership, deletion.

use serde_json::{Value, json};

use super::{KILLS, MAPS, Stand, kill, map};

#[test]
fn each_write_gets_a_later_version_and_nothing_changed_gets_none() {
    let mut stand = Stand::new();
    let (code, made) = stand.post(MAPS, &map("a", json!({ "x": "1" })));
    assert_eq!(code, 201, "{made}");
    let at = format!("{MAPS}/a");
    let (_, changed) = stand.merge(&at, &json!({ "data": { "x": "2" } }));
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(&changed) > version(&made));
    let (_, same) = stand.merge(&at, &json!({ "data": { "x": "2" } }));
    assert_eq!(same, changed);
}

#[test]
fn a_name_that_is_taken_and_a_version_that_is_past_are_conflicts() {
    let mut stand = Stand::new();
    let (_, made) = stand.post(MAPS, &map("a", json!({})));
    let (code, refused) = stand.post(MAPS, &map("a", json!({})));
    assert_eq!((code, refused["reason"].as_str()), (409, Some("AlreadyExists")));
    let at = format!("{MAPS}/a");
    stand.merge(&at, &json!({ "data": { "x": "1" } }));
    let (code, refused) = stand.put(&at, &made);
    assert_eq!((code, refused["reason"].as_str()), (409, Some("Conflict")));
    let (code, refused) = stand.delete(&at, &json!({ "preconditions": { "uid": "another" } }));
    assert_eq!((code, refused["reason"].as_str()), (409, Some("Conflict")));
    let (code, _) = stand.delete(&at, &json!({ "preconditions": { "uid": made["metadata"]["uid"] } }));
    assert_eq!(code, 200);
    assert_eq!(stand.get(&at).0, 404);
}

#[test]
fn applied_fields_have_owners_who_must_be_forced() {
    let mut stand = Stand::new();
    let at = format!("{MAPS}/a?fieldManager");
    assert_eq!(stand.apply(&format!("{at}=one"), &map("a", json!({ "x": "1", "y": "1" }))).0, 201);
    let (code, refused) = stand.apply(&format!("{at}=two"), &map("a", json!({ "x": "2" })));
    assert_eq!(code, 409);
    assert_eq!(refused["details"]["causes"][0]["field"], ".data.x");
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    let (code, forced) = stand.apply(&format!("{at}=two&force=true"), &map("a", json!({ "x": "2" })));
    assert_eq!((code, &forced["data"]), (200, &json!({ "x": "2", "y": "1" })));
    // What one no longer names goes, unless it belongs to two.
    let (_, left) = stand.apply(&format!("{at}=one"), &map("a", json!({})));
    assert_eq!(left["data"], json!({ "x": "2" }));
}

#[test]
fn status_and_spec_are_written_by_different_roads() {
    let mut stand = Stand::new();
    let mut wanted = kill("k");
    wanted["status"] = json!({ "stoppedRuns": 3 });
    let (code, made) = stand.post(KILLS, &wanted);
    assert_eq!((code, made.get("status"), &made["metadata"]["generation"]), (201, None, &json!(1)));
    let (at, status) = (format!("{KILLS}/k"), format!("{KILLS}/k/status"));
    let (_, written) = stand.merge(&status, &json!({ "spec": { "reason": "no" }, "status": { "stoppedRuns": 1 } }));
    assert_eq!((&written["spec"]["reason"], &written["status"]), (&json!("a drill"), &json!({ "stoppedRuns": 1 })));
    assert_eq!(written["metadata"]["generation"], 1);
    let (_, changed) = stand.merge(&at, &json!({ "spec": { "reason": "yes" }, "status": { "stoppedRuns": 9 } }));
    assert_eq!((&changed["metadata"]["generation"], &changed["status"]["stoppedRuns"]), (&json!(2), &json!(1)));
}

#[test]
fn an_object_with_finalizers_ends_when_the_last_is_gone() {
    let mut stand = Stand::new();
    let mut wanted = kill("k");
    wanted["metadata"]["finalizers"] = json!(["reeve.dev/a"]);
    stand.post(KILLS, &wanted);
    let at = format!("{KILLS}/k");
    let (code, ending) = stand.delete(&at, &Value::Null);
    assert_eq!((code, &ending["metadata"]["deletionTimestamp"]), (200, &json!("2026-01-01T00:00:00Z")));
    assert_eq!(ending["metadata"]["generation"], 2);
    let (code, refused) = stand.merge(&at, &json!({ "metadata": { "finalizers": ["reeve.dev/a", "reeve.dev/b"] } }));
    assert_eq!((code, refused["reason"].as_str()), (422, Some("Invalid")));
    assert_eq!(stand.merge(&at, &json!({ "metadata": { "finalizers": null } })).0, 200);
    assert_eq!(stand.get(&at).0, 404);
}

#[test]
fn an_object_goes_with_its_last_owner_and_not_before() {
    let mut stand = Stand::new();
    let owner =
        |made: &Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"] });
    let (_, one) = stand.post(MAPS, &map("one", json!({})));
    let (_, two) = stand.post(MAPS, &map("two", json!({})));
    let mut owned = map("owned", json!({}));
    owned["metadata"]["ownerReferences"] = json!([owner(&one), owner(&two)]);
    assert_eq!(stand.post(MAPS, &owned).0, 201);
    let now = stand.now;
    assert_eq!(stand.server.collect_garbage(now), None);
    stand.delete(&format!("{MAPS}/one"), &Value::Null);
    while stand.server.collect_garbage(now).is_some() {}
    assert_eq!(stand.get(&format!("{MAPS}/owned")).1["metadata"]["ownerReferences"], json!([owner(&two)]));
    stand.delete(&format!("{MAPS}/two"), &Value::Null);
    while stand.server.collect_garbage(now).is_some() {}
    assert_eq!(stand.get(&format!("{MAPS}/owned")).0, 404);
}

#[test]
fn the_same_requests_give_the_same_bytes() {
    let run = || {
        let mut stand = Stand::new();
        let bodies = [
            stand.post(MAPS, &map("a", json!({ "x": "1" }))).1,
            stand.apply(&format!("{KILLS}/k?fieldManager=f"), &kill("k")).1,
            stand.get("/api/v1/configmaps").1,
        ];
        bodies.map(|body| body.to_string())
    };
    assert_eq!(run(), run());
}
