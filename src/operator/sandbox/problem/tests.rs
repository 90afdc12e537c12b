#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::*;

fn pod(metadata: Value, status: Value) -> Pod {
    let mut pod: Pod = serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap();
    pod.metadata.name = Some("run-abc".to_owned());
    pod.metadata.uid = Some("pod-uid".to_owned());
    pod
}

fn serving(state: Value) -> Value {
    json!({ "containerStatuses": [{ "name": "sandbox", "image": "i", "imageID": "i@sha256:1", "ready": false, "restartCount": 0, "state": state }] })
}

fn installing(state: Value) -> Value {
    json!({
        "initContainerStatuses": [{ "name": "install", "image": "r", "imageID": "", "ready": false, "restartCount": 0, "state": state }],
        "containerStatuses": [{ "name": "sandbox", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                                "state": { "waiting": { "reason": "PodInitializing" } } }],
    })
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({ "conditions": [{ "type": type_, "status": status, "reason": reason, "message": message }] })
}

fn words(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_status_names_its_problem() {
    let degraded = "error: expected Landlock ABI 6 or newer, found 0 ... in the profile (SandboxDegraded)\n";
    let cases = [
        ("nothing yet", json!({ "phase": "Pending" }), None),
        ("its turn will come", installing(json!({ "running": {} })), None),
        ("being made", serving(json!({ "waiting": { "reason": "ContainerCreating" } })), None),
        ("gated", condition("PodScheduled", "False", "SchedulingGated", ""), None),
        (
            "no node",
            condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: Insufficient memory."),
            Some(Problem::Unschedulable { message: words("0/1 nodes: Insufficient memory.") }),
        ),
        (
            "no image",
            serving(json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } })),
            Some(Problem::Image { reason: words("ImagePullBackOff"), message: words("not found") }),
        ),
        (
            "no installer image",
            installing(json!({ "waiting": { "reason": "ErrImagePull", "message": "denied" } })),
            Some(Problem::Image { reason: words("ErrImagePull"), message: words("denied") }),
        ),
        (
            "a container that cannot be made",
            serving(json!({ "waiting": { "reason": "CreateContainerConfigError", "message": "x" } })),
            Some(Problem::Container { reason: words("CreateContainerConfigError"), message: words("x") }),
        ),
        ("out of memory", serving(json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } })), Some(Problem::OutOfMemory)),
        (
            "no Landlock",
            serving(json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": degraded } })),
            Some(Problem::Degraded { message: words(degraded.trim()) }),
        ),
        (
            "the server died",
            serving(json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": "error: x\n" } })),
            Some(Problem::Ended { container: words("sandbox"), code: 1, message: words("error: x") }),
        ),
        (
            "it was told to end",
            serving(json!({ "terminated": { "exitCode": 0, "reason": "Completed" } })),
            Some(Problem::Ended { container: words("sandbox"), code: 0, message: words("Completed") }),
        ),
        (
            "the image cannot run our binary",
            serving(json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": "exec format error" } })),
            Some(Problem::Ended { container: words("sandbox"), code: 128, message: words("StartError: exec format error") }),
        ),
        (
            "the installer failed",
            installing(json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": "no space" } })),
            Some(Problem::Ended { container: words("install"), code: 1, message: words("no space") }),
        ),
        ("the installer is done", installing(json!({ "terminated": { "exitCode": 0, "reason": "Completed" } })), None),
        (
            "evicted",
            json!({ "phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume exceeds" }),
            Some(Problem::Evicted { message: words("Evicted: Usage of EmptyDir volume exceeds") }),
        ),
        (
            "not admitted by its node",
            json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource" }),
            Some(Problem::Evicted { message: words("OutOfcpu: Node didn't have enough resource") }),
        ),
        (
            "preempted",
            condition("DisruptionTarget", "True", "PreemptionByScheduler", "preempting to accommodate a higher priority pod"),
            Some(Problem::Evicted { message: words("PreemptionByScheduler: preempting to accommodate a higher priority pod") }),
        ),
        ("past the deadline", json!({ "phase": "Failed", "reason": "DeadlineExceeded" }), Some(Problem::DeadlineExceeded)),
    ];
    for (what, status, expected) in cases {
        assert_eq!(PodView::of(&pod(json!({}), status)).problem, expected, "{what}");
    }
}

#[test]
fn a_deletion_explains_an_end_but_not_a_lack_of_memory() {
    let going = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
    let cases = [
        (json!({ "running": {} }), Problem::Deleted),
        (json!({ "terminated": { "exitCode": 1, "message": "error: ended by signal 15" } }), Problem::Deleted),
        (json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }), Problem::OutOfMemory),
    ];
    for (state, expected) in cases {
        let view = PodView::of(&pod(going.clone(), serving(state)));
        assert_eq!((view.problem, view.running), (Some(expected), false));
    }
}

#[test]
fn a_running_server_is_running_and_known_by_its_image() {
    let view = PodView::of(&pod(json!({}), serving(json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }))));
    assert_eq!((view.running, view.problem, view.image_id.as_deref()), (true, None, Some("i@sha256:1")));
    assert_eq!((view.name.as_str(), view.uid.as_str()), ("run-abc", "pod-uid"));
}

#[test]
fn only_what_may_heal_is_waited_for() {
    let image = |reason: &str| Problem::Image { reason: words(reason), message: String::new() }.patience();
    assert_eq!(image("InvalidImageName"), Duration::ZERO);
    assert_eq!(image("ImagePullBackOff"), Duration::from_secs(60));
    assert_eq!(Problem::Deleted.patience(), Duration::ZERO);
    assert!(Problem::Unschedulable { message: String::new() }.patience() > image("ErrImagePull"));
}
