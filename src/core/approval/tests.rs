#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reeve_api::{Subject, Vote};

use super::*;

const APPROVE: VoteVerdict = VoteVerdict::Approve;
const DENY: VoteVerdict = VoteVerdict::Deny;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn state(quorum: u32) -> State {
    let asked = ApprovalAsked {
        key: "u/1/0".to_owned(),
        attempt: 1,
        name: "r-s1c0".to_owned(),
        action: "merge".to_owned(),
        digest: Digest::of("it"),
        delta: "it".to_owned(),
        quorum,
        groups: Vec::new(),
        requested_by: "owner".to_owned(),
        expires_at: at(100),
    };
    let policy = policy("uid", 1);
    let created = ApprovalCreated { key: asked.key.clone(), name: asked.name.clone(), uid: "a".to_owned(), admission: vec![policy] };
    State { created: Some(created), ..State::new(asked) }
}

fn policy(uid: &str, generation: i64) -> AdmissionPolicy {
    let (kind, name) = ("ValidatingAdmissionPolicy".to_owned(), "reeve-approvals".to_owned());
    AdmissionPolicy { kind, name, uid: uid.to_owned(), generation, digest: Digest::of("spec") }
}

fn spec(state: &State, votes: &[(&str, VoteVerdict)]) -> ApprovalSpec {
    let asked = &state.asked;
    let votes: BTreeMap<String, Vote> =
        votes.iter().map(|(user, verdict)| ((*user).to_owned(), Vote { verdict: *verdict, reason: None })).collect();
    ApprovalSpec {
        subject: Subject {
            kind: "AgentRun".to_owned(),
            name: "r".to_owned(),
            uid: "u".to_owned(),
            action: asked.action.clone(),
            key: asked.key.clone(),
        },
        digest: asked.digest.to_string(),
        delta: asked.delta.clone(),
        requested_by: asked.requested_by.clone(),
        quorum: i32::try_from(asked.quorum).unwrap(),
        groups: None,
        expires_at: Time(asked.expires_at),
        decision: None,
        votes: Some(votes),
    }
}

/// Plans, and takes in what is planned as the fold does.
fn step(state: &mut State, now: i64, votes: &[(&str, VoteVerdict)]) -> Option<ApprovalPhase> {
    let spec = spec(state, votes);
    let seen = Seen::There { uid: "a", spec: &spec, phase: None };
    let Plan { votes, settle } = plan(at(now), state, seen, &Admission::InForce);
    state.votes.extend(votes);
    let phase = settle.as_ref().map(|settled| settled.phase);
    state.settled = settle.or(state.settled.take());
    phase
}

#[test]
fn enough_distinct_people_approve() {
    let mut two = state(2);
    assert_eq!(step(&mut two, 1, &[("alice", APPROVE)]), None);
    assert_eq!(two.tally(), Tally::Open { missing: 1 });
    assert_eq!(step(&mut two, 2, &[("alice", APPROVE)]), None, "the same vote is not counted twice");
    assert_eq!(step(&mut two, 3, &[("alice", APPROVE), ("bob", APPROVE)]), Some(ApprovalPhase::Approved));
    assert_eq!(two.votes.len(), 2);
}

#[test]
fn the_requester_and_machines_have_no_vote_even_where_admission_let_them() {
    let mut one = state(1);
    let machine = "system:serviceaccount:n:s";
    assert_eq!(step(&mut one, 1, &[("owner", APPROVE), (machine, APPROVE)]), None);
    assert_eq!(one.tally(), Tally::Open { missing: 1 });
    assert!(one.votes.iter().all(|vote| vote.refused.is_some()));
}

#[test]
fn one_deny_denies_and_an_approve_may_become_one_until_use() {
    let mut one = state(1);
    assert_eq!(step(&mut one, 1, &[("alice", APPROVE)]), Some(ApprovalPhase::Approved));
    assert_eq!(step(&mut one, 2, &[("alice", DENY)]), Some(ApprovalPhase::Denied));
    assert_eq!(step(&mut one, 3, &[("alice", APPROVE), ("bob", APPROVE)]), None, "what is denied stays denied");
}

#[test]
fn a_vote_counts_only_before_expiry() {
    let mut late = state(1);
    assert_eq!(step(&mut late, 100, &[("alice", APPROVE)]), Some(ApprovalPhase::Expired));
    assert!(late.votes[0].refused.is_some());
    let mut unused = state(1);
    assert_eq!(step(&mut unused, 99, &[("alice", APPROVE)]), Some(ApprovalPhase::Approved));
    assert_eq!(step(&mut unused, 100, &[("alice", APPROVE)]), Some(ApprovalPhase::Expired), "approved and not used in time");
}

#[test]
fn an_object_that_is_gone_or_another_one_means_no() {
    let one = state(1);
    let settled = plan(at(1), &one, Seen::Gone, &Admission::InForce).settle.unwrap();
    assert_eq!(settled.phase, ApprovalPhase::Denied);
    let spec = spec(&one, &[("alice", APPROVE)]);
    let other = Seen::There { uid: "another", spec: &spec, phase: None };
    let plan = plan(at(1), &one, other, &Admission::InForce);
    assert_eq!(plan.settle.unwrap().phase, ApprovalPhase::Denied);
    assert!(plan.votes.is_empty());
}

#[test]
fn nothing_is_counted_on_unproved_admission() {
    let one = state(1);
    let spec = spec(&one, &[("alice", APPROVE)]);
    let seen = Seen::There { uid: "a", spec: &spec, phase: None };
    assert!(has_news(&one, seen));
    let waits = plan(at(1), &one, seen, &Admission::Unknown);
    assert_eq!(waits, Plan { votes: Vec::new(), settle: None });
    let lost = plan(at(1), &one, seen, &Admission::NotInForce("it is gone".to_owned()));
    assert_eq!(lost.settle.unwrap().phase, ApprovalPhase::Superseded);
    assert!(lost.votes.is_empty());
}

#[test]
fn an_approval_that_says_something_else_or_lost_a_vote_is_superseded() {
    let mut one = state(2);
    step(&mut one, 1, &[("alice", APPROVE)]);
    assert_eq!(step(&mut one, 2, &[("bob", APPROVE)]), Some(ApprovalPhase::Superseded), "alice's vote is gone");
    let fresh = state(1);
    let changed: [fn(&mut ApprovalSpec); 6] = [
        |spec| spec.digest = Digest::of("else").to_string(),
        |spec| spec.delta = "else".to_owned(),
        |spec| spec.quorum = 2,
        |spec| spec.requested_by = "zed".to_owned(),
        |spec| spec.groups = Some(vec!["g".to_owned()]),
        |spec| spec.subject.key = "u/2/0".to_owned(),
    ];
    for change in changed {
        let mut spec = spec(&fresh, &[]);
        change(&mut spec);
        let plan = plan(at(1), &fresh, Seen::There { uid: "a", spec: &spec, phase: None }, &Admission::InForce);
        assert_eq!(plan.settle.map(|settled| settled.phase), Some(ApprovalPhase::Superseded), "{spec:?}");
    }
}

#[test]
fn a_policy_that_was_edited_deleted_or_made_again_is_noticed() {
    let then = [policy("a", 1)];
    assert_eq!(admission_changed(&then, &[policy("a", 1)]), None);
    assert!(admission_changed(&then, &[]).unwrap().contains("is gone"));
    assert!(admission_changed(&then, &[policy("b", 1)]).unwrap().contains("made again"));
    assert!(admission_changed(&then, &[policy("a", 3)]).unwrap().contains("edited"), "restored after an edit");
    assert!(admission_changed(&[], &[]).is_some());
}

#[test]
fn a_delta_shows_commands_and_texts_and_says_what_it_cuts() {
    let call = Canonical {
        tool: crate::tool::ToolName::ShellRun,
        arguments: serde_json::json!({}),
        paths: Vec::new(),
        program: None,
        argv: vec!["sh".to_owned(), "-c".to_owned(), "rm -r x".to_owned()],
    };
    assert!(delta(&call).contains("$ sh -c 'rm -r x'"));
    let large = Canonical {
        tool: crate::tool::ToolName::FsWrite,
        arguments: serde_json::json!({ "path": "a", "content": "é".repeat(40_000) }),
        argv: Vec::new(),
        ..call
    };
    let text = delta(&large);
    assert_eq!(text.chars().count(), crate::limits::MAX_DELTA_CHARS);
    assert!(text.contains("cut here: ") && !text.contains("kubectl reeve artifact"));
}

#[test]
fn a_merge_that_is_cut_says_where_the_whole_is() {
    let blob = |of: &str| serde_json::json!({ "digest": crate::Digest::of(of), "bytes": 1 });
    let proposal = serde_json::json!({
        "goalUid": "g", "baseCommit": "a", "headCommit": "b", "patch": blob("p"), "bundle": blob("b")
    });
    let proposal = serde_json::from_value(proposal).unwrap();
    assert!(!merge_delta(&proposal, "+one").contains("cut here"));
    let text = merge_delta(&proposal, &"+é\n".repeat(20_000));
    assert_eq!(text.chars().count(), crate::limits::MAX_DELTA_CHARS);
    assert!(text.ends_with("; the whole: kubectl reeve artifact GOAL --proposed"), "{text}");
}
