//! The promises of the server, each through the real client or through plain requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod admission;
mod client;
mod objects;
mod reading;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, ApiServer, Caller, Kinds};

/// A server and the words to speak to it.
pub(super) struct Stand {
    pub(super) server: ApiServer,
    pub(super) now: Timestamp,
    /// Who sends.
    pub(super) caller: Caller,
}

/// The CustomResourceDefinitions of the chart.
pub(super) fn crds() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Compiled once: that takes longer than most tests.
pub(super) fn kinds() -> Arc<Kinds> {
    static KINDS: LazyLock<Arc<Kinds>> = LazyLock::new(|| {
        let mut kinds = Kinds::builtin();
        for yaml in crds() {
            kinds.add_crds(&yaml).unwrap();
        }
        Arc::new(kinds)
    });
    Arc::clone(&KINDS)
}

pub(super) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(super) const KILLS: &str = "/apis/reeve.dev/v1alpha1/namespaces/default/killswitches";

impl Stand {
    pub(super) fn new() -> Stand {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Stand { server: ApiServer::new(1, now, kinds()), now, caller: Caller::user("alice") }
    }

    /// Sends a request and gives code and body.
    pub(super) fn send(&mut self, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(body).unwrap();
        match self.server.handle(self.now, &self.caller, &request) {
            Answer::Whole(code, body) => (code, (*body).clone()),
            Answer::Watch(_) => panic!("a watch was opened"),
        }
    }

    pub(super) fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, "application/json", body)
    }

    pub(super) fn put(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, "application/json", body)
    }

    pub(super) fn merge(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, "application/merge-patch+json", body)
    }

    pub(super) fn apply(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, "application/apply-patch+yaml", body)
    }

    pub(super) fn get(&mut self, path: &str) -> (u16, Value) {
        self.send("GET", path, "", &Value::Null)
    }

    pub(super) fn delete(&mut self, path: &str, options: &Value) -> (u16, Value) {
        self.send("DELETE", path, "application/json", options)
    }
}

pub(super) fn map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

pub(super) fn kill(name: &str) -> Value {
    json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "KillSwitch", "metadata": { "name": name },
        "spec": { "engaged": true, "reason": "a drill" } })
}
