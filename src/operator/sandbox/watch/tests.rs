#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use futures::SinkExt as _;
use futures::channel::mpsc;
use http::{Request, Response};
use kube::client::Body;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;

/// Pods that a test moves by hand.
struct Stage {
    pods: Pods,
    events: mpsc::UnboundedSender<Event<Pod>>,
}

impl Stage {
    fn new() -> Stage {
        let (events, inbox) = mpsc::unbounded();
        let (store, writer) = reflector::store();
        let (ring, bell) = watch::channel(());
        tokio::spawn(async move {
            let mut seen = std::pin::pin!(reflector::reflector(writer, inbox.map(Ok)));
            while seen.next().await.is_some() {
                ring.send_replace(());
            }
        });
        Stage { pods: Pods { store, bell }, events }
    }

    async fn show(&mut self, state: Value) {
        let pod = json!({
            "metadata": { "name": "run-abc", "namespace": "team", "uid": "pod-uid",
                          "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "run", "uid": "job-uid" }] },
            "status": { "phase": "Pending", "containerStatuses": [{ "name": "sandbox", "image": "i", "imageID": "", "ready": false,
                        "restartCount": 0, "state": state }] },
        });
        self.events.send(Event::Apply(serde_json::from_value(pod).unwrap())).await.unwrap();
    }

    async fn delete(&mut self) {
        let pod = json!({ "metadata": { "name": "run-abc", "namespace": "team" } });
        self.events.send(Event::Delete(serde_json::from_value(pod).unwrap())).await.unwrap();
    }
}

fn job() -> Job {
    serde_json::from_value(json!({ "metadata": { "name": "run", "namespace": "team", "uid": "job-uid" } })).unwrap()
}

/// An API server that knows the Job and one event about it.
fn server(job: Option<Value>, event: Option<&'static str>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let job = job.clone();
        async move {
            let answer = match (request.uri().path().contains("/events"), job) {
                (true, _) => {
                    json!({ "items": event.map(|message| json!({ "metadata": {}, "involvedObject": {}, "message": message })).into_iter().collect::<Vec<_>>(),
                                     "metadata": {} })
                }
                (false, Some(job)) => job,
                (false, None) => {
                    let status = serde_json::to_vec(&kube::core::Status::failure("gone", "NotFound").with_code(404)).unwrap();
                    return Ok(Response::builder().status(404).body(Body::from(status)).unwrap());
                }
            };
            Ok::<_, kube::Error>(Response::new(Body::from(serde_json::to_vec(&answer).unwrap())))
        }
    });
    Client::new(service, "team")
}

fn knowing() -> Client {
    server(Some(serde_json::to_value(job()).unwrap()), None)
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_to_run_ends_the_wait_at_once() {
    let mut stage = Stage::new();
    let pods = stage.pods.clone();
    let waiting = tokio::spawn(async move { wait_running(&pods, &knowing(), &job(), LONG).await });
    let started = Instant::now();
    stage.show(json!({ "waiting": { "reason": "ContainerCreating" } })).await;
    stage.show(json!({ "waiting": { "reason": "ErrImagePull", "message": "try again" } })).await;
    stage.show(json!({ "running": {} })).await;
    let view = waiting.await.unwrap().unwrap();
    assert_eq!((view.name.as_str(), view.running), ("run-abc", true));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_may_heal_is_given_its_time_and_what_cannot_is_not() {
    for (reason, seconds) in [("ImagePullBackOff", 60), ("InvalidImageName", 0)] {
        let mut stage = Stage::new();
        stage.show(json!({ "waiting": { "reason": reason, "message": "m" } })).await;
        let started = Instant::now();
        let problem = wait_running(&stage.pods, &knowing(), &job(), LONG).await.unwrap_err();
        assert_eq!(problem, Problem::Image { reason: reason.to_owned(), message: "m".to_owned() });
        let took = started.elapsed().as_secs();
        assert_eq!(took, seconds, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_away_ends_the_wait() {
    let mut stage = Stage::new();
    let pods = stage.pods.clone();
    let waiting = tokio::spawn(async move { wait_running(&pods, &knowing(), &job(), LONG).await });
    stage.show(json!({ "waiting": { "reason": "ContainerCreating" } })).await;
    let mut seen = stage.pods.bell.clone();
    seen.changed().await.unwrap();
    // Let the wait look before the Pod goes.
    tokio::time::advance(Duration::from_millis(1)).await;
    tokio::task::yield_now().await;
    stage.delete().await;
    assert_eq!(waiting.await.unwrap(), Err(Problem::Deleted));
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_pod_is_looked_into() {
    let job_in = |extra: Value| {
        let mut job = serde_json::to_value(job()).unwrap();
        job.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
        Some(job)
    };
    let denied = "pods \"run-\" is forbidden: violates PodSecurity";
    let failed = |reason: &str| json!({ "status": { "conditions": [{ "type": "Failed", "status": "True", "reason": reason }] } });
    let cases = [
        (server(job_in(json!({})), Some(denied)), Problem::Rejected { message: denied.to_owned() }),
        (server(None, None), Problem::Deleted),
        (server(job_in(json!({ "metadata": { "name": "run", "uid": "another" } })), None), Problem::Deleted),
        (server(job_in(failed("BackoffLimitExceeded")), None), Problem::Deleted),
        (server(job_in(failed("DeadlineExceeded")), None), Problem::DeadlineExceeded),
    ];
    for (client, expected) in cases {
        let stage = Stage::new();
        let started = Instant::now();
        assert_eq!(wait_running(&stage.pods, &client, &job(), LONG).await, Err(expected));
        assert_eq!(started.elapsed().as_secs(), NO_POD.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_waited_for_until_the_deadline() {
    let full = server(Some(serde_json::to_value(job()).unwrap()), Some("exceeded quota: pods"));
    let stage = Stage::new();
    let problem = wait_running(&stage.pods, &full, &job(), LONG).await.unwrap_err();
    assert_eq!(problem, Problem::Slow { waited_seconds: 600, message: "its Job made no Pod".to_owned() });
}
