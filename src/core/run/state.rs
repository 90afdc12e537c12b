//! The fold: what a run's rows add up to.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::fork::{Branch, Inherited};
use super::gates::Gates;
use super::words::{advice_on, answer_bytes, brief, fingerprint, tail};
use crate::Digest;
use crate::approval;
use crate::journal::{
    CheckpointTaken, Event, Judgement, ModelAnswered, Observation, Reflection, RunFinished, RunStarted, SandboxReady, Seq, ToolEnded,
    Verdict, WorkspaceLoaded,
};
use crate::limits;
use crate::model::{Message, ModelFailure, ModelResponse, ToolCall, Usage};
use crate::tool::{Role, ToolName, wire};

/// Where the sandbox stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Not asked for.
    None,
    /// The Job may exist.
    Requested,
    /// It answered once.
    Ready(SandboxReady),
}

/// An intent without its outcome: after a crash, what may or may not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// A model was asked.
    Model,
    /// A checkpoint was asked for.
    Checkpoint,
}

/// How far a tool call has come.
#[derive(Clone, Debug, PartialEq)]
pub enum CallStage {
    /// The model asked for it; nothing is journaled yet.
    Wanted,
    /// It is journaled in canonical form; policy has not spoken.
    Requested(wire::Canonical),
    /// Policy has spoken.
    Judged(wire::Canonical, Judgement),
}

/// A tool call of the current answer that has no result yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingCall {
    /// Position in the answer, from 0.
    pub index: u32,
    /// Idempotency key.
    pub key: String,
    /// What the model asked for.
    pub call: ToolCall,
    /// How far it has come.
    pub stage: CallStage,
    /// The approval that it waits for, or waited for.
    pub approval: Option<Box<approval::State>>,
}

/// One step, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepBrief {
    /// Step, from 1.
    pub step: u32,
    /// One line a call: what was called, and what came of it.
    pub calls: Vec<String>,
}

/// A row that cannot follow those before it. Only a bug or a foreign hand writes one: the run ends with `InternalError`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("journal row {seq} ({kind}) cannot follow the rows before it: {why}")]
pub struct FoldError {
    seq: u64,
    kind: &'static str,
    why: &'static str,
}

/// All that a run is, folded from its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// UID of the AgentRun.
    pub uid: String,
    /// What it goes on from, until its first row says so: of a run that was forked.
    pub(super) branch: Option<Box<Branch>>,
    /// What of its counters is its parent's.
    pub inherited: Inherited,
    /// Body of its first row.
    pub started: Option<RunStarted>,
    /// Time of its first row.
    pub started_at: Option<Timestamp>,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The workspace, once loaded.
    pub workspace: Option<WorkspaceLoaded>,
    /// The conversation, without the opening message.
    pub messages: Vec<Message>,
    /// Step that the run is in, from 1; 0 before the first.
    pub step: u32,
    /// Model requests journaled whose answer came; the index of a transcript's position.
    pub answers: u32,
    /// Index into the routes.
    pub route: usize,
    /// An intent without its outcome.
    pub in_flight: Option<InFlight>,
    /// The last model failure, if the last model request failed.
    pub model_failure: Option<(ModelFailure, String)>,
    /// What holds it up.
    pub gates: Gates,
    /// What its models cost so far, micro-USD.
    pub cost_micro_usd: u64,
    /// Calls of the current answer that have no result yet.
    pub pending: VecDeque<PendingCall>,
    /// Whether the current step still has to be weighed.
    pub to_reflect: bool,
    /// Whether a commit was made that is not kept yet.
    pub to_keep: bool,
    /// Last checkpoint.
    pub checkpoint: Option<CheckpointTaken>,
    /// Whether the checkpoint belongs to the `finish` in hand.
    pub checkpoint_fresh: bool,
    /// Its end.
    pub finished: Option<RunFinished>,
    /// Tokens so far.
    pub usage: Usage,
    /// Tool calls journaled so far.
    pub tool_calls: u32,
    /// Tool calls that policy denied.
    pub denied: u32,
    /// Bytes of the conversation so far: what tools gave back, and what the model answered.
    pub output_bytes: u64,
    /// Fingerprint of the last call, and how often in a row it came.
    pub same_call: Option<(Digest, u32)>,
    /// Answers in a row that called no tool that could be understood.
    pub useless_in_a_row: u32,
    /// Counters of the current step.
    pub tally: Tally,
    /// Whether the last test run passed, if nothing was edited since.
    pub tests: Option<bool>,
    /// What to tell the model beside the results.
    pub advice: Option<String>,
    /// The command of an acceptance run that failed, or why a merge was not done.
    pub refused: Option<String>,
    /// The last steps, oldest first.
    pub steps: VecDeque<StepBrief>,
}

/// What the calls of one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ran and said yes.
    pub succeeded: u32,
    /// Ran and said no.
    pub failed: u32,
    /// Could not be understood.
    pub invalid: u32,
    /// Denied.
    pub denied: u32,
}

impl RunState {
    /// A run without rows.
    pub fn new(uid: &str) -> RunState {
        RunState {
            uid: uid.to_owned(),
            branch: None,
            inherited: Inherited::default(),
            started: None,
            started_at: None,
            sandbox: Sandbox::None,
            workspace: None,
            messages: Vec::new(),
            step: 0,
            answers: 0,
            route: 0,
            in_flight: None,
            model_failure: None,
            gates: Gates::default(),
            cost_micro_usd: 0,
            pending: VecDeque::new(),
            to_reflect: false,
            to_keep: false,
            checkpoint: None,
            checkpoint_fresh: false,
            finished: None,
            usage: Usage::default(),
            tool_calls: 0,
            denied: 0,
            output_bytes: 0,
            same_call: None,
            useless_in_a_row: 0,
            tally: Tally::default(),
            tests: None,
            advice: None,
            refused: None,
            steps: VecDeque::new(),
        }
    }

    /// The idempotency key of a call.
    pub fn key(&self, step: u32, index: u32) -> String {
        format!("{}/{step}/{index}", self.uid)
    }

    /// The question that waits for a person's answer: its key into `spec.answers`, and its text.
    pub fn question(&self) -> Option<(String, String)> {
        let call = self.call_in_flight()?;
        match &call.stage {
            CallStage::Judged(canonical, _) if canonical.tool == ToolName::Ask => {
                let text = canonical.arguments.get("question").and_then(serde_json::Value::as_str).unwrap_or_default();
                Some((format!("q{}-{}", self.step, call.index), text.to_owned()))
            }
            CallStage::Judged(..) | CallStage::Wanted | CallStage::Requested(_) => None,
        }
    }

    /// The call whose intent is durable and whose result is not: after a crash it may have run.
    pub fn call_in_flight(&self) -> Option<&PendingCall> {
        self.pending.front().filter(|call| match &call.stage {
            CallStage::Judged(_, judgement) => judgement.verdict == Verdict::Allow,
            CallStage::Wanted | CallStage::Requested(_) => false,
        })
    }

    /// Takes in the next row.
    ///
    /// # Errors
    /// [`FoldError`] when the row cannot follow those before it; the state is then not to be used.
    pub fn apply(&mut self, seq: Seq, at: Timestamp, event: &Event) -> Result<(), FoldError> {
        let refuse = |why| Err(FoldError { seq: seq.0, kind: event.kind(), why });
        if self.finished.is_some() {
            return refuse("the run has finished");
        }
        if self.started.is_none() != matches!(event, Event::RunStarted(_)) {
            return refuse("run.started comes first, and once");
        }
        match event {
            Event::RunStarted(started) => {
                if let Err(why) = self.on_started(started, at) {
                    return refuse(why);
                }
            }
            Event::SandboxRequested(_) => self.sandbox = Sandbox::Requested,
            Event::SandboxReady(ready) => self.sandbox = Sandbox::Ready(ready.clone()),
            Event::WorkspaceRequested { .. } => {}
            Event::WorkspaceLoaded(loaded) => {
                if !self.is_what_was_forked(loaded) {
                    return refuse("the workspace is not the one that was forked");
                }
                self.workspace = Some(loaded.clone());
            }
            Event::ModelRequest(asked) => {
                if self.route != asked.route {
                    self.gates.uncertain_in_a_row = 0;
                }
                self.gates.model_requests += 1;
                self.step = asked.step;
                self.route = asked.route;
                self.in_flight = Some(InFlight::Model);
                self.model_failure = None;
            }
            Event::ModelResponse(ModelAnswered::Answer { response, .. }) => self.on_answer(response),
            Event::ModelResponse(ModelAnswered::Failure { failure, message, sent, .. }) => {
                self.in_flight = None;
                self.gates.uncertain_in_a_row = if *sent { self.gates.uncertain_in_a_row + 1 } else { 0 };
                self.model_failure = Some((*failure, message.clone()));
            }
            Event::ThoughtSummary { .. } => {}
            Event::ToolRequested(asked) => match self.pending.front_mut() {
                Some(call) if call.key == asked.key => {
                    if let Some(canonical) = &asked.canonical {
                        call.stage = CallStage::Requested(canonical.clone());
                    }
                    let call = call.call.clone();
                    self.on_requested(&call);
                }
                Some(_) | None => return refuse("no such call is due"),
            },
            Event::PolicyDecision(judgement) => match self.pending.front_mut() {
                Some(call) if call.key == judgement.key => {
                    if let Err(why) = call.on_judgement(judgement) {
                        return refuse(why);
                    }
                }
                Some(_) | None => return refuse("no such call waits for a decision"),
            },
            Event::ApprovalRequested(_)
            | Event::ApprovalCreated(_)
            | Event::ApprovalVote(_)
            | Event::ApprovalSettled(_)
            | Event::ApprovalConsumed(_) => {
                let Some(call) = self.pending.front_mut() else { return refuse("no call is due") };
                if let Err(why) = call.on_approval(event) {
                    return refuse(why);
                }
                if let Event::ApprovalConsumed(consumed) = event {
                    self.gates.approved_by = consumed.by.clone();
                }
            }
            Event::ToolResult(ended) => match self.pending.front() {
                Some(call) if call.key == ended.key => self.on_result(ended),
                Some(_) | None => return refuse("no such call is due"),
            },
            Event::Reflect(reflection) => self.on_reflect(reflection),
            Event::CheckpointRequested { .. } => self.in_flight = Some(InFlight::Checkpoint),
            Event::Checkpoint(taken) => {
                self.in_flight = None;
                self.to_keep = false;
                self.checkpoint = Some((**taken).clone());
                // Only a `finish` takes one while its call is in hand.
                self.checkpoint_fresh = self.call_in_flight().is_some();
            }
            Event::BudgetReserved(_) | Event::BudgetSettled(_) | Event::RunSuspended(_) | Event::RunResumed(_) => {
                if let Err(why) = self.gates.apply(event) {
                    return refuse(why);
                }
            }
            Event::RunFinished(finished) => self.finished = Some(finished.clone()),
            Event::PolicyActivated(_)
            | Event::BudgetLimited(_)
            | Event::Kill(_)
            | Event::KeyIntroduced(_)
            | Event::KeyRotated(_)
            | Event::JournalAnchored(_)
            | Event::RunArchived(_)
            | Event::LeaseTaken { .. } => return refuse("it belongs to the operator's stream"),
        }
        let still = self.stands_still();
        self.gates.keep_time(still, at);
        Ok(())
    }

    /// Whether it waits for a person, or was told to wait.
    fn stands_still(&self) -> bool {
        let asked = self.pending.front().and_then(|call| call.approval.as_ref()).is_some_and(|approval| approval.is_open());
        self.finished.is_none() && (!self.gates.pauses.is_empty() || asked || self.question().is_some())
    }

    /// Milliseconds since its start in which it did not stand still.
    pub fn worked_ms(&self, now: Timestamp) -> i64 {
        let Some(started) = self.started_at else { return 0 };
        now.as_millisecond().saturating_sub(started.as_millisecond()).saturating_sub(self.gates.still_ms(now)).max(0)
    }

    /// Seconds of the current pause.
    pub fn pause_seconds(&self, now: Timestamp) -> i64 {
        self.gates.pause_ms(now) / 1000
    }

    fn on_started(&mut self, started: &RunStarted, at: Timestamp) -> Result<(), &'static str> {
        self.grow(started)?;
        self.started = Some(started.clone());
        self.started_at = Some(at);
        match started.spec.role {
            Role::Acceptance => self.next_command(),
            Role::Merge => self.merge(),
            Role::Planner | Role::Coder => {}
        }
        Ok(())
    }

    pub(super) fn begin_step(&mut self) {
        self.to_reflect = true;
        self.tally = Tally::default();
        if self.steps.len() == limits::STATUS_STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(StepBrief { step: self.step, calls: Vec::new() });
    }

    fn on_answer(&mut self, response: &ModelResponse) {
        self.in_flight = None;
        self.answers += 1;
        self.usage += response.usage;
        self.gates.uncertain_in_a_row = 0;
        let price = self.started.as_ref().and_then(|started| started.spec.prices.get(self.route));
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(price.map_or(0, |price| price.cost(&response.usage)));
        self.output_bytes = self.output_bytes.saturating_add(answer_bytes(response));
        self.begin_step();
        let calls = if response.tool_calls.len() > limits::MAX_CALLS_PER_ANSWER { &[][..] } else { &response.tool_calls[..] };
        self.messages.push(Message::Assistant { text: response.text.clone(), tool_calls: calls.to_vec() });
        self.advice = advice_on(response);
        self.pending = (0..)
            .zip(calls)
            .map(|(index, call)| PendingCall {
                index,
                key: self.key(self.step, index),
                call: call.clone(),
                stage: CallStage::Wanted,
                approval: None,
            })
            .collect();
    }

    fn on_requested(&mut self, call: &ToolCall) {
        self.tool_calls += 1;
        let fingerprint = fingerprint(call);
        let times = match self.same_call {
            Some((last, times)) if last == fingerprint => times + 1,
            Some(_) | None => 1,
        };
        self.same_call = Some((fingerprint, times));
    }

    fn on_result(&mut self, ended: &ToolEnded) {
        let Some(done) = self.pending.pop_front() else { return };
        self.gates.on_result(&done, ended);
        let PendingCall { call, stage, .. } = done;
        self.output_bytes = self.output_bytes.saturating_add(ended.content.len() as u64);
        self.checkpoint_fresh = false;
        let committed = matches!(&ended.observation, Observation::Ran { commit: Some(_), .. });
        self.to_keep |= committed && self.started.as_ref().is_some_and(|started| started.spec.keeps_commits);
        let word = self.count(&ended.observation, ToolName::parse(&call.name));
        self.messages.push(Message::Tool {
            call_id: ended.call_id.clone(),
            content: ended.content.clone(),
            is_error: !matches!(ended.observation, Observation::Ran { status: wire::Status::Ok, .. } | Observation::Answered),
        });
        let line = brief(&call, &stage, &word);
        if self.asks_no_model() && self.tally.succeeded == 0 {
            self.refused = Some(format!("{line}\n{}", tail(&ended.content)));
        }
        if let Some(step) = self.steps.back_mut() {
            step.calls.push(line);
        }
    }

    fn asks_no_model(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.spec.role.asks_no_model())
    }

    /// Counts a result and names it in a word.
    fn count(&mut self, observation: &Observation, tool: Option<ToolName>) -> String {
        let edits = matches!(tool, Some(ToolName::FsWrite | ToolName::FsEdit | ToolName::ShellRun));
        match observation {
            Observation::Ran { status, exit_code, .. } => {
                let passed = *status == wire::Status::Ok;
                if passed {
                    self.tally.succeeded += 1
                } else {
                    self.tally.failed += 1
                }
                if tool == Some(ToolName::TestsRun) {
                    self.tests = Some(passed);
                } else if edits {
                    self.tests = None;
                }
                match (status, exit_code) {
                    (wire::Status::Ok, _) => "ok".to_owned(),
                    (wire::Status::Error, Some(code)) => format!("exit {code}"),
                    (wire::Status::Error, None) => "error".to_owned(),
                    (wire::Status::Timeout, _) => "timeout".to_owned(),
                    (wire::Status::Killed, _) => "killed".to_owned(),
                    (wire::Status::Halted, _) => "halted".to_owned(),
                }
            }
            Observation::Invalid => {
                self.tally.invalid += 1;
                "invalid".to_owned()
            }
            Observation::Denied => {
                self.tally.denied += 1;
                self.denied += 1;
                "denied".to_owned()
            }
            Observation::Unknown => {
                self.tally.failed += 1;
                "unknown".to_owned()
            }
            Observation::Answered => {
                self.tally.succeeded += 1;
                "answered".to_owned()
            }
            Observation::Refused => {
                self.tally.failed += 1;
                "refused".to_owned()
            }
        }
    }

    fn on_reflect(&mut self, reflection: &Reflection) {
        self.to_reflect = false;
        self.useless_in_a_row = reflection.useless_in_a_row;
        self.advice = None;
        if let Some(advice) = &reflection.advice {
            self.messages.push(Message::User { text: advice.clone() });
        }
        if self.asks_no_model() && self.refused.is_none() {
            self.next_command();
        }
    }

    /// What the step in hand comes to.
    pub(super) fn reflection(&self) -> Reflection {
        let Tally { succeeded, failed, invalid, denied } = self.tally;
        let understood = succeeded + failed + denied > 0;
        Reflection {
            step: self.step,
            succeeded,
            failed: failed + invalid,
            denied,
            same_call_in_a_row: self.same_call.map_or(0, |(_, times)| times),
            useless_in_a_row: if understood { 0 } else { self.useless_in_a_row + 1 },
            tests: self.tests,
            advice: self.advice.clone(),
        }
    }
}
