//! What replaying a run costs: `cargo run --release -p reeve-store --example replay_cost`.
//!
//! A run of 200 steps under a budget, each step a model request, a call that the shipped policies judge, and its result of half a KiB.
//! Reading the rows from their text is part of it; reading the file is not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "an example that cannot go on has failed")]

use std::time::Instant;

use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::budget::{Amounts, Price, of_answer, of_request};
use reeve_core::journal::{
    Actor, ApprovalTerms, BudgetReserved, BudgetSettled, Epoch, Event, ModelAnswered, Observation, PackedWorkspace, PolicyActivated, Row,
    RowDraft, RunLimits, RunStarted, SandboxAsked, SandboxReady, SandboxShape, Seq, SpecSnapshot, Stream, ToolEnded, WorkspaceLoaded,
};
use reeve_core::model::{Arguments, FinishReason, ModelResponse, ToolCall, Usage};
use reeve_core::policy::{Agent, Facts, Keys, Texts, decide, default_spec};
use reeve_core::run::{Replay, RunState, Step, asked, model_asked, next, request};
use reeve_core::tool::{Role, ToolName, catalog, wire};

const STEPS: u32 = 200;
const TIMES: usize = 15;
const UID: &str = "0b8e4c4e-0001";
const ACCOUNT: &str = "bench/default";
const PRICE: Price = Price { input: 500_000, cached_input: 500_000, output: 2_000_000 };

fn main() {
    let spec = default_spec().unwrap();
    let text = serde_json_canonicalizer::to_string(&spec).unwrap();
    let digest = Digest::of(&text);
    let mut texts = Texts::default();
    texts.activated(&PolicyActivated {
        namespace: "reeve-system".to_owned(),
        name: "default".to_owned(),
        uid: "0b8e4c4e-0002".to_owned(),
        digest,
        generation: 1,
        text: Some(text),
    });
    let rows = Run::new(&texts, digest).rows();
    let mut took: Vec<f64> = (0..TIMES).map(|_| replay(&texts, &rows)).collect();
    took.sort_by(f64::total_cmp);
    println!("{} rows; median of {TIMES}, least {:.1} ms, most {:.1} ms", rows.len(), took[0], took[TIMES - 1]);
    println!("FIGURE replay_200_steps_ms {:.1} ms", took[TIMES / 2]);
}

fn replay(texts: &Texts, rows: &[Row]) -> f64 {
    let before = Instant::now();
    let mut replay = Replay::new(UID);
    for row in rows {
        replay.row(texts, row).unwrap_or_else(|stopped| panic!("{stopped:#?}"));
    }
    let said = replay.finish();
    let took = before.elapsed().as_secs_f64() * 1e3;
    assert_eq!((said.rows, said.judged), (rows.len() as u64, u64::from(STEPS)), "{said:?}");
    took
}

/// A run with made-up outcomes.
struct Run<'a> {
    texts: &'a Texts,
    set: Vec<(String, Digest)>,
    state: RunState,
    rows: Vec<Row>,
}

impl<'a> Run<'a> {
    fn new(texts: &'a Texts, digest: Digest) -> Run<'a> {
        let set = vec![("reeve-system/default".to_owned(), digest)];
        let mut run = Run { texts, set, state: RunState::new(UID), rows: Vec::new() };
        let started = RunStarted {
            namespace: "bench".to_owned(),
            name: "long".to_owned(),
            requested_by: "developer".to_owned(),
            spec: spec(),
            forked_from: None,
        };
        run.add(Event::RunStarted(Box::new(started)));
        run
    }

    /// A second a row.
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.rows.len() as i64).unwrap()
    }

    fn add(&mut self, event: Event) {
        let (at, seq) = (self.now(), Seq(self.rows.len() as u64 + 1));
        self.state.apply(seq, at, &event).unwrap();
        let draft = RowDraft::of(&event, &Actor::Operator, at).unwrap();
        let prev = self.rows.last().map_or(Digest::ZERO, |row| row.hash);
        self.rows.push(draft.place(Stream::run(UID), seq.0, seq, Epoch(1), prev).unwrap());
    }

    fn rows(mut self) -> Vec<Row> {
        while self.state.step < STEPS || !self.state.pending.is_empty() || self.state.to_reflect {
            self.step();
        }
        self.rows
    }

    fn step(&mut self) {
        match next(&self.state, self.now()) {
            Step::StartSandbox => {
                self.add(Event::SandboxRequested(SandboxAsked { job: "long".to_owned(), image: "bench".to_owned() }));
                let [job_uid, pod_uid, pod, image_id] = ["j", "p", "long", "i"].map(str::to_owned);
                self.add(Event::SandboxReady(SandboxReady { job_uid, pod_uid, pod, image_id }));
            }
            Step::LoadWorkspace => {
                let digest = Digest::of("tar");
                self.add(Event::WorkspaceRequested { digest });
                let [base_commit, head_commit] = ["a", "b"].map(str::to_owned);
                self.add(Event::WorkspaceLoaded(WorkspaceLoaded { digest, base_commit, head_commit, files: 1 }));
            }
            Step::CallModel { step, route, .. } => {
                let request = request(&self.state, route).unwrap();
                let key = format!("{UID}/m{}", self.state.gates.model_requests + 1);
                self.reserve(key.clone(), of_request(&request, &PRICE, 600_000));
                self.add(Event::ModelRequest(model_asked(&self.state, &request, step, route).unwrap()));
                let usage = Usage { input_tokens: 1_000, output_tokens: 100, ..Usage::default() };
                self.add(Event::ModelResponse(answer(step, usage)));
                self.add(Event::ThoughtSummary { text: thought(step) });
                self.settle(key, of_answer(&usage, &PRICE, 900));
            }
            Step::Decide(call) => {
                let path = wire::TouchedPath { path: format!("src/part-{}.py", self.state.step), write: false, exists: true };
                let Arguments::Json(arguments) = call.call.arguments.clone() else { panic!("no arguments") };
                let canonical = wire::Canonical { tool: ToolName::FsRead, arguments, paths: vec![path], program: None, argv: Vec::new() };
                self.add(Event::ToolRequested(asked(&call, Some(canonical.clone()))));
                let sets = self.texts.sets(&self.set, "bench", None).unwrap();
                let agent = Agent { role: Role::Coder, namespace: "bench".to_owned(), autonomy: 2 };
                self.add(Event::PolicyDecision(decide(&call.key, &sets, &Facts { agent, call: &canonical, keys: Keys::default() })));
            }
            Step::CallTool { key, call_id, .. } => {
                self.reserve(key.clone(), Amounts { tool_calls: 1, runtime_ms: 120_000, ..Amounts::default() });
                let (status, content) = (wire::Status::Ok, format!("{:0>500}\n", self.state.step));
                let observation = Observation::Ran { status, exit_code: None, output_bytes: 501, duration_ms: 3, commit: None };
                self.add(Event::ToolResult(ToolEnded { key: key.clone(), call_id, observation, content }));
                self.settle(key, Amounts { tool_calls: 1, runtime_ms: 3, ..Amounts::default() });
            }
            Step::Reflect(reflection) => self.add(Event::Reflect(reflection)),
            other => panic!("{other:?}"),
        }
    }

    fn reserve(&mut self, key: String, amounts: Amounts) {
        self.add(Event::BudgetReserved(BudgetReserved { account: ACCOUNT.to_owned(), key, amounts }));
    }

    fn settle(&mut self, key: String, used: Amounts) {
        self.add(Event::BudgetSettled(BudgetSettled { account: ACCOUNT.to_owned(), key, used, in_full: false }));
    }
}

fn thought(step: u32) -> String {
    format!("Step {step}: I read the next part of the module, since the one before did not define the table that the test names.")
}

fn answer(step: u32, usage: Usage) -> ModelAnswered {
    let arguments = Arguments::Json(serde_json::json!({ "path": format!("src/part-{step}.py") }));
    let tool_calls = vec![ToolCall { id: format!("call-{step}"), name: ToolName::FsRead.as_str().to_owned(), arguments }];
    let response = ModelResponse { text: thought(step), tool_calls, finish_reason: FinishReason::ToolCalls, usage, model: "m".to_owned() };
    ModelAnswered::Answer { response, attempts: 1 }
}

fn spec() -> SpecSnapshot {
    let [image, cpu, memory, workspace] = ["bench", "1", "1Gi", "1Gi"].map(str::to_owned);
    SpecSnapshot {
        role: Role::Coder,
        objective: "Find where the directive is defined, and mend it.".to_owned(),
        task: Some("mend".to_owned()),
        autonomy: 2,
        system_prompt: "You mend programs, one small change at a time, and run the tests after each.".to_owned(),
        profile_digest: Digest::of("profile"),
        routes: vec![("model".to_owned(), "m".to_owned())],
        prices: vec![PRICE],
        budget: Some(ACCOUNT.to_owned()),
        approval: ApprovalTerms::default(),
        merge: None,
        max_output_tokens: 4_096,
        tools: catalog(Role::Coder).into_iter().map(|tool| tool.name).collect(),
        commands: Vec::new(),
        workspace: PackedWorkspace { digest: Digest::of("tar"), packing: wire::Packing::TarGz, strip_components: 0 },
        sandbox: SandboxShape { image, cpu, memory, workspace, runtime_class: None },
        limits: RunLimits { steps: 1_000, seconds: 86_400, tool_calls: 5_000, output_bytes: 16 * 1024 * 1024 },
        keeps_commits: false,
    }
}
