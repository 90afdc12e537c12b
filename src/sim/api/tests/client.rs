//! The real client and its watcher, against the server.

use futures::{Stream, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::kinds;
use crate::api::{ApiServer, Caller, Face, Shared};

fn stand() -> (Shared, Client) {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let shared = Shared::new(ApiServer::new(7, start, kinds()));
    let client = Client::new(Face::new(shared.clone(), Caller::user("alice"), move || start), "default");
    (shared, client)
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "a": "1" } })).unwrap()
}

#[tokio::test]
async fn the_real_client_creates_patches_lists_and_deletes() {
    let (_, client) = stand();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &map("one")).await.unwrap();
    let patch = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "b": "2" }, "metadata": { "name": "one" } });
    let applied = api.patch("one", &PatchParams::apply("tests"), &Patch::Apply(&patch)).await.unwrap();
    assert_eq!(applied.data.unwrap().len(), 2);
    let refused = api.create(&PostParams::default(), &map("one")).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"));
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(api.delete("one", &DeleteParams::default()).await.unwrap().is_right());
    assert!(api.get_opt("one").await.unwrap().is_none());
}

/// Takes events until the first list is complete or something changes.
async fn seen(events: &mut (impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin), names: &mut Vec<String>) {
    loop {
        match events.try_next().await.unwrap().unwrap() {
            Event::Init => names.push("init".to_owned()),
            Event::InitDone => return,
            Event::InitApply(object) => names.push(format!("first {}", object.name_any())),
            Event::Apply(object) => return names.push(format!("apply {}", object.name_any())),
            Event::Delete(object) => return names.push(format!("delete {}", object.name_any())),
        }
    }
}

#[tokio::test]
async fn the_real_watcher_sees_each_change_and_survives_a_forgotten_past() {
    let (shared, client) = stand();
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &map("one")).await.unwrap();
    let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
    let mut names = Vec::new();
    seen(&mut events, &mut names).await;
    api.create(&PostParams::default(), &map("two")).await.unwrap();
    seen(&mut events, &mut names).await;
    api.delete("one", &DeleteParams::default()).await.unwrap();
    seen(&mut events, &mut names).await;
    assert_eq!(names, ["init", "first one", "apply two", "delete one"]);
    shared.with(|server| {
        let past = server.version() + 1;
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "three" } }).to_string();
        let request = http::Request::post("/api/v1/namespaces/default/configmaps").body(bytes::Bytes::from(body)).unwrap();
        server.handle("2026-01-01T00:00:00Z".parse().unwrap(), &Caller::user("bob"), &request);
        server.compact(past);
    });
    let gone = events.try_next().await.unwrap_err();
    assert!(matches!(&gone, watcher::Error::WatchError(status) if status.code == 410), "{gone}");
}
