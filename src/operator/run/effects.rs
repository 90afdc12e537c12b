//! The effects of a step: asking a model, judging and calling a tool, packing the workspace. Intent before, outcome after.

use std::time::Duration;

use reeve_core::journal::{Actor, CheckpointTaken, Event, Judgement, ModelAnswered, Observation, ToolAsked, ToolEnded, Verdict};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_core::model::{Arguments, ModelFailure, ModelRequest, ModelResponse, Position};
use reeve_core::policy::{self, Agent, Facts, Keys};
use reeve_core::run::{self, EndReason, PendingCall};
use reeve_core::tool::{ToolName, wire};
use reeve_gateway::ModelError;
use tokio::time::Instant;

use super::budget::{self, Held};
use super::crash;
use super::driver::Driver;
use super::sandbox::{Answer, LOOKUP_WAIT_MS};
use crate::error::Error;
use crate::kill::Stopped;
use crate::telemetry::{self, Event as _};

/// The longest that one model request may take, retries included, whatever the run's own deadline.
const MODEL_DEADLINE: Duration = Duration::from_secs(600);

impl Driver {
    pub(super) async fn call_model(&mut self, position: Position, step: u32, route: usize) -> Result<(), Error> {
        let request = run::request(self.log.state(), route).ok_or_else(|| Error::bug(format!("the run has no route {route}")))?;
        let asked = run::model_asked(self.log.state(), &request, step, route).map_err(|error| Error::bug(error.to_string()))?;
        let spec = self.log.state().started.as_ref().map(|started| &started.spec);
        let provider = asked.provider.clone();
        let price = spec.and_then(|spec| spec.prices.get(route)).copied().unwrap_or_default();
        let model = request.model.clone();
        let key = format!("{}/m{}", self.log.state().uid, self.log.state().gates.model_requests + 1);
        let wish = budget::of_request(&request, &price, self.left().min(MODEL_DEADLINE));
        let Held::For(time) = self.hold(key, wish).await? else { return Ok(()) };
        self.log.stage(&Actor::Operator, Event::ModelRequest(asked))?;
        if !self.commit_held().await? {
            return Ok(());
        }
        let Some(_acting) = self.act() else {
            // Nothing was sent, so nothing is charged.
            return self.settle(Some(budget::of_refusal(Duration::ZERO)));
        };
        crash::point("effect.model.before");
        let before = Instant::now();
        let (kill, namespace) = (std::sync::Arc::clone(&self.context.kill), self.namespace());
        let answered = tokio::select! {
            biased;
            answered = self.ask(&request, &position, &provider, before + time) => answered?,
            () = kill.engaged(&namespace) => {
                // The answer is lost, and may be charged: what was held for it is settled in full, and it is asked for anew.
                kill.count(&namespace, Stopped::ModelRequest);
                return Ok(());
            }
        };
        crash::point("effect.model.after");
        let took = before.elapsed();
        telemetry::ModelAsked {
            run: &self.name(),
            provider: &provider,
            model: &model,
            took,
            outcome: match &answered {
                ModelAnswered::Answer { response, .. } => Ok((response.usage.input_tokens, response.usage.output_tokens)),
                ModelAnswered::Failure { failure, .. } => Err(failure.as_str()),
            },
        }
        .emit();
        let used = match &answered {
            ModelAnswered::Answer { response, .. } => Some(budget::of_answer(&response.usage, &price, took)),
            ModelAnswered::Failure { sent: true, .. } => None,
            ModelAnswered::Failure { sent: false, .. } => Some(budget::of_refusal(took)),
        };
        self.answered(answered)?;
        self.settle(used)
    }

    fn answered(&mut self, answered: ModelAnswered) -> Result<(), Error> {
        let thought = match &answered {
            ModelAnswered::Answer { response: ModelResponse { text, .. }, .. } if !text.trim().is_empty() => Some(text.clone()),
            ModelAnswered::Answer { .. } | ModelAnswered::Failure { .. } => None,
        };
        match self.log.stage(&Actor::Model, Event::ModelResponse(answered)) {
            Err(Error::TooLarge { bytes, .. }) => {
                let message = format!("the model's answer has {bytes} bytes as a journal row, the most is {MAX_EVENT_BODY_BYTES}");
                let answered = ModelAnswered::Failure { failure: ModelFailure::Garbled, message, attempts: 1, sent: true };
                return self.log.stage(&Actor::Model, Event::ModelResponse(answered));
            }
            staged => staged?,
        }
        match thought {
            Some(text) => self.log.stage(&Actor::Model, Event::ThoughtSummary { text }),
            None => Ok(()),
        }
    }

    async fn ask(&self, request: &ModelRequest, position: &Position, provider: &str, deadline: Instant) -> Result<ModelAnswered, Error> {
        let context = &self.context;
        let provider = match context.providers.get(&context.client, &context.secrets, &self.namespace(), provider).await {
            Ok(provider) => provider,
            Err(why) if why.unanswered => return Err(Error::Unanswered(why.message)),
            Err(why) => {
                let failure = ModelFailure::ProviderNotReady;
                return Ok(ModelAnswered::Failure { failure, message: why.message, attempts: 0, sent: false });
            }
        };
        Ok(match provider.complete(request, position, deadline.into_std()).await {
            Ok(answer) => ModelAnswered::Answer { response: answer.response, attempts: answer.attempts },
            Err(error) => {
                let ModelError { failure, message, attempts, sent } = error;
                ModelAnswered::Failure { failure, message, attempts, sent }
            }
        })
    }

    /// Journals a call that is not made, with the reason. Where even its arguments do not fit a row, their size stands for them.
    pub(super) fn refuse(&mut self, asked: ToolAsked, ended: ToolEnded) -> Result<(), Error> {
        match self.log.stage(&Actor::Model, Event::ToolRequested(asked.clone())) {
            Err(Error::TooLarge { bytes, .. }) => {
                let arguments = serde_json::Value::String(format!("{bytes} bytes, too many for the journal"));
                self.log.stage(&Actor::Model, Event::ToolRequested(ToolAsked { arguments, canonical: None, ..asked }))?;
            }
            staged => staged?,
        }
        self.log.stage(&Actor::Operator, Event::ToolResult(ended))
    }

    pub(super) async fn decide(&mut self, call: PendingCall) -> Result<(), Error> {
        let canonical = match ToolName::parse(&call.call.name) {
            Some(tool) if tool.is_control() => run::control(tool, &call.call.arguments),
            Some(tool) => {
                let Arguments::Json(arguments) = &call.call.arguments else {
                    return Err(Error::bug("arguments that are not JSON came as far as a decision"));
                };
                crash::point("effect.resolve.before");
                let resolve = wire::Resolve { key: call.key.clone(), tool, arguments: arguments.clone() };
                let answer = self.resolve(&resolve).await?;
                crash::point("effect.resolve.after");
                match answer {
                    Answer::Got(canonical) => canonical,
                    Answer::Refused(why) => {
                        self.log.stage(&Actor::Model, Event::ToolRequested(run::asked(&call, None)))?;
                        return self.log.stage(&Actor::Sandbox, Event::ToolResult(run::ended(&call, Observation::Invalid, why)));
                    }
                    Answer::Lost(reason, message) => return self.lost(reason, message).await,
                }
            }
            None => return Err(Error::bug("a tool that does not exist came as far as a decision")),
        };
        let judgement = self.judge(&call.key, &canonical, 0);
        self.tell_judgement(&canonical, &judgement);
        let asked = run::asked(&call, Some(canonical));
        match self.log.stage(&self.asker(), Event::ToolRequested(asked.clone())) {
            Err(Error::TooLarge { bytes, .. }) => {
                let why =
                    format!("Not done: the call has {bytes} bytes as a journal row, the most is {MAX_EVENT_BODY_BYTES}. Make it smaller.");
                return self.refuse(asked, run::ended(&call, Observation::Invalid, why));
            }
            staged => staged?,
        }
        self.log.stage(&Actor::Operator, Event::PolicyDecision(judgement))
    }

    pub(super) fn tell_judgement(&self, canonical: &wire::Canonical, judgement: &Judgement) {
        let verdict = match judgement.verdict {
            Verdict::Allow => "Allow",
            Verdict::Ask { .. } => "Ask",
            Verdict::Deny => "Deny",
        };
        telemetry::PolicyDecided { run: &self.name(), tool: canonical.tool.as_str(), verdict }.emit();
    }

    /// What policy says of a call for which so many people have turned their keys.
    pub(super) fn judge(&self, key: &str, canonical: &wire::Canonical, human: u32) -> Judgement {
        let context = &self.context;
        let started = self.log.state().started.as_ref();
        let namespace = started.map(|started| started.namespace.clone()).unwrap_or_default();
        let sets = context.policies.applying(&context.config.namespace, &namespace);
        match started {
            Some(started) => {
                let spec = &started.spec;
                let agent = Agent { role: spec.role, namespace, autonomy: spec.autonomy };
                let facts = Facts { agent, call: canonical, keys: Keys { human, ..Keys::default() } };
                policy::decide(key, &sets, &facts)
            }
            None => Judgement {
                key: key.to_owned(),
                verdict: Verdict::Deny,
                determining: Vec::new(),
                reason: "the run has not begun".to_owned(),
                sets: Vec::new(),
                shadow: Vec::new(),
            },
        }
    }

    pub(super) async fn call_tool(
        &mut self,
        key: String,
        call_id: String,
        canonical: wire::Canonical,
        mut confinement: wire::Confinement,
    ) -> Result<(), Error> {
        let tool = canonical.tool;
        if let Some(message) = self.out_of_date(&key) {
            let lookup = wire::Lookup { key: key.clone(), wait_ms: LOOKUP_WAIT_MS };
            match self.find(&lookup).await? {
                Answer::Got(wire::Recorded::Absent) => {
                    self.settle(Some(budget::of_refusal(Duration::ZERO)))?;
                    let ended = ToolEnded { key, call_id, observation: Observation::Refused, content: message };
                    return self.log.stage(&Actor::Operator, Event::ToolResult(ended));
                }
                // It had begun: what came of it is taken in below.
                Answer::Got(wire::Recorded::Done { .. } | wire::Recorded::Running | wire::Recorded::Unknown) | Answer::Refused(_) => {}
                Answer::Lost(reason, message) => return self.lost(reason, message).await,
            }
        }
        // No call outlasts its run, nor the time that its budget has left.
        let wish = Duration::from_millis(confinement.timeout_ms).min(self.left());
        let Held::For(time) = self.hold(key.clone(), budget::of_call(wish)).await? else { return Ok(()) };
        confinement.timeout_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        if !self.commit_held().await? {
            return Ok(());
        }
        let Some(_acting) = self.act() else { return Ok(()) };
        crash::point("effect.tool.before");
        let before = Instant::now();
        let (kill, namespace) = (std::sync::Arc::clone(&self.context.kill), self.namespace());
        let answer = tokio::select! {
            biased;
            answer = self.execute(&key, &canonical, confinement) => answer?,
            () = kill.engaged(&namespace) => {
                // Its intent stays; its processes are killed, and what came of it stands in the ledger when the run goes on.
                kill.count(&namespace, Stopped::ToolCall);
                return self.quiet().await;
            }
        };
        crash::point("effect.tool.after");
        let took = before.elapsed();
        let (observation, content) = match answer {
            Answer::Got(Some(outcome)) => {
                let wire::Outcome { status, content, output_bytes, exit_code, duration_ms, commit, truncated: _ } = outcome;
                let word = match status {
                    wire::Status::Ok => "ok",
                    wire::Status::Error => "error",
                    wire::Status::Timeout => "timeout",
                    wire::Status::Killed => "killed",
                    wire::Status::Halted => "halted",
                };
                telemetry::ToolCalled { run: &self.name(), tool: tool.as_str(), status: word, took: Duration::from_millis(duration_ms) }
                    .emit();
                (Observation::Ran { status, exit_code, output_bytes, duration_ms, commit }, content)
            }
            Answer::Got(None) => {
                (Observation::Unknown, "Whether this ran to its end cannot be known: its sandbox has no outcome for it.".to_owned())
            }
            Answer::Refused(why) => (Observation::Invalid, why),
            Answer::Lost(reason, message) => return self.lost(reason, message).await,
        };
        let used = match &observation {
            Observation::Ran { duration_ms, .. } => Some(budget::of_call(Duration::from_millis(*duration_ms))),
            // It never ran.
            Observation::Invalid | Observation::Denied | Observation::Answered | Observation::Refused => Some(budget::of_refusal(took)),
            Observation::Unknown => None,
        };
        self.log.stage(&Actor::Sandbox, Event::ToolResult(ToolEnded { key, call_id, observation, content }))?;
        self.settle(used)
    }

    pub(super) async fn checkpoint(&mut self) -> Result<(), Error> {
        let step = self.log.state().step;
        self.log.stage(&Actor::Operator, Event::CheckpointRequested { step })?;
        self.commit().await?;
        let Some(_acting) = self.act() else { return Ok(()) };
        crash::point("effect.checkpoint.before");
        let (kill, namespace) = (std::sync::Arc::clone(&self.context.kill), self.namespace());
        let packed = tokio::select! {
            biased;
            packed = self.pack() => packed?,
            // Packing is repeated when the run goes on.
            () = kill.engaged(&namespace) => return self.quiet().await,
        };
        let workspace = match packed {
            Answer::Got(workspace) => workspace,
            Answer::Refused(why) => return self.lost(EndReason::WorkspaceInvalid, why).await,
            Answer::Lost(reason, message) => return self.lost(reason, message).await,
        };
        crash::point("effect.checkpoint.after");
        match self.log.stage(&Actor::Sandbox, Event::Checkpoint(Box::new(CheckpointTaken { step, workspace }))) {
            Err(Error::TooLarge { bytes, .. }) => {
                let why = format!("the names of the changed files come to {bytes} bytes, the most is {MAX_EVENT_BODY_BYTES}");
                self.lost(EndReason::WorkspaceInvalid, why).await
            }
            staged => staged,
        }
    }

    /// Who asks for tool calls: a model, or in an acceptance run whoever wrote the commands.
    fn asker(&self) -> Actor {
        match self.log.state().started.as_ref() {
            Some(started) if started.spec.role.asks_no_model() => Actor::Person(started.requested_by.clone()),
            Some(_) | None => Actor::Model,
        }
    }

    /// Namespace of the run.
    pub(super) fn namespace(&self) -> String {
        self.seen().metadata.namespace.clone().unwrap_or_default()
    }

    /// Namespace and name, for log lines.
    pub(super) fn name(&self) -> String {
        let object = self.seen();
        format!("{}/{}", object.metadata.namespace.as_deref().unwrap_or_default(), object.metadata.name.as_deref().unwrap_or_default())
    }
}
