//! What holds a run up: keys, reservations, pauses, and merges.

use reeve_api::{ApprovalPhase, VoteVerdict};

use super::*;
use crate::budget::Amounts;
use crate::journal::{
    ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, ApprovalVote, BudgetReserved, Cause, Proposal, ToolAsked,
};
use crate::limits::{MAX_APPROVAL_ATTEMPTS, MAX_UNCERTAIN_REQUESTS};

/// A coder whose only call waits for one key.
fn asking() -> Shell {
    let mut shell =
        Shell::new(spec(Role::Coder), vec![answer(vec![call("fs.write", json!({ "path": "a", "content": "a" }))]), answer(vec![finish()])]);
    while !matches!(next(&shell.state, at(shell.now)), Step::Decide(_)) {
        assert!(shell.step());
    }
    let Step::Decide(pending) = next(&shell.state, at(0)) else { panic!("nothing to decide") };
    let canonical = wire::Canonical {
        tool: ToolName::FsWrite,
        arguments: json!({}),
        paths: vec![wire::TouchedPath { path: "a".to_owned(), write: true, exists: false }],
        program: None,
        argv: Vec::new(),
    };
    let ToolAsked { key, .. } = asked(&pending, None);
    shell.push(Event::ToolRequested(asked(&pending, Some(canonical))));
    shell.push(Event::PolicyDecision(judgement(&key, Verdict::Ask { human: 1 })));
    shell
}

fn judgement(key: &str, verdict: Verdict) -> Judgement {
    let (determining, sets, shadow) = (Vec::new(), Vec::new(), Vec::new());
    Judgement { key: key.to_owned(), verdict, determining, reason: "r".to_owned(), sets, shadow }
}

const KEY: &str = "u1/1/0";

fn request(shell: &mut Shell, attempt: u32) {
    let asked = ApprovalAsked {
        key: KEY.to_owned(),
        attempt,
        name: format!("a{attempt}"),
        action: "fs.write".to_owned(),
        digest: Digest::of("it"),
        delta: "it".to_owned(),
        quorum: 1,
        groups: Vec::new(),
        requested_by: "owner".to_owned(),
        expires_at: at(10_000),
    };
    shell.push(Event::ApprovalRequested(Box::new(asked)));
}

fn create(shell: &mut Shell, attempt: u32) {
    let created = ApprovalCreated { key: KEY.to_owned(), name: format!("a{attempt}"), uid: format!("uid{attempt}"), admission: Vec::new() };
    shell.push(Event::ApprovalCreated(created));
}

fn settle(shell: &mut Shell, attempt: u32, phase: ApprovalPhase) {
    let settled = ApprovalSettled { key: KEY.to_owned(), name: format!("a{attempt}"), phase, message: "because".to_owned() };
    shell.push(Event::ApprovalSettled(settled));
}

#[test]
fn a_call_that_wants_a_key_is_asked_for_heard_used_and_made() {
    let mut shell = asking();
    assert!(matches!(next(&shell.state, at(0)), Step::AskApproval { quorum: 1, attempt: 1, .. }));
    request(&mut shell, 1);
    assert!(matches!(next(&shell.state, at(0)), Step::AskApproval { attempt: 1, .. }), "a crash before the object was made");
    create(&mut shell, 1);
    assert!(matches!(next(&shell.state, at(0)), Step::AwaitApproval(_)));
    // A week away it still waits: its clock stands.
    assert!(matches!(next(&shell.state, at(600_000)), Step::AwaitApproval(_)));
    shell.now = 5_000;
    let vote = ApprovalVote {
        key: KEY.to_owned(),
        uid: "uid1".to_owned(),
        user: "alice".to_owned(),
        verdict: VoteVerdict::Approve,
        reason: None,
        refused: None,
    };
    shell.push(Event::ApprovalVote(vote));
    settle(&mut shell, 1, ApprovalPhase::Approved);
    assert!(matches!(next(&shell.state, at(5_000)), Step::UseApproval(_)));
    let consumed = ApprovalConsumed {
        key: KEY.to_owned(),
        name: "a1".to_owned(),
        uid: "uid1".to_owned(),
        digest: Digest::of("it"),
        by: vec!["alice".to_owned()],
    };
    shell.push(Event::ApprovalConsumed(consumed));
    assert!(matches!(next(&shell.state, at(5_000)), Step::Answer(_)), "used, and nobody judged it: no");
    shell.push(Event::PolicyDecision(judgement(KEY, Verdict::Allow)));
    assert!(matches!(next(&shell.state, at(5_599)), Step::CallTool { .. }), "the time that people took does not count");
    assert_eq!(shell.run().reason(), EndReason::Finished);
}

#[test]
fn what_people_let_a_run_write_is_theirs_only_until_something_else_may_have_written_it() {
    let ci = ".github/workflows/ci.yml";
    let ran = || Observation::Ran { status: wire::Status::Ok, exit_code: Some(0), output_bytes: 0, duration_ms: 1, commit: None };
    let call_of = |tool, approved: bool| {
        let paths = vec![wire::TouchedPath { path: ci.to_owned(), write: tool == ToolName::FsWrite, exists: true }];
        let canonical = wire::Canonical { tool, arguments: json!({}), paths, program: None, argv: Vec::new() };
        let mut shell = asking();
        request(&mut shell, 1);
        create(&mut shell, 1);
        let mut call = shell.state.pending[0].clone();
        call.stage = CallStage::Judged(canonical, judgement(KEY, Verdict::Allow));
        if let Some(approval) = call.approval.as_mut().filter(|_| approved) {
            let by = vec!["alice".to_owned()];
            approval.consumed =
                Some(ApprovalConsumed { key: KEY.to_owned(), name: "a1".to_owned(), uid: "uid1".to_owned(), digest: Digest::of("it"), by });
        }
        call
    };
    let ended = |observation| ToolEnded { key: KEY.to_owned(), call_id: "c".to_owned(), observation, content: String::new() };
    let mut gates = Gates::default();
    gates.on_result(&call_of(ToolName::FsWrite, true), &ended(Observation::Refused));
    assert!(gates.approved_paths.is_empty(), "it was not written");
    gates.on_result(&call_of(ToolName::FsWrite, true), &ended(ran()));
    assert!(gates.approved_paths.contains(ci));
    let mut again = gates.clone();
    again.on_result(&call_of(ToolName::FsWrite, false), &ended(ran()));
    assert!(again.approved_paths.is_empty(), "another write, that nobody approved");
    gates.on_result(&call_of(ToolName::TestsRun, false), &ended(ran()));
    assert!(gates.approved_paths.is_empty(), "a program may write what it likes");
}

#[test]
fn what_is_denied_or_expires_goes_back_to_the_model() {
    for phase in [ApprovalPhase::Denied, ApprovalPhase::Expired] {
        let mut shell = asking();
        request(&mut shell, 1);
        create(&mut shell, 1);
        settle(&mut shell, 1, phase);
        let Step::Answer(ended) = next(&shell.state, at(0)) else { panic!("{phase:?}") };
        assert_eq!((ended.observation, ended.content.as_str()), (Observation::Denied, "Not approved: because"));
    }
}

#[test]
fn what_is_superseded_is_asked_anew_but_not_for_ever() {
    let mut shell = asking();
    for attempt in 1..=MAX_APPROVAL_ATTEMPTS {
        let Step::AskApproval { attempt: asked, .. } = next(&shell.state, at(0)) else { panic!("attempt {attempt}") };
        assert_eq!(asked, attempt);
        request(&mut shell, attempt);
        create(&mut shell, attempt);
        settle(&mut shell, attempt, ApprovalPhase::Superseded);
    }
    assert!(matches!(next(&shell.state, at(0)), Step::Answer(_)));
}

#[test]
fn votes_are_heard_while_the_run_stands_still_and_used_when_it_goes_on() {
    let mut shell = asking();
    request(&mut shell, 1);
    create(&mut shell, 1);
    shell.push(Event::RunSuspended(Suspension { cause: Cause::KillSwitch, message: "m".to_owned() }));
    assert!(matches!(next(&shell.state, at(0)), Step::AwaitApproval(_)));
    settle(&mut shell, 1, ApprovalPhase::Approved);
    assert_eq!(next(&shell.state, at(0)), Step::Wait);
    shell.push(Event::RunResumed(Resumption { cause: Cause::KillSwitch }));
    assert!(matches!(next(&shell.state, at(0)), Step::UseApproval(_)));
}

#[test]
fn who_waits_for_people_takes_no_place_from_those_who_work() {
    let mut shell = asking();
    request(&mut shell, 1);
    create(&mut shell, 1);
    assert!(!next(&shell.state, at(0)).works());
    settle(&mut shell, 1, ApprovalPhase::Approved);
    assert!(next(&shell.state, at(0)).works());
    shell.push(Event::RunSuspended(Suspension::default()));
    assert!(!next(&shell.state, at(0)).works());
}

#[test]
fn every_cause_has_to_go_before_a_run_goes_on() {
    let mut shell = Shell::new(spec(Role::Coder), Vec::new());
    shell.step();
    for cause in [Cause::Spec, Cause::Budget] {
        shell.push(Event::RunSuspended(Suspension { cause, message: String::new() }));
    }
    shell.push(Event::RunResumed(Resumption { cause: Cause::Spec }));
    assert_eq!(next(&shell.state, at(0)), Step::Wait);
    shell.push(Event::RunResumed(Resumption { cause: Cause::Budget }));
    assert_eq!(next(&shell.state, at(0)), Step::StartSandbox);
}

#[test]
fn what_was_reserved_for_a_request_that_was_cut_off_is_settled_in_full_before_another() {
    let mut shell = Shell::new(spec(Role::Coder), Vec::new());
    let step = loop {
        match next(&shell.state, at(0)) {
            step @ Step::CallModel { .. } => break step,
            _ => assert!(shell.step()),
        }
    };
    let Step::CallModel { step, route, .. } = step else { panic!("{step:?}") };
    let amounts = Amounts { tokens: 9, ..Amounts::default() };
    let reserved = BudgetReserved { account: "ns/b".to_owned(), key: "u1/m1".to_owned(), amounts };
    shell.push(Event::BudgetReserved(reserved));
    let digest = super::super::request(&shell.state, route).unwrap().digest().unwrap();
    shell.push(Event::ModelRequest(ModelAsked { step, route, provider: "first".to_owned(), model: "m".to_owned(), digest, messages: 1 }));
    let Step::SettleInFull(settled) = next(&shell.state, at(0)) else { panic!("it is not settled") };
    assert_eq!((settled.used, settled.in_full), (amounts, true));
    shell.push(Event::BudgetSettled(settled));
    assert!(matches!(next(&shell.state, at(0)), Step::CallModel { .. }));
}

#[test]
fn an_uncertain_answer_is_asked_for_again_on_its_route_a_few_times() {
    let uncertain = || ModelAnswered::Failure { failure: ModelFailure::Unavailable, message: "cut".to_owned(), attempts: 1, sent: true };
    let tries = MAX_UNCERTAIN_REQUESTS as usize;
    let again: Vec<_> = (0..tries).map(|_| uncertain()).chain([answer(vec![finish()])]).collect();
    let shell = Shell::new(spec(Role::Coder), again).run();
    assert_eq!((shell.reason(), shell.state.route), (EndReason::Finished, 0));
    let too_often: Vec<_> = (0..=tries).map(|_| uncertain()).chain([answer(vec![finish()])]).collect();
    let shell = Shell::new(spec(Role::Coder), too_often).run();
    assert_eq!((shell.reason(), shell.state.route), (EndReason::Finished, 1));
}

#[test]
fn costs_are_counted_at_the_price_of_the_route_that_answered() {
    let shell = Shell::new(spec(Role::Coder), vec![answer(vec![finish()])]).run();
    // 10 input tokens at 1 dollar, 5 output tokens at 2 dollars a million.
    assert_eq!(shell.state.cost_micro_usd, 20);
}

fn merging() -> Shell {
    let blob = wire::Blob { digest: Digest::of("blob"), bytes: 4 };
    let proposal =
        Proposal { goal_uid: "g".to_owned(), base_commit: "b".to_owned(), head_commit: "h".to_owned(), patch: blob.clone(), bundle: blob };
    let mut spec = spec(Role::Merge);
    spec.merge = Some(proposal);
    spec.routes.clear();
    Shell::new(spec, Vec::new())
}

#[test]
fn a_merge_needs_no_sandbox_and_is_done_when_it_is_allowed() {
    let shell = merging().run();
    let Step::Merge { key, call_id, proposal } = next(&shell.state, at(0)) else { panic!("{:?}", next(&shell.state, at(0))) };
    assert_eq!((key.as_str(), proposal.head_commit.as_str(), shell.state.sandbox.clone()), (KEY, "h", Sandbox::None));
    let mut shell = shell;
    shell.push(Event::ToolResult(ToolEnded { key, call_id, observation: Observation::Answered, content: "merged".to_owned() }));
    let shell = shell.run();
    assert_eq!(shell.reason(), EndReason::Finished);
    let mut denied = merging();
    denied.deny = vec![ToolName::Merge];
    assert_eq!(denied.run().reason(), EndReason::MergeRefused);
}

#[test]
fn rows_about_gates_that_cannot_follow_are_refused() {
    let mut shell = asking();
    let vote = || {
        Event::ApprovalSettled(ApprovalSettled {
            key: KEY.to_owned(),
            name: "a".to_owned(),
            phase: ApprovalPhase::Approved,
            message: String::new(),
        })
    };
    assert!(shell.state.clone().apply(Seq(99), at(0), &vote()).is_err(), "nothing was asked");
    request(&mut shell, 1);
    create(&mut shell, 1);
    settle(&mut shell, 1, ApprovalPhase::Denied);
    assert!(shell.state.clone().apply(Seq(99), at(0), &vote()).is_err(), "what is final stays final");
    let settled = crate::journal::BudgetSettled { account: "a".to_owned(), key: "k".to_owned(), used: Amounts::default(), in_full: false };
    assert!(shell.state.clone().apply(Seq(99), at(0), &Event::BudgetSettled(settled)).is_err(), "nothing was reserved");
}
