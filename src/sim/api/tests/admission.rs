//! The chart's admission policies, as they stand in `charts/`.

use serde_json::{Value, json};

use super::{KILLS, Stand, kill};
use crate::api::{Caller, Right, chart_policies};

const OPERATOR: &str = "system:serviceaccount:reeve-system:reeve";
const RUNS: &str = "/apis/reeve.dev/v1alpha1/namespaces/default/agentruns";
const APPROVALS: &str = "/apis/reeve.dev/v1alpha1/namespaces/default/approvals";

fn stand() -> Stand {
    let mut stand = Stand::new();
    let now = stand.now;
    stand.server.install(now, &chart_policies(OPERATOR).unwrap()).unwrap();
    stand
}

fn run(spec: Value) -> Value {
    let mut object = json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": { "name": "r" },
        "spec": { "role": "Coder", "objective": "x" } });
    for (name, value) in spec.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    object
}

#[test]
fn the_server_writes_down_who_asked_and_nobody_asks_in_anothers_name() {
    let mut stand = stand();
    let (code, made) = stand.post(RUNS, &run(json!({})));
    assert_eq!((code, made["spec"]["requestedBy"].as_str()), (201, Some("alice")), "{made}");
    let mut other = run(json!({ "requestedBy": "bob" }));
    other["metadata"]["name"] = json!("other");
    let (code, refused) = stand.post(RUNS, &other);
    assert_eq!(code, 422);
    let words = "agentruns.reeve.dev \"other\" is forbidden: ValidatingAdmissionPolicy 'reeve-requester' with binding 'reeve-requester' \
        denied request: spec.requestedBy must be alice";
    assert_eq!(refused["message"], words);
}

#[test]
fn only_the_operator_writes_status_and_a_dry_run_is_judged_too() {
    let mut stand = stand();
    assert_eq!(stand.post(KILLS, &kill("k")).0, 201);
    let status = json!({ "status": { "stoppedRuns": 1 } });
    let (code, refused) = stand.merge(&format!("{KILLS}/k/status?dryRun=All"), &status);
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().ends_with("only the operator writes status"), "{refused}");
    stand.caller = Caller::service_account("reeve-system", "reeve");
    assert_eq!(stand.merge(&format!("{KILLS}/k/status"), &status).0, 200);
}

#[test]
fn letting_go_needs_the_right_that_the_policy_asks_for() {
    let mut stand = stand();
    stand.post(KILLS, &kill("k"));
    let at = format!("{KILLS}/k");
    let (code, refused) = stand.merge(&at, &json!({ "spec": { "engaged": false } }));
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().ends_with("releasing needs the verb release on killswitch k"), "{refused}");
    assert_eq!(stand.delete(&at, &Value::Null).0, 422);
    let text = |text: &str| text.to_owned();
    stand.server.allow(Right {
        who: text("alice"),
        verb: text("release"),
        group: text("reeve.dev"),
        resource: text("killswitches"),
        namespace: text("default"),
        name: text("*"),
    });
    assert_eq!(stand.merge(&at, &json!({ "spec": { "engaged": false } })).0, 200);
}

#[test]
fn a_vote_is_its_persons_own_and_a_bare_decision_becomes_one() {
    let mut stand = stand();
    stand.caller = Caller::service_account("reeve-system", "reeve");
    let approval = json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "Approval", "metadata": { "name": "a" },
        "spec": { "subject": { "kind": "AgentRun", "name": "r", "uid": "u", "action": "CallTool", "key": "1" }, "digest": format!("sha256:{}", "0".repeat(64)),
            "delta": "d", "requestedBy": "carol", "quorum": 1, "expiresAt": "2026-01-02T00:00:00Z" },
    });
    let (code, made) = stand.post(APPROVALS, &approval);
    assert_eq!(code, 201, "{made}");
    stand.caller = Caller::user("alice");
    let at = format!("{APPROVALS}/a");
    let forged = json!({ "spec": { "votes": { "bob": { "verdict": "Approve" } } } });
    let (code, refused) = stand.merge(&at, &forged);
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().ends_with("you may vote only as alice"), "{refused}");
    let decision = json!({ "spec": { "decision": "Approve" } });
    let (code, refused) = stand.merge(&at, &decision);
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().ends_with("needs the verb approve on this approval"), "{refused}");
    let text = |text: &str| text.to_owned();
    stand.server.allow(Right {
        who: text("system:authenticated"),
        verb: text("approve"),
        group: text("reeve.dev"),
        resource: text("approvals"),
        namespace: text("default"),
        name: text("a"),
    });
    let (code, voted) = stand.merge(&at, &decision);
    assert_eq!((code, &voted["spec"]["votes"]), (200, &json!({ "alice": { "verdict": "Approve" } })), "{voted}");
    assert_eq!(voted["spec"].get("decision"), None);
}

#[test]
fn a_policy_that_is_gone_or_changed_judges_so_from_then_on() {
    let mut stand = stand();
    stand.post(KILLS, &kill("k"));
    let release = json!({ "spec": { "engaged": false } });
    assert_eq!(stand.merge(&format!("{KILLS}/k"), &release).0, 422);
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    assert_eq!(stand.delete(&format!("{policies}/reeve-killswitches"), &Value::Null).0, 200);
    assert_eq!(stand.merge(&format!("{KILLS}/k"), &release).0, 200);
}
