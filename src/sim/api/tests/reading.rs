//! Lists, selectors, watches, and what does not fit.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{KILLS, MAPS, Stand, kill, map};
use crate::api::{Answer, Watch};

fn watch(stand: &mut Stand, path: &str) -> Watch {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    match stand.server.handle(stand.now, &stand.caller, &request) {
        Answer::Watch(watch) => *watch,
        Answer::Whole(code, body) => panic!("no watch: {code} {body}"),
    }
}

fn told(event: &Value) -> String {
    let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
    format!("{} {name}", event["type"].as_str().unwrap()).trim_end().to_owned()
}

fn all(stand: &Stand, watch: &mut Watch) -> Vec<String> {
    std::iter::from_fn(|| stand.server.next_event(watch)).map(|event| told(&event)).collect()
}

#[test]
fn a_list_in_pages_is_one_state_whatever_happens_between_them() {
    let mut stand = Stand::new();
    for name in ["a", "b", "c"] {
        stand.post(MAPS, &map(name, json!({ "x": "1" })));
    }
    let (_, first) = stand.get(&format!("{MAPS}?limit=2"));
    assert_eq!((first["items"].as_array().unwrap().len(), &first["metadata"]["remainingItemCount"]), (2, &json!(1)));
    stand.delete(&format!("{MAPS}/c"), &Value::Null);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = stand.get(&format!("{MAPS}?limit=2&continue={token}"));
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    let now = stand.server.version();
    stand.server.compact(now);
    let (code, refused) = stand.get(&format!("{MAPS}?limit=2&continue={token}"));
    assert_eq!((code, refused["reason"].as_str()), (410, Some("Expired")));
}

#[test]
fn a_watch_tells_an_object_that_leaves_its_selection_as_deleted() {
    let mut stand = Stand::new();
    let from = stand.server.version();
    let mut selected = watch(&mut stand, &format!("{KILLS}?watch=true&resourceVersion={from}&fieldSelector=spec.engaged%3Dtrue"));
    stand.post(KILLS, &kill("k"));
    stand.merge(&format!("{KILLS}/k"), &json!({ "spec": { "engaged": false } }));
    stand.merge(&format!("{KILLS}/k"), &json!({ "spec": { "reason": "another" } }));
    stand.merge(&format!("{KILLS}/k"), &json!({ "spec": { "engaged": true } }));
    assert_eq!(all(&stand, &mut selected), ["ADDED k", "DELETED k", "ADDED k"]);
}

#[test]
fn a_watch_from_nothing_begins_with_what_is_there_and_says_where_that_ends() {
    let mut stand = Stand::new();
    stand.post(MAPS, &map("a", json!({})));
    let initial = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut all_of_it = watch(&mut stand, &format!("{MAPS}?{initial}"));
    stand.post(MAPS, &map("b", json!({})));
    assert_eq!(all(&stand, &mut all_of_it), ["ADDED a", "BOOKMARK", "ADDED b"]);
    let bookmark = stand.server.bookmark(&all_of_it).unwrap();
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], stand.server.version().to_string());
}

#[test]
fn a_watch_that_fell_behind_is_told_so_once() {
    let mut stand = Stand::new();
    let from = stand.server.version();
    let mut late = watch(&mut stand, &format!("{MAPS}?watch=true&resourceVersion={from}"));
    stand.post(MAPS, &map("a", json!({})));
    let now = stand.server.version();
    stand.server.compact(now);
    let error = stand.server.next_event(&mut late).unwrap();
    assert_eq!((told(&error), &error["object"]["code"]), ("ERROR".to_owned(), &json!(410)));
    assert_eq!(stand.server.next_event(&mut late), None);
}

#[test]
fn a_lagging_client_sees_the_past_in_order() {
    let mut stand = Stand::new();
    let from = stand.server.version();
    let mut lagging = watch(&mut stand, &format!("{MAPS}?watch=true&resourceVersion={from}"));
    for name in ["a", "b"] {
        stand.post(MAPS, &map(name, json!({})));
    }
    let first = stand.server.next_event_upto(&mut lagging, from + 1).unwrap();
    assert_eq!(told(&first), "ADDED a");
    assert_eq!(stand.server.next_event_upto(&mut lagging, from + 1), None);
    assert_eq!(all(&stand, &mut lagging), ["ADDED b"]);
}

#[test]
fn a_version_from_the_future_is_refused_and_retried_later() {
    let mut stand = Stand::new();
    let (code, refused) = stand.get(&format!("{MAPS}?resourceVersion=1000000"));
    assert_eq!((code, refused["reason"].as_str()), (504, Some("Timeout")));
}

#[test]
fn what_etcd_would_not_take_is_refused() {
    let mut stand = Stand::new();
    let (code, refused) = stand.post(MAPS, &map("a", json!({ "x": "y".repeat(1_600_000) })));
    assert_eq!((code, refused["details"]["causes"][0]["reason"].as_str()), (422, Some("FieldValueTooLong")));
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": { "hostname": "y".repeat(1_600_000) } });
    let (code, refused) = stand.post("/api/v1/namespaces/default/pods", &pod);
    assert_eq!((code, refused["message"].as_str()), (500, Some("etcdserver: request is too large")));
    let (code, _) = stand.post(MAPS, &map("a", json!({ "x": "y".repeat(3_200_000) })));
    assert_eq!(code, 413);
}

#[test]
fn rules_of_a_schema_hold_and_compare_with_what_was() {
    let mut stand = Stand::new();
    let runs = "/apis/reeve.dev/v1alpha1/namespaces/default/agentruns";
    let run = json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": { "name": "r" },
        "spec": { "role": "Coder", "objective": "x", "unknown": 1 } });
    let (code, made) = stand.post(runs, &run);
    assert_eq!((code, made["spec"].get("unknown"), &made["spec"]["autonomyLevel"]), (201, None, &json!(2)));
    let (code, refused) = stand.merge(&format!("{runs}/r"), &json!({ "spec": { "objective": "y" } }));
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().contains("the spec of an AgentRun is immutable"), "{refused}");
    assert_eq!(stand.merge(&format!("{runs}/r"), &json!({ "spec": { "suspended": true } })).0, 200);
}

#[test]
fn an_owner_that_waits_for_its_dependents_goes_after_them_and_one_that_orphans_leaves_them() {
    for (policy, survives) in [("Foreground", false), ("Orphan", true)] {
        let mut stand = Stand::new();
        let (_, owner) = stand.post(MAPS, &map("owner", json!({})));
        let mut owned = map("owned", json!({}));
        owned["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true }]);
        stand.post(MAPS, &owned);
        let (_, waiting) = stand.delete(&format!("{MAPS}/owner"), &json!({ "propagationPolicy": policy }));
        assert!(waiting["metadata"]["deletionTimestamp"].is_string(), "{waiting}");
        let now = stand.now;
        let steps = std::iter::from_fn(|| stand.server.collect_garbage(now)).count();
        assert_eq!(steps, 2, "{policy}");
        assert_eq!(stand.get(&format!("{MAPS}/owner")).0, 404);
        let (code, left) = stand.get(&format!("{MAPS}/owned"));
        assert_eq!((code == 200, left["metadata"].get("ownerReferences").is_some()), (survives, false), "{policy}");
    }
}

#[test]
fn a_namespace_takes_all_that_is_in_it_and_nothing_more_comes() {
    let mut stand = Stand::new();
    let now = stand.now;
    stand.server.add_namespace(now, "team");
    let maps = "/api/v1/namespaces/team/configmaps";
    stand.post(maps, &map("a", json!({})));
    assert_eq!(stand.delete("/api/v1/namespaces/team", &Value::Null).1["status"]["phase"], "Terminating");
    let (code, refused) = stand.post(maps, &map("b", json!({})));
    assert_eq!((code, refused["reason"].as_str()), (403, Some("Forbidden")));
    while stand.server.collect_garbage(now).is_some() {}
    assert_eq!((stand.get(&format!("{maps}/a")).0, stand.get("/api/v1/namespaces/team").0), (404, 404));
    assert_eq!(stand.post(maps, &map("b", json!({}))).0, 404);
}

#[test]
fn who_asks_for_metadata_alone_is_shown_no_more() {
    let mut stand = Stand::new();
    stand.post(MAPS, &map("a", json!({ "x": "1" })));
    let ask = |stand: &mut Stand, path: &str, kind: &str| {
        let accept = format!("application/json;as={kind};g=meta.k8s.io;v=v1");
        let request = Request::get(path).header(http::header::ACCEPT, accept).body(Bytes::new()).unwrap();
        stand.server.handle(stand.now, &stand.caller, &request)
    };
    let Answer::Whole(200, one) = ask(&mut stand, &format!("{MAPS}/a"), "PartialObjectMetadata") else { panic!("no object") };
    assert_eq!((&one["kind"], &one["apiVersion"]), (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1")));
    assert_eq!((&one["metadata"]["name"], &one["data"]), (&json!("a"), &Value::Null));
    let Answer::Whole(200, list) = ask(&mut stand, MAPS, "PartialObjectMetadataList") else { panic!("no list") };
    assert_eq!((&list["kind"], &list["items"]), (&json!("PartialObjectMetadataList"), &json!([one])));
    let Answer::Watch(mut watch) = ask(&mut stand, &format!("{MAPS}?watch=true"), "PartialObjectMetadata") else { panic!("no watch") };
    assert_eq!(stand.server.next_event(&mut watch), Some(json!({ "type": "ADDED", "object": one })));
}
