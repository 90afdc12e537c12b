//! The loop, step by step, without a cluster: a driver that does what `next` says with made-up outcomes, and cuts it at every row.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

mod asked;
mod fork;
mod gates;
mod histories;
mod what_if;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::Digest;
use crate::budget::Price;
use crate::journal::{
    AcceptanceCommand, ApprovalTerms, CheckpointTaken, Event, Judgement, ModelAnswered, ModelAsked, Observation, PackedWorkspace,
    Resumption, RunLimits, RunStarted, SandboxAsked, SandboxReady, SandboxShape, Seq, SpecSnapshot, Suspension, ToolEnded, Verdict,
    WorkspaceLoaded,
};
use crate::model::{Arguments, FinishReason, ModelFailure, ModelResponse, ToolCall, Usage};
use crate::tool::{Role, ToolName, catalog, wire};

const START: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn spec(role: Role) -> SpecSnapshot {
    SpecSnapshot {
        role,
        objective: "fix it".to_owned(),
        task: None,
        autonomy: 2,
        system_prompt: "you fix".to_owned(),
        profile_digest: Digest::of("profile"),
        routes: vec![("first".to_owned(), "m".to_owned()), ("second".to_owned(), "m".to_owned())],
        prices: vec![Price { input: 1_000_000, cached_input: 1_000_000, output: 2_000_000 }; 2],
        budget: None,
        approval: ApprovalTerms::default(),
        merge: None,
        max_output_tokens: 100,
        tools: catalog(role).into_iter().map(|tool| tool.name).collect(),
        commands: Vec::new(),
        workspace: PackedWorkspace { digest: Digest::of("tar"), packing: wire::Packing::TarGz, strip_components: 0 },
        sandbox: SandboxShape {
            image: "i".to_owned(),
            cpu: "1".to_owned(),
            memory: "1Gi".to_owned(),
            workspace: "1Gi".to_owned(),
            runtime_class: None,
        },
        limits: RunLimits { steps: 20, seconds: 600, tool_calls: 50, output_bytes: 100_000 },
        keeps_commits: false,
    }
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall { id: format!("call-{name}"), name: name.to_owned(), arguments: Arguments::Json(arguments) }
}

fn answer(calls: Vec<ToolCall>) -> ModelAnswered {
    let usage = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() };
    let response =
        ModelResponse { text: String::new(), tool_calls: calls, finish_reason: FinishReason::ToolCalls, usage, model: "m".to_owned() };
    ModelAnswered::Answer { response, attempts: 1 }
}

/// A shell that does what `next` says; the model's answers come from a script.
struct Shell {
    rows: Vec<(Timestamp, Event)>,
    state: RunState,
    /// What it goes on from, if it is a fork.
    branch: Option<Branch>,
    spec: SpecSnapshot,
    script: Vec<ModelAnswered>,
    deny: Vec<ToolName>,
    uncommitted: Vec<String>,
    changed: Vec<String>,
    now: i64,
}

impl Shell {
    fn new(spec: SpecSnapshot, script: Vec<ModelAnswered>) -> Shell {
        Shell {
            rows: Vec::new(),
            state: RunState::new("u1"),
            branch: None,
            spec,
            script,
            deny: Vec::new(),
            uncommitted: Vec::new(),
            changed: vec!["a".to_owned()],
            now: 0,
        }
    }

    fn push(&mut self, event: Event) {
        let seq = Seq(self.rows.len() as u64 + 1);
        self.state.apply(seq, at(self.now), &event).unwrap();
        self.rows.push((at(self.now), event));
        // Every prefix folds to the same state as it was built: what a restart sees.
        let mut again = RunState::with(&self.state.uid, self.branch.clone());
        for (index, (time, event)) in self.rows.iter().enumerate() {
            again.apply(Seq(index as u64 + 1), *time, event).unwrap();
        }
        assert_eq!(again, self.state);
    }

    /// One step; false when there is nothing to do.
    fn step(&mut self) -> bool {
        match next(&self.state, at(self.now)) {
            Step::Begin => {
                let started = RunStarted {
                    namespace: "ns".to_owned(),
                    name: "run".to_owned(),
                    requested_by: "alice".to_owned(),
                    spec: self.spec.clone(),
                    forked_from: self.branch.as_ref().map(|branch| branch.from.clone()),
                };
                self.push(Event::RunStarted(Box::new(started)));
            }
            Step::StartSandbox => {
                if self.state.sandbox == Sandbox::None {
                    self.push(Event::SandboxRequested(SandboxAsked { job: "run".to_owned(), image: "i".to_owned() }));
                }
                let ready =
                    SandboxReady { job_uid: "j".to_owned(), pod_uid: "p".to_owned(), pod: "run-x".to_owned(), image_id: String::new() };
                self.push(Event::SandboxReady(ready));
            }
            Step::LoadWorkspace => {
                self.push(Event::WorkspaceRequested { digest: self.spec.workspace.digest });
                let from = self.branch.as_ref().map(|branch| &branch.from);
                let head_commit = from.map_or("b", |from| &from.head_commit).to_owned();
                let loaded = WorkspaceLoaded { digest: Digest::of("tar"), base_commit: "b".to_owned(), head_commit, files: 1 };
                self.push(Event::WorkspaceLoaded(loaded));
            }
            Step::CallModel { position, step, route } => {
                let request = request(&self.state, route).unwrap();
                let provider = self.spec.routes[route].0.clone();
                let digest = request.digest().unwrap();
                let asked = ModelAsked { step, route, provider, model: "m".to_owned(), digest, messages: request.messages.len() };
                self.push(Event::ModelRequest(asked));
                // The same intent again after a crash: same request, same position.
                match next(&self.state, at(self.now)) {
                    Step::CallModel { route, position: same, .. } => {
                        let again = super::request(&self.state, route).unwrap();
                        assert_eq!((again.digest().unwrap(), same), (digest, position))
                    }
                    other => panic!("{other:?}"),
                }
                if self.script.is_empty() {
                    return false;
                }
                let answered = self.script.remove(0);
                self.push(Event::ModelResponse(answered));
            }
            Step::Decide(pending) => {
                let tool = ToolName::parse(&pending.call.name).unwrap();
                let Arguments::Json(arguments) = &pending.call.arguments else { panic!("not JSON") };
                let canonical = wire::Canonical { tool, arguments: arguments.clone(), paths: Vec::new(), program: None, argv: Vec::new() };
                self.push(Event::ToolRequested(asked(&pending, Some(canonical))));
                let verdict = if self.deny.contains(&tool) { Verdict::Deny } else { Verdict::Allow };
                let (key, reason) = (pending.key.clone(), "because".to_owned());
                self.push(Event::PolicyDecision(Judgement {
                    key,
                    verdict,
                    determining: Vec::new(),
                    reason,
                    // Of a text that nobody kept: a replay takes it as recorded.
                    sets: vec![("reeve-system/default".to_owned(), Digest::of("gone"))],
                    shadow: Vec::new(),
                }));
            }
            Step::Refuse(asked, ended) => {
                self.push(Event::ToolRequested(asked));
                self.push(Event::ToolResult(ended));
            }
            Step::CallTool { key, call_id, canonical, .. } => {
                let (status, exit_code) = match canonical.arguments["argv"][0].as_str() {
                    Some("false") => (wire::Status::Error, Some(1)),
                    Some("halted") => (wire::Status::Halted, None),
                    Some(_) | None => (wire::Status::Ok, Some(0)),
                };
                let commit = (canonical.tool == ToolName::GitCommit).then(|| "h".to_owned());
                let observation = Observation::Ran { status, exit_code, output_bytes: 2, duration_ms: 1, commit };
                self.push(Event::ToolResult(ToolEnded { key, call_id, observation, content: "ok".to_owned() }));
            }
            Step::Checkpoint => {
                self.push(Event::CheckpointRequested { step: self.state.step });
                let blob = wire::Blob { digest: Digest::of("blob"), bytes: 4 };
                let workspace = wire::Checkpointed {
                    base_commit: "b".to_owned(),
                    head_commit: "h".to_owned(),
                    uncommitted: std::mem::take(&mut self.uncommitted),
                    changed: std::mem::take(&mut self.changed),
                    patch: blob.clone(),
                    bundle: blob,
                };
                self.push(Event::Checkpoint(Box::new(CheckpointTaken { step: self.state.step, workspace })));
            }
            Step::Answer(ended) => self.push(Event::ToolResult(ended)),
            Step::Reflect(reflection) => self.push(Event::Reflect(reflection)),
            Step::End(ending) => {
                let finished = ending.finished(at(self.now));
                self.push(Event::RunFinished(finished));
            }
            Step::SettleInFull(settled) => self.push(Event::BudgetSettled(settled)),
            Step::AwaitAnswer { .. }
            | Step::AskApproval { .. }
            | Step::AwaitApproval(_)
            | Step::UseApproval(_)
            | Step::Merge { .. }
            | Step::Wait
            | Step::Done => return false,
        }
        true
    }

    fn run(mut self) -> Shell {
        for _ in 0..1_000 {
            if !self.step() {
                return self;
            }
        }
        panic!("does not end: {:?}", self.rows.iter().map(|(_, event)| event.kind()).collect::<Vec<_>>());
    }

    fn reason(&self) -> EndReason {
        self.state.finished.as_ref().expect("the run has not ended").reason
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.rows.iter().map(|(_, event)| event.kind()).collect()
    }

    fn last_content(&self) -> String {
        self.rows
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                Event::ToolResult(ended) => Some(ended.content.clone()),
                _ => None,
            })
            .unwrap()
    }
}

fn read(path: &str) -> ToolCall {
    call("fs.read", json!({ "path": path }))
}

fn finish() -> ToolCall {
    call("finish", json!({ "summary": "done" }))
}

#[test]
fn a_run_goes_through_plan_act_observe_reflect_to_its_end() {
    let shell = Shell::new(spec(Role::Coder), vec![answer(vec![read("a"), read("b")]), answer(vec![finish()])]).run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert_eq!(
        shell.kinds(),
        [
            "run.started",
            "sandbox.requested",
            "sandbox.ready",
            "workspace.requested",
            "workspace.loaded",
            "model.request",
            "model.response",
            "tool.requested",
            "policy.decision",
            "tool.result",
            "tool.requested",
            "policy.decision",
            "tool.result",
            "reflect",
            "model.request",
            "model.response",
            "tool.requested",
            "policy.decision",
            "checkpoint.requested",
            "checkpoint",
            "run.finished",
        ]
    );
    assert_eq!(shell.state.usage.input_tokens, 20);
}

#[test]
fn a_denied_call_goes_back_to_the_model_and_the_loop_goes_on() {
    let mut shell = Shell::new(spec(Role::Coder), vec![answer(vec![call("shell.run", json!({ "argv": ["x"] }))]), answer(vec![finish()])]);
    shell.deny = vec![ToolName::ShellRun];
    let shell = shell.run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert_eq!(shell.state.denied, 1);
    assert_eq!(shell.last_content(), "Denied by policy: because");
}

#[test]
fn a_halted_call_counts_as_failed_and_the_loop_goes_on() {
    let script = vec![answer(vec![call("shell.run", json!({ "argv": ["halted"] }))]), answer(vec![finish()])];
    let shell = Shell::new(spec(Role::Coder), script).run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert!(shell.state.steps[0].calls[0].ends_with("halted"), "{:?}", shell.state.steps);
    let reflection = shell.rows.iter().find_map(|(_, event)| if let Event::Reflect(reflection) = event { Some(reflection) } else { None });
    assert_eq!(reflection.map(|reflection| (reflection.succeeded, reflection.failed)), Some((0, 1)));
}

#[test]
fn what_cannot_be_understood_goes_back_to_the_model_with_the_reason() {
    let cases = [
        (call("rm", json!({})), "There is no tool \"rm\" here"),
        (call("fs.read", json!({ "path": "a", "mode": "x" })), "Additional properties are not allowed"),
        (call("fs.write", json!({ "path": "a", "content": "key = [redacted]" })), "hold [redacted]"),
        (call("fs.read", json!({ "path": 3 })), "/path: 3 is not of type \"string\""),
        (ToolCall { id: "c".to_owned(), name: "fs.read".to_owned(), arguments: Arguments::Invalid("{".to_owned()) }, "are not JSON: \"{\""),
    ];
    for (wrong, expected) in cases {
        let shell = Shell::new(spec(Role::Coder), vec![answer(vec![wrong]), answer(vec![finish()])]).run();
        assert_eq!(shell.reason(), EndReason::Finished);
        assert!(shell.last_content().contains(expected), "{} lacks {expected}", shell.last_content());
    }
}

#[test]
fn a_model_that_calls_nothing_three_times_ends_the_run() {
    let shell = Shell::new(spec(Role::Coder), vec![answer(vec![]), answer(vec![]), answer(vec![]), answer(vec![finish()])]).run();
    assert_eq!(shell.reason(), EndReason::ModelUseless);
    let shell = Shell::new(
        spec(Role::Coder),
        vec![answer(vec![]), answer(vec![]), answer(vec![read("a")]), answer(vec![]), answer(vec![finish()])],
    )
    .run();
    assert_eq!(shell.reason(), EndReason::Finished);
}

#[test]
fn the_third_identical_call_in_a_row_is_not_made() {
    let shell = Shell::new(spec(Role::Coder), vec![answer(vec![read("a")]), answer(vec![read("a")]), answer(vec![read("a")])]).run();
    assert_eq!(shell.reason(), EndReason::RepeatedCall);
    assert_eq!(shell.state.tool_calls, 2);
    let others =
        vec![answer(vec![read("a")]), answer(vec![read("a")]), answer(vec![read("b")]), answer(vec![read("a")]), answer(vec![finish()])];
    assert_eq!(Shell::new(spec(Role::Coder), others).run().reason(), EndReason::Finished);
}

#[test]
fn each_limit_ends_the_run_with_its_own_reason() {
    let many = || (0..30).map(|n| answer(vec![read(&format!("f{n}"))])).collect::<Vec<_>>();
    let mut steps = spec(Role::Coder);
    steps.limits.steps = 3;
    assert_eq!(Shell::new(steps, many()).run().reason(), EndReason::StepLimitReached);
    let mut calls = spec(Role::Coder);
    calls.limits.tool_calls = 3;
    assert_eq!(Shell::new(calls, many()).run().reason(), EndReason::ToolCallLimitReached);
    let mut bytes = spec(Role::Coder);
    bytes.limits.output_bytes = 4;
    assert_eq!(Shell::new(bytes, many()).run().reason(), EndReason::OutputLimitReached);
    let mut shell = Shell::new(spec(Role::Coder), many());
    for _ in 0..8 {
        shell.step();
    }
    shell.now = 600;
    assert_eq!(shell.run().reason(), EndReason::DeadlineExceeded);
}

#[test]
fn a_failing_provider_hands_over_to_the_next_and_the_last_one_ends_the_run() {
    let failure = |failure| ModelAnswered::Failure { failure, message: "no".to_owned(), attempts: 3, sent: false };
    let shell = Shell::new(spec(Role::Coder), vec![failure(ModelFailure::Unavailable), answer(vec![finish()])]).run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert_eq!((shell.state.step, shell.state.route), (1, 1));
    let both = vec![failure(ModelFailure::Unavailable), failure(ModelFailure::Unauthorized)];
    let shell = Shell::new(spec(Role::Coder), both).run();
    assert_eq!(shell.reason(), EndReason::ModelFailed);
    let shell = Shell::new(spec(Role::Coder), vec![failure(ModelFailure::TranscriptMiss)]).run();
    assert_eq!(shell.reason(), EndReason::TranscriptMiss);
}

#[test]
fn a_coder_does_not_finish_with_uncommitted_changes() {
    let commit = call("git.commit", json!({ "message": "m" }));
    let mut shell = Shell::new(spec(Role::Coder), vec![answer(vec![finish()]), answer(vec![commit]), answer(vec![finish()])]);
    shell.uncommitted = vec!["a.py".to_owned()];
    let shell = shell.run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert_eq!(shell.kinds().iter().filter(|kind| **kind == "checkpoint").count(), 2);
}

#[test]
fn a_coder_does_not_finish_with_a_protected_file_changed() {
    let restore = call("shell.run", json!({ "argv": ["git", "checkout"] }));
    let mut shell = Shell::new(spec(Role::Coder), vec![answer(vec![finish()]), answer(vec![restore]), answer(vec![finish()])]);
    shell.changed = vec![".github/workflows/ci.yml".to_owned()];
    let shell = shell.run();
    assert_eq!(shell.reason(), EndReason::Finished);
    let refused = |event: &Event| matches!(event, Event::ToolResult(ended) if ended.content.contains(".github/workflows/ci.yml changed, and is protected"));
    assert!(shell.rows.iter().any(|(_, event)| refused(event)));
}

#[test]
fn a_planner_hands_in_tasks_with_names_of_their_own() {
    let tasks = |names: &[&str]| {
        let tasks: Vec<Value> = names.iter().map(|name| json!({ "name": name, "description": "d" })).collect();
        answer(vec![call("finish", json!({ "summary": "s", "tasks": tasks }))])
    };
    let shell = Shell::new(spec(Role::Planner), vec![tasks(&["a", "a"]), tasks(&["a", "b"])]).run();
    assert_eq!(shell.reason(), EndReason::Finished);
    assert_eq!(shell.state.finished.unwrap().tasks.iter().map(|task| task.name.clone()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn acceptance_commands_run_in_order_and_the_first_that_fails_ends_it() {
    let commands = |names: &[&str]| {
        let mut spec = spec(Role::Acceptance);
        spec.routes.clear();
        spec.commands = names.iter().map(|name| AcceptanceCommand { argv: vec![(*name).to_owned()], timeout_seconds: 9 }).collect();
        spec
    };
    let shell = Shell::new(commands(&["true", "true", "true", "true"]), Vec::new()).run();
    assert_eq!((shell.reason(), shell.state.tool_calls), (EndReason::Finished, 4));
    let shell = Shell::new(commands(&["true", "false", "true"]), Vec::new()).run();
    assert_eq!((shell.reason(), shell.state.tool_calls), (EndReason::AcceptanceFailed, 2));
    let mut denied = Shell::new(commands(&["true"]), Vec::new());
    denied.deny = vec![ToolName::TestsRun];
    assert_eq!(denied.run().reason(), EndReason::AcceptanceFailed);
}

#[test]
fn a_suspended_run_does_nothing_until_it_is_resumed_and_its_clock_stands_still() {
    let mut shell = Shell::new(spec(Role::Coder), vec![answer(vec![finish()])]);
    shell.step();
    shell.push(Event::RunSuspended(Suspension::default()));
    assert_eq!(next(&shell.state, at(1)), Step::Wait);
    assert_eq!(next(&shell.state, at(6_000)), Step::Wait);
    let week = i64::from(crate::limits::MAX_PAUSE_SECONDS);
    assert!(matches!(next(&shell.state, at(week)), Step::End(Ending { reason: EndReason::DeadlineExceeded, .. })));
    shell.now = 6_000;
    shell.push(Event::RunResumed(Resumption::default()));
    assert_eq!(next(&shell.state, at(6_599)), Step::StartSandbox);
    assert!(matches!(next(&shell.state, at(6_600)), Step::End(Ending { reason: EndReason::DeadlineExceeded, .. })));
    assert_eq!(shell.run().reason(), EndReason::Finished);
}

#[test]
fn a_question_waits_for_its_answer_under_its_own_id() {
    let mut shell =
        Shell::new(spec(Role::Coder), vec![answer(vec![call("ask", json!({ "question": "which?" }))]), answer(vec![finish()])]).run();
    let Step::AwaitAnswer { key, call_id, question_id, question } = next(&shell.state, at(1)) else { panic!("no question") };
    assert_eq!((question_id.as_str(), question.as_str()), ("q1-0", "which?"));
    shell.push(Event::ToolResult(ToolEnded { key, call_id, observation: Observation::Answered, content: "this".to_owned() }));
    assert_eq!(shell.run().reason(), EndReason::Finished);
}

#[test]
fn rows_that_cannot_follow_are_refused() {
    let mut state = RunState::new("u1");
    assert!(state.apply(Seq(1), at(0), &Event::RunSuspended(Suspension::default())).is_err());
    let shell = Shell::new(spec(Role::Coder), vec![answer(vec![finish()])]).run();
    let mut ended = shell.state.clone();
    assert!(ended.apply(Seq(99), at(0), &Event::RunResumed(Resumption::default())).is_err());
    let mut early = RunState::new("u1");
    early.apply(Seq(1), at(0), &shell.rows[0].1).unwrap();
    let stray = ToolEnded { key: "u1/1/0".to_owned(), call_id: "c".to_owned(), observation: Observation::Invalid, content: String::new() };
    assert!(early.apply(Seq(2), at(0), &Event::ToolResult(stray)).is_err());
}
