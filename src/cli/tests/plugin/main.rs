//! `kubectl reeve` as a person meets it: arguments in; what the API server is asked, text and an exit code out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod server;

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use server::{Server, with};

const APPROVALS: &str = "/apis/reeve.dev/v1alpha1/namespaces/team/approvals";
const BUDGETS: &str = "/apis/reeve.dev/v1alpha1/namespaces/team/riskbudgets";
const SWITCHES: &str = "/apis/reeve.dev/v1alpha1/namespaces/team/killswitches";
const DEPLOYMENTS: &str = "GET /apis/apps/v1/namespaces/reeve-system/deployments?labelSelector=app.kubernetes.io%2Fpart-of%3Dreeve%2Capp.kubernetes.io%2Fcomponent%3Doperator";
const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Runs the plugin where there is no cluster.
fn alone(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-reeve")).args(arguments).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn approval() -> Value {
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "Approval",
        "metadata": { "name": "mend-merge-s1c0", "namespace": "team", "uid": "u-1" },
        "spec": {
            "subject": { "kind": "AgentRun", "name": "mend-merge", "uid": "r-1", "action": "merge", "key": "r-1/1/0" },
            "digest": DIGEST, "delta": "merge a..b", "requestedBy": "alice", "quorum": 2, "expiresAt": "2999-01-01T00:00:00Z"
        },
        "status": { "phase": "Pending", "missing": 2 }
    })
}

fn voted(counted: bool) -> Value {
    let vote =
        json!({ "user": "bob", "verdict": "Approve", "counted": counted, "why": if counted { None } else { Some("it came too late") } });
    with(&approval(), "status", json!({ "phase": "Pending", "missing": 1, "votes": [vote] }))
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!([{ "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2029-12-31T23:00:00Z" }])
}

#[test]
fn a_vote_is_shown_cast_under_the_proved_name_and_awaited() {
    let server = Server::start();
    let one = format!("{APPROVALS}/mend-merge-s1c0");
    for seen in [approval(), approval(), voted(true)] {
        server.says(&format!("GET {one}"), 200, seen);
    }
    server.says(&format!("PATCH {one}"), 200, approval());
    let output = server.run(&["approve", "mend-merge-s1c0", "--reason", "read it", "--digest", DIGEST]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("Approval team/mend-merge-s1c0\n  Action:    merge\n"), "{text}");
    assert!(text.ends_with("approval.reeve.dev/mend-merge-s1c0: Approve of bob is journaled; Pending: 1 of 2 missing\n"), "{text}");
    let vote = json!({ "metadata": { "uid": "u-1" }, "spec": { "votes": { "bob": { "verdict": "Approve", "reason": "read it" } } } });
    assert_eq!(server.writes(), [(format!("PATCH {one}"), vote)]);
}

#[test]
fn what_is_said_before_raise_is_not_lost() {
    let server = Server::start();
    for before in [&["-A"][..], &["-o", "json"], &["default"]] {
        let output = server.run(&[&["budget"], before, &["raise", "default", "--tokens", "2000"]].concat());
        assert_eq!(code(&output), 2, "{before:?}");
    }
    // But for the flags of the cluster, which stand anywhere: this one is asked for, and is not there.
    let output = server.run(&["budget", "-n", "team", "raise", "default", "--tokens", "2000"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("reading RiskBudget team/default"), "{}", stderr(&output));
}

#[test]
fn nobody_approves_in_passing() {
    let server = Server::start();
    let one = format!("{APPROVALS}/mend-merge-s1c0");
    server.says(&format!("GET {one}"), 200, approval());
    server.says(&format!("PATCH {one}"), 200, approval());
    let refused = server.run(&["approve", "mend-merge-s1c0"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("there is no terminal to ask at, so expected --yes, or --digest"), "{}", stderr(&refused));
    assert!(server.writes().is_empty());
    for arguments in [
        &["approve", "mend-merge-s1c0", "--timeout", "0", "--yes"][..],
        &["approve", "mend-merge-s1c0", "--timeout", "0", "--digest", DIGEST],
        &["deny", "approval.reeve.dev/mend-merge-s1c0", "--timeout", "0"],
    ] {
        let output = server.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(server.writes().len(), 3);
}

#[test]
fn programs_get_the_object_and_nothing_else() {
    let server = Server::start();
    let one = format!("{APPROVALS}/mend-merge-s1c0");
    server.says(&format!("GET {one}"), 200, approval());
    server.says(&format!("GET {one}"), 200, voted(true));
    server.says(&format!("PATCH {one}"), 200, approval());
    let output = server.run(&["approve", "approval.reeve.dev/mend-merge-s1c0", "--yes", "-o", "json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &object["status"]["missing"]), (0, &json!(1)));
    assert!(stderr(&output).starts_with("Approval team/mend-merge-s1c0\n"), "{}", stderr(&output));
}

#[test]
fn a_refusal_of_admission_is_shown_in_the_words_of_the_server() {
    let server = Server::start();
    let one = format!("{APPROVALS}/mend-merge-s1c0");
    let words = "approvals.reeve.dev \"mend-merge-s1c0\" is forbidden: ValidatingAdmissionPolicy 'reeve-approvals' with binding \
                 'reeve-approvals' denied request: needs the verb approve on this approval";
    server.says(&format!("GET {one}"), 200, approval());
    server.refuses(&format!("PATCH {one}"), 422, words);
    let output = server.run(&["approve", "approval.reeve.dev/mend-merge-s1c0", "--yes"]);
    assert_eq!((code(&output), stderr(&output)), (1, format!("error: voting Approve as bob: {words} (422)\n")));
}

#[test]
fn what_cannot_count_is_not_sent() {
    let final_ = with(&approval(), "status", json!({ "phase": "Denied", "conditions": condition("False", "Denied", "Denied by bob.") }));
    let mut own = approval();
    own["spec"]["requestedBy"] = "bob".into();
    let mut late = approval();
    late["spec"]["expiresAt"] = "2000-01-01T00:00:00Z".into();
    let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    for (seen, arguments, words) in [
        (final_, &["deny", "mend-merge-s1c0"][..], "is Denied: Denied by bob., and no vote changes that"),
        (own, &["approve", "apv/mend-merge-s1c0", "--yes"], "who asked for it, and whoever asked has no vote"),
        (late, &["approve", "mend-merge-s1c0", "-y"], "ago: ask for it again"),
        (approval(), &["approve", "mend-merge-s1c0", "--digest", other], "expected an Approval with digest sha256:0000"),
    ] {
        let server = Server::start();
        server.says(&format!("GET {APPROVALS}/mend-merge-s1c0"), 200, seen);
        let output = server.run(arguments);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("error: nothing was done: ") && stderr(&output).contains(words), "{}", stderr(&output));
        assert!(server.writes().is_empty());
    }
}

#[test]
fn a_vote_that_is_not_journaled_or_does_not_count_is_no_success() {
    for (seen, timeout, words) in [
        (approval(), "1s", "has not journaled it after 1 s"),
        (voted(false), "15s", "your Approve does not count: it came too late"),
        (with(&approval(), "status", json!({ "phase": "Superseded" })), "15s", "ended before your vote was journaled: Superseded"),
    ] {
        let server = Server::start();
        let one = format!("{APPROVALS}/mend-merge-s1c0");
        server.says(&format!("GET {one}"), 200, approval());
        server.says(&format!("GET {one}"), 200, seen);
        server.says(&format!("PATCH {one}"), 200, approval());
        let output = server.run(&["approve", "approval.reeve.dev/mend-merge-s1c0", "--yes", "--timeout", timeout]);
        assert_eq!(code(&output), 1, "{}", stdout(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn approvals_are_listed_as_kubectl_lists() {
    let server = Server::start();
    let ended = with(&approval(), "status", json!({ "phase": "Consumed" }));
    let list = |items: &[Value]| json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "ApprovalList", "metadata": {}, "items": items });
    server.says(&format!("GET {APPROVALS}"), 200, list(&[approval(), ended.clone()]));
    server.says("GET /apis/reeve.dev/v1alpha1/approvals", 200, list(&[ended]));
    let table = stdout(&server.run(&["approvals"]));
    assert!(table.starts_with("NAME              ACTION   SUBJECT      REQUESTER   MISSING   EXPIRES"), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(stdout(&server.run(&["approvals", "-o", "name"])), "approval.reeve.dev/mend-merge-s1c0\n");
    let json: Value = serde_json::from_slice(&server.run(&["approvals", "-o", "json"]).stdout).unwrap();
    assert_eq!((&json["kind"], json["items"].as_array().unwrap().len()), (&json!("List"), 1));
    let yaml: Value = serde_saphyr::from_str(&stdout(&server.run(&["approvals", "-o", "yaml"]))).unwrap();
    assert_eq!(yaml, json);
    let none = server.run(&["approvals", "-A"]);
    assert_eq!((code(&none), stdout(&none), stderr(&none)), (0, String::new(), "No Approval is open in any namespace.\n".to_owned()));
}

#[test]
fn a_budget_goes_up_and_never_down() {
    let server = Server::start();
    let budget = |generation: i64, tokens: i64, left: i64| {
        json!({
            "apiVersion": "reeve.dev/v1alpha1", "kind": "RiskBudget",
            "metadata": { "name": "default", "namespace": "team", "uid": "b", "generation": generation, "resourceVersion": "7" },
            "spec": { "limits": { "tokens": tokens } },
            "status": {
                "observedGeneration": generation, "tokens": { "limit": tokens, "used": 900, "reserved": 0, "left": left },
                "conditions": condition("True", "InForce", "The limits are in force.")
            }
        })
    };
    let one = format!("{BUDGETS}/default");
    server.says(&format!("GET {one}"), 200, budget(1, 1000, 100));
    server.says(&format!("GET {one}"), 200, budget(2, 1500, 600));
    let raised = with(&budget(2, 1500, 600), "status", Value::Null);
    server.says(&format!("PATCH {one}"), 200, raised);
    let output = server.run(&["budget", "raise", "default", "--tokens", "+500"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "riskbudget.reeve.dev/default raised (InForce: The limits are in force.)\n\
         DIMENSION   BEFORE   AFTER   USED   RESERVED   LEFT\n\
         tokens      1000     1500    900    0          600\n"
    );
    let patch = json!({ "metadata": { "resourceVersion": "7" }, "spec": { "limits": { "tokens": 1500 } } });
    assert_eq!(server.writes(), [(format!("PATCH {one}"), patch)]);
    let lower = server.run(&["budget", "raise", "default", "--tokens", "10"]);
    assert_eq!(code(&lower), 1);
    assert!(stderr(&lower).contains("To lower it: kubectl edit riskbudget default"), "{}", stderr(&lower));
    let shown = stdout(&server.run(&["budget", "default"]));
    assert!(shown.contains("default   tokens           1500"), "{shown}");
    assert!(shown.ends_with("\n\nReady=True InForce: The limits are in force.\n"), "{shown}");
    assert_eq!(server.writes().len(), 1);
}

fn switch(generation: i64, engaged: bool, status: Value) -> Value {
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "KillSwitch",
        "metadata": { "name": "kill", "namespace": "team", "uid": "k", "generation": generation },
        "spec": { "engaged": engaged, "reason": "odd writes" }, "status": status
    })
}

fn quiet(generation: i64) -> Value {
    json!({ "observedGeneration": generation, "stoppedRuns": 2, "stoppedModelRequests": 1, "stoppedToolCalls": 1, "quietAfterMs": 412 })
}

#[test]
fn a_kill_switch_is_made_and_its_measured_times_are_printed() {
    let server = Server::start();
    server.says(&format!("POST {SWITCHES}"), 201, switch(1, true, Value::Null));
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(1, true, Value::Null));
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(1, true, quiet(1)));
    let output = server.run(&["kill", "--reason", "odd writes"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "killswitch.reeve.dev/kill engaged in namespace team: 2 runs stopped, 1 model request cut off, 1 tool call killed, quiet after 412 ms\n"
    );
    let (request, body) = server.writes().remove(0);
    assert_eq!((request, &body["spec"]), (format!("POST {SWITCHES}"), &json!({ "engaged": true, "reason": "odd writes" })));
}

#[test]
fn a_kill_switch_that_was_released_is_engaged_again_and_one_that_is_engaged_keeps_its_reason() {
    let server = Server::start();
    server.refuses(&format!("POST {SWITCHES}"), 409, "killswitches.reeve.dev \"kill\" already exists");
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(2, false, Value::Null));
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(3, true, quiet(3)));
    server.says(&format!("PATCH {SWITCHES}/kill"), 200, switch(3, true, quiet(1)));
    let output = server.run(&["kill", "--reason", "again"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let patch = json!({ "spec": { "engaged": true, "reason": "again" } });
    assert_eq!(server.writes()[1], (format!("PATCH {SWITCHES}/kill"), patch));
    let again = server.run(&["kill", "--reason", "other words"]);
    assert_eq!(code(&again), 0);
    assert!(stderr(&again).contains("is engaged already, and keeps its reason: odd writes"), "{}", stderr(&again));
    assert_eq!(server.writes().len(), 3, "the one that is engaged is not patched");
}

#[test]
fn what_is_not_known_to_be_quiet_is_no_success() {
    let server = Server::start();
    server.says(&format!("POST {SWITCHES}"), 201, switch(1, true, Value::Null));
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(1, true, Value::Null));
    let output = server.run(&["kill", "--timeout", "1s"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("is engaged in namespace team, but it is not known to be quiet after 1 s"), "{}", stderr(&output));
}

#[test]
fn whoever_may_only_create_a_switch_hears_that_it_is_engaged() {
    let server = Server::start();
    server.says(&format!("POST {SWITCHES}"), 201, switch(1, true, Value::Null));
    server.refuses(&format!("GET {SWITCHES}/kill"), 403, "killswitches.reeve.dev \"kill\" is forbidden: User \"bob\" cannot get resource");
    let output = server.run(&["kill"]);
    assert_eq!(code(&output), 1);
    let words = stderr(&output);
    assert!(
        words.contains("is engaged in namespace team, but whether it is quiet is not known") && words.contains("cannot get"),
        "{words}"
    );
}

#[test]
fn a_release_is_awaited_and_says_what_still_stops() {
    let server = Server::start();
    let all = "/apis/reeve.dev/v1alpha1/namespaces/reeve-system/killswitches";
    let list = |items: &[Value]| json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "KillSwitchList", "metadata": {}, "items": items });
    let released = json!({ "observedGeneration": 2, "conditions": condition("True", "Released", "It stops nothing.") });
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(1, true, quiet(1)));
    server.says(&format!("PATCH {SWITCHES}/kill"), 200, switch(2, false, quiet(1)));
    server.says(&format!("GET {SWITCHES}/kill"), 200, switch(2, false, released));
    server.says(&format!("GET {SWITCHES}"), 200, list(&[]));
    let mut other = switch(1, true, Value::Null);
    other["metadata"]["namespace"] = "reeve-system".into();
    server.says(&format!("GET {all}"), 200, list(&[other]));
    let output = server.run(&["release"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "killswitch.reeve.dev/kill released in namespace team: It stops nothing.\n");
    assert_eq!(stderr(&output), "runs of namespace team still stand still: engaged: reeve-system/kill (odd writes)\n");
    let gone = server.run(&["release", "stop"]);
    assert_eq!(code(&gone), 1);
    assert!(stderr(&gone).contains("there is none of that name; engaged: reeve-system/kill"), "{}", stderr(&gone));
}

#[test]
fn the_doctor_fails_where_nothing_is_in_force_and_says_what() {
    let server = Server::start();
    let output = server.run(&["doctor", "-o", "json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let level = |check: &str| {
        let found = report["checks"].as_array().unwrap().iter().find(|found| found["check"] == check);
        found.map(|found| found["level"].as_str().unwrap().to_owned())
    };
    assert_eq!(level("policy reeve-approvals").as_deref(), Some("FAIL"));
    assert_eq!(level("kind approvals.reeve.dev").as_deref(), Some("FAIL"));
    assert_eq!(level("who may do what").as_deref(), Some("WARN"), "roles could not be listed");
    assert_eq!(level("a forged vote is refused").as_deref(), Some("WARN"), "it could not be tried");
    assert!(stderr(&output).ends_with("checks are FAIL\n"), "{}", stderr(&output));
    assert!(server.writes().is_empty(), "the doctor writes nothing");
}

/// The release `reeve`, which works in these namespaces.
fn deployments(watches: &[&str]) -> Value {
    let args: Vec<String> = watches.iter().map(|namespace| format!("--watch-namespace={namespace}")).collect();
    let pod = json!({ "containers": [{ "name": "reeve", "args": args }] });
    let deployment = json!({ "metadata": { "name": "reeve" }, "spec": { "selector": {}, "template": { "spec": pod } } });
    json!({ "apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": [deployment] })
}

#[test]
fn the_doctor_tries_a_forged_vote_as_a_dry_run_only() {
    for (status, message, level) in [
        (422, "ValidatingAdmissionPolicy 'reeve-approvals' with binding 'reeve-approvals' denied request: you may vote only as bob", "OK"),
        (403, "User \"bob\" cannot patch resource \"approvals\"", "WARN"),
        (200, "", "FAIL"),
    ] {
        let server = Server::start();
        // The current namespace is `team`; the release works in another one too.
        server.says(DEPLOYMENTS, 200, deployments(&["team", "other"]));
        let list = json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "ApprovalList", "metadata": {}, "items": [approval()] });
        server.says("GET /apis/reeve.dev/v1alpha1/approvals", 200, list);
        let forged = format!("PATCH {APPROVALS}/mend-merge-s1c0?dryRun=All");
        if status == 200 {
            server.says(&forged, 200, approval())
        } else {
            server.refuses(&forged, status, message)
        }
        let report: Value = serde_json::from_slice(&server.run(&["doctor", "-o", "json"]).stdout).unwrap();
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "a forged vote is refused").unwrap();
        assert_eq!(check["level"], level, "{check}");
        let writes: Vec<String> = server.writes().into_iter().map(|(request, _)| request).collect();
        assert_eq!(writes[0], forged);
        assert!(writes.iter().all(|request| request.ends_with("?dryRun=All")), "{writes:?}");
        assert_eq!(
            writes.len(),
            if level == "WARN" { 4 } else { 1 },
            "where it could not be tried it goes on to the next place: {writes:?}"
        );
    }
}

#[test]
fn the_doctor_tries_no_forged_vote_where_the_release_does_not_judge() {
    let server = Server::start();
    server.says(DEPLOYMENTS, 200, deployments(&["other"]));
    let list = json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "ApprovalList", "metadata": {}, "items": [approval()] });
    server.says("GET /apis/reeve.dev/v1alpha1/approvals", 200, list);
    server.says(&format!("PATCH {APPROVALS}/mend-merge-s1c0?dryRun=All"), 200, approval());
    let words =
        "ValidatingAdmissionPolicy 'reeve-approvals' with binding 'reeve-approvals' denied request: only the operator creates approvals";
    server.refuses("POST /apis/reeve.dev/v1alpha1/namespaces/other/approvals?dryRun=All", 422, words);
    let report: Value = serde_json::from_slice(&server.run(&["doctor", "-o", "json"]).stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "a forged vote is refused").unwrap();
    assert_eq!(
        (&check["level"], &check["message"]),
        (&json!("OK"), &json!("tried as a dry run on an Approval that would be made in namespace other"))
    );
}

#[test]
fn a_run_that_is_not_in_the_namespace_is_not_forked_and_it_is_said_where_it_was_looked_for() {
    let server = Server::start();
    let output = server.run(&["fork", "agentrun/say-hello", "--at", "17"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("expected an AgentRun in namespace \"team\""), "{}", stderr(&output));
    assert!(stderr(&output).contains("found none named \"say-hello\""), "{}", stderr(&output));
    assert!(server.writes().is_empty());
}

#[test]
fn each_command_has_help_with_examples() {
    for command in ["approve", "deny", "approvals", "budget", "kill", "release", "doctor", "artifact", "trace", "replay", "what-if", "fork"]
    {
        let help = alone(&[command, "--help"]);
        assert_eq!(code(&help), 0, "{command}");
        assert!(stdout(&help).contains(&format!("\n  kubectl reeve {command}")), "{command}: {}", stdout(&help));
    }
    let raise = stdout(&alone(&["budget", "raise", "--help"]));
    assert!(raise.contains("kubectl reeve budget raise default --tokens +500000"), "{raise}");
}

#[test]
fn what_could_not_be_tried_ends_with_2() {
    for arguments in [
        &["approve"][..],
        &["approve", "a", "--digest", "abc"],
        &["approve", "goal/a", "--yes"],
        &["approve", "a"],
        &["kill", "goal/a"],
        &["kill", "--name", "a"],
        &["artifact", "agentrun/a"],
        &["what-if", "a"],
        &["fork"],
        &["fork", "goal/a"],
        &["fork", "a", "--at", "0"],
        &["fork", "a", "--at", "last"],
        &["fork", "a", "--name", "b"],
        &["fork", "a", "--at", "1", "--dry-run", "perhaps"],
        &["what-if", "a", "--policy", "a.yaml", "--policy-set", "a"],
        &["budget", "-A", "raise", "default", "--tokens", "1"],
        &["budget", "-o", "json", "raise", "default", "--tokens", "1"],
        &["approve", "a", "--timeout", "soon"],
        &["budget", "raise", "default"],
        &["budget", "raise", "default", "--tokens", "many"],
        &["budget", "default", "raise", "default", "--tokens", "1"],
        &["budget", "default", "-A"],
        &["approvals", "-o", "wide"],
        &["approvals", "--kubeconfig", "none"],
        &["doctor", "--kubeconfig", "none"],
    ] {
        let output = alone(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn each_shell_completes_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&alone(&["completion", shell]));
        assert!(["approve", "release", "doctor", "raise"].iter().all(|word| script.contains(word)), "{shell}");
    }
}
