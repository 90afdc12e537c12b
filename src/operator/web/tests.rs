#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use jiff::Timestamp;
use reeve_core::journal::{Actor, Epoch, Event, Row, RowDraft, Stream};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;

struct Stand {
    probes: Router,
    read_api: Router,
    readiness: Readiness,
    journal: Journal,
    artifacts: Artifacts,
    _directory: TempDir,
}

impl Stand {
    async fn new() -> Stand {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal.db")).await.unwrap();
        let artifacts = Artifacts::open(&directory.path().join("artifacts")).await.unwrap();
        let readiness = Readiness::new("waits for the Lease");
        let (probes, read_api) = (probes(readiness.clone()), read_api(journal.clone(), artifacts.clone()));
        Stand { probes, read_api, readiness, journal, artifacts, _directory: directory }
    }

    async fn ask(&self, method: Method, path: &str) -> Response {
        let router = if path.starts_with("/api/") { &self.read_api } else { &self.probes };
        send(router, method, path).await
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let response = self.ask(Method::GET, path).await;
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    async fn rows(&self, path: &str) -> Vec<Row> {
        let (status, body) = self.get(path).await;
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A run that started and was suspended and resumed until it has so many rows.
    async fn run(&self, uid: &str, rows: usize) {
        let turn =
            |n: usize| if n.is_multiple_of(2) { Event::RunResumed(Default::default()) } else { Event::RunSuspended(Default::default()) };
        let events = std::iter::once(started()).chain((1..rows).map(turn));
        let drafts = events.map(|event| RowDraft::of(&event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap()).collect();
        self.journal.append(Epoch(1), &Stream::run(uid), None, drafts).await.unwrap();
    }
}

async fn send(router: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

fn started() -> Event {
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    serde_json::from_value(json!({ "kind": "run.started", "body": {
        "namespace": "team", "name": "fix", "requestedBy": "alice", "goal": null, "spec": {
            "role": "Coder", "objective": "o", "task": null, "autonomy": 2, "systemPrompt": "s", "profileDigest": digest, "routes": [],
            "maxOutputTokens": 1, "tools": [], "commands": [],
            "workspace": { "digest": digest, "packing": "tar-gz", "stripComponents": 0 },
            "sandbox": { "image": "i", "cpu": "1", "memory": "1Gi", "workspace": "1Gi", "runtimeClass": null },
            "limits": { "steps": 1, "seconds": 1, "toolCalls": 1, "outputBytes": 1 } } } }))
    .unwrap()
}

#[tokio::test]
async fn readiness_says_why_not() {
    let stand = Stand::new().await;
    assert_eq!(stand.get("/healthz").await.0, 200);
    assert_eq!(stand.get("/readyz").await, (503, b"not ready: waits for the Lease\n".to_vec()));
    stand.readiness.ready();
    assert_eq!(stand.get("/readyz").await, (200, b"ok\n".to_vec()));
    stand.readiness.not_ready("stops");
    assert_eq!(stand.get("/readyz").await.0, 503);
    assert!(String::from_utf8(stand.get("/metrics").await.1).unwrap().contains("process_resident_memory_bytes"));
}

#[tokio::test]
async fn the_open_port_shows_no_journal() {
    let stand = Stand::new().await;
    stand.run("uid-1", 2).await;
    let path = "/api/v1/namespaces/team/runs/fix/journal";
    assert_eq!(send(&stand.read_api, Method::GET, path).await.status(), 200);
    assert_eq!(send(&stand.probes, Method::GET, path).await.status(), 404);
}

#[tokio::test]
async fn a_journal_is_read_page_by_page_to_its_end() {
    let stand = Stand::new().await;
    stand.run("uid-1", 1200).await;
    let path = "/api/v1/namespaces/team/runs/fix/journal";
    let (mut all, mut from) = (Vec::new(), 1);
    loop {
        let page = stand.rows(&format!("{path}?from={from}")).await;
        assert!(page.len() <= 500);
        let Some(last) = page.last() else { break };
        from = last.seq.0 + 1;
        all.extend(page);
    }
    assert_eq!(all, stand.journal.read(&Stream::run("uid-1"), reeve_core::journal::Seq(1), 5000).await.unwrap());
}

#[tokio::test]
async fn the_operators_own_stream_is_read_as_a_run_is() {
    let stand = Stand::new().await;
    stand.run("operator", 600).await;
    stand.run("uid-1", 2).await;
    let (first, rest) = (stand.rows("/api/v1/journal/operator").await, stand.rows("/api/v1/journal/operator?from=501").await);
    assert_eq!((first.len(), rest.len()), (500, 100));
    assert!(first.iter().chain(&rest).all(|row| row.stream == Stream::operator()));
    assert_eq!(stand.get("/api/v1/journal/operator?uid=uid-1").await.0, 400, "there is one operator");
}

#[tokio::test]
async fn a_name_used_again_means_the_newest_run_unless_a_uid_is_given() {
    let stand = Stand::new().await;
    stand.run("uid-old", 3).await;
    stand.run("uid-new", 2).await;
    let path = "/api/v1/namespaces/team/runs/fix/journal";
    assert_eq!(stand.rows(path).await[0].stream, Stream::run("uid-new"));
    assert_eq!(stand.rows(&format!("{path}?uid=uid-old")).await.len(), 3);
    let header = stand.ask(Method::GET, path).await.headers()["reeve-run-uid"].clone();
    assert_eq!(header, "uid-new");
    for absent in ["/api/v1/namespaces/other/runs/fix/journal", "/api/v1/namespaces/team/runs/fix/journal?uid=x"] {
        assert_eq!(stand.get(absent).await.0, 404, "{absent}");
    }
    for bad in [format!("{path}?from=x"), format!("{path}?form=1")] {
        assert_eq!(stand.get(&bad).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_artifact_is_its_bytes() {
    let stand = Stand::new().await;
    let bytes: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
    let digest = stand.artifacts.put(bytes.clone()).await.unwrap();
    assert_eq!(stand.get(&format!("/api/v1/artifacts/{digest}")).await, (200, bytes));
    assert_eq!(stand.get(&format!("/api/v1/artifacts/{}", reeve_core::Digest::of("else"))).await.0, 404);
    // Whether it is there can be asked without fetching it.
    for (digest, there) in [(digest, StatusCode::OK), (reeve_core::Digest::of("else"), StatusCode::NOT_FOUND)] {
        assert_eq!(stand.ask(Method::HEAD, &format!("/api/v1/artifacts/{digest}")).await.status(), there);
    }
    assert_eq!(stand.get("/api/v1/artifacts/../../etc/passwd").await.0, 404);
    assert_eq!(stand.get("/api/v1/artifacts/sha256:zz").await.0, 400);
}

#[tokio::test]
async fn answers_that_hold_much_are_few_at_a_time() {
    let stand = Stand::new().await;
    let digest = stand.artifacts.put(vec![7; 200_000]).await.unwrap();
    let path = format!("/api/v1/artifacts/{digest}");
    let (first, second) = (stand.ask(Method::GET, &path).await, stand.ask(Method::GET, &path).await);
    assert_eq!(stand.get(&path).await.0, 429);
    drop(first);
    assert_eq!(stand.get(&path).await.0, 200, "a reader that is gone frees its place");
    drop(second);
}

#[tokio::test]
async fn nothing_but_get_is_served() {
    let stand = Stand::new().await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/namespaces/team/runs/fix/journal", "/api/v1/artifacts/sha256:00"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(stand.ask(method, path).await.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
}

#[tokio::test]
async fn readyz_says_why_until_all_is_well() {
    let stand = Stand::new().await;
    let said = async || {
        let (code, body) = stand.get("/readyz").await;
        (code, String::from_utf8(body).unwrap())
    };
    stand.readiness.not_ready("waits for the Lease");
    stand.readiness.journal_fails("appending to the journal: database or disk is full");
    let both = "not ready: waits for the Lease; the journal takes no rows, so nothing is done: \
                appending to the journal: database or disk is full\n";
    assert_eq!(said().await, (503, both.to_owned()));
    stand.readiness.journal_works();
    assert_eq!(said().await, (503, "not ready: waits for the Lease\n".to_owned()), "a journal that works is no Lease");
    stand.readiness.ready();
    assert_eq!(said().await, (200, "ok\n".to_owned()));
    stand.readiness.journal_fails("the database is damaged");
    stand.readiness.ready();
    assert_eq!(said().await.0, 503, "a Lease is no journal that works");
}
