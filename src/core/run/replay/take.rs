//! One row, held against what today's code would do.

use std::cell::OnceCell;

use jiff::Timestamp;

use super::today::{row_of, words};
use crate::journal::{
    BudgetReserved, BudgetSettled, Cause, Event, Judgement, ModelAnswered, Observation, RunFinished, ToolAsked, ToolEnded,
};
use crate::policy::{Texts, judge_again};
use crate::redact::MASK;
use crate::run::conversation::RequestForm;
use crate::run::judged::{MASKED, facts};
use crate::run::{CallStage, EndReason, InFlight, RunState, Sandbox, Step, asked, control, ended, next};
use crate::tool::ToolName;

/// What a row is.
#[derive(Debug)]
pub(super) enum Took {
    /// Reeve decides it, and it came out again. `due` has to follow it.
    Command { due: Option<Box<Event>> },
    /// The world decides it.
    Outcome,
    /// A policy decision that came out again.
    Judged,
    /// A policy decision that cannot be judged again.
    Unjudged(String),
}

/// What today's code would do instead.
#[derive(Debug)]
pub(super) struct Otherwise {
    pub(super) event: Option<Box<Event>>,
    pub(super) words: String,
}

/// Where a run stands before a row.
pub(super) struct Before<'a> {
    pub(super) state: &'a RunState,
    pub(super) form: &'a RequestForm,
    /// See [`Before::step`]: many rows are judged without it.
    pub(super) step: OnceCell<Step>,
    /// Time of the decision.
    pub(super) at: Timestamp,
    /// Time of the row before: no decision about this row was made earlier.
    pub(super) since: Timestamp,
    /// Time of the row.
    pub(super) now: Timestamp,
    pub(super) last: Option<&'a Event>,
    pub(super) due: Option<&'a Event>,
    pub(super) outcome: Option<&'a Event>,
    pub(super) texts: &'a Texts,
}

const COMMAND: Took = Took::Command { due: None };

impl Before<'_> {
    pub(super) fn take(&self, event: &Event) -> Result<Took, Otherwise> {
        if let Some(due) = self.due {
            return if due == event { Ok(COMMAND) } else { Err(instead(due.clone())) };
        }
        match event {
            Event::RunStarted(_) => self.outcome_if(matches!(self.step(), Step::Begin)),
            Event::SandboxRequested(_)
            | Event::WorkspaceRequested { .. }
            | Event::CheckpointRequested { .. }
            | Event::ModelRequest(_)
            | Event::Reflect(_)
            | Event::ThoughtSummary { .. } => self.command(event),
            Event::SandboxReady(_) => self.outcome_if(self.state.sandbox == Sandbox::Requested),
            Event::WorkspaceLoaded(_) => self.outcome_if(matches!(self.last, Some(Event::WorkspaceRequested { .. }))),
            Event::ModelResponse(_) => self.outcome_if(self.state.in_flight == Some(InFlight::Model)),
            Event::Checkpoint(taken) => {
                self.outcome_if(self.state.in_flight == Some(InFlight::Checkpoint) && taken.step == self.state.step)
            }
            Event::ToolRequested(asked) => self.tool_requested(asked),
            Event::PolicyDecision(judgement) => self.decision(judgement),
            Event::ToolResult(ended) => self.tool_result(ended),
            Event::ApprovalRequested(_)
            | Event::ApprovalCreated(_)
            | Event::ApprovalVote(_)
            | Event::ApprovalSettled(_)
            | Event::ApprovalConsumed(_) => self.approval(event),
            Event::BudgetReserved(reserved) => self.reserved(reserved),
            Event::BudgetSettled(settled) => self.settled(settled),
            Event::RunSuspended(why) => {
                let poor = matches!(self.step(), Step::CallModel { .. } | Step::CallTool { .. }) && self.spends();
                self.outcome_if(!self.state.gates.pauses.contains_key(&why.cause) && (why.cause != Cause::Budget || poor))
            }
            Event::RunResumed(gone) => self.outcome_if(self.state.gates.pauses.contains_key(&gone.cause)),
            Event::RunFinished(finished) => self.finished(finished),
            // The fold says what is wrong with them.
            Event::PolicyActivated(_)
            | Event::BudgetLimited(_)
            | Event::Kill(_)
            | Event::KeyIntroduced(_)
            | Event::KeyRotated(_)
            | Event::JournalAnchored(_)
            | Event::LeaseTaken { .. } => Ok(Took::Outcome),
        }
    }

    /// What today's code would do.
    pub(super) fn step(&self) -> &Step {
        self.step.get_or_init(|| next(self.state, self.at))
    }

    /// The row that today's code would append now.
    pub(super) fn row_at(&self, now: Timestamp) -> Option<Event> {
        row_of(self.state, self.form, self.step(), now)
    }

    fn spends(&self) -> bool {
        self.state.started.as_ref().is_some_and(|started| started.spec.budget.is_some())
    }

    pub(super) fn otherwise(&self) -> Otherwise {
        Otherwise { event: self.row_at(self.now).map(Box::new), words: words(self.state, self.step()) }
    }

    pub(super) fn outcome_if(&self, due: bool) -> Result<Took, Otherwise> {
        if due { Ok(Took::Outcome) } else { Err(self.otherwise()) }
    }

    /// Whether this very row would be appended.
    pub(super) fn command(&self, event: &Event) -> Result<Took, Otherwise> {
        match self.row_at(self.now) {
            Some(want) if want == *event => Ok(COMMAND),
            Some(_) | None => Err(self.otherwise()),
        }
    }

    fn tool_requested(&self, recorded: &ToolAsked) -> Result<Took, Otherwise> {
        // Arguments that did not fit a row: their size stands for them, and the call is refused.
        let too_large = recorded.canonical.is_none()
            && matches!(&recorded.arguments, serde_json::Value::String(text) if text.ends_with("too many for the journal"));
        let like = |want: ToolAsked| if too_large { ToolAsked { arguments: recorded.arguments.clone(), ..want } } else { want };
        if let Step::Refuse(want, result) = self.step() {
            let due = Some(Box::new(Event::ToolResult(result.clone())));
            return if like(want.clone()) == *recorded { Ok(Took::Command { due }) } else { Err(self.otherwise()) };
        }
        let Step::Decide(call) = self.step() else { return Err(self.otherwise()) };
        let canonical = match ToolName::parse(&call.call.name) {
            Some(tool) if tool.is_control() && !too_large => Some(control(tool, &call.call.arguments)),
            // The sandbox's words; what tool it is are not.
            Some(tool) if recorded.canonical.as_ref().is_none_or(|canonical| canonical.tool == tool) => recorded.canonical.clone(),
            Some(_) | None => None,
        };
        let want = like(asked(call, canonical));
        if call.stage == CallStage::Wanted && want == *recorded { Ok(COMMAND) } else { Err(instead(Event::ToolRequested(want))) }
    }

    fn decision(&self, recorded: &Judgement) -> Result<Took, Otherwise> {
        let human = match (self.last, self.step()) {
            (Some(Event::ApprovalConsumed(consumed)), _) => consumed.by.len(),
            (_, Step::Decide(call)) if call.stage != CallStage::Wanted => 0,
            (Some(_) | None, _) => return Err(self.otherwise()),
        };
        let Some((facts, masked)) = facts(self.state, u32::try_from(human).unwrap_or(u32::MAX)) else { return Err(self.otherwise()) };
        if masked {
            return Ok(Took::Unjudged(MASKED.to_owned()));
        }
        match judge_again(self.texts, recorded, &facts, None) {
            Ok(mut today) => {
                if recorded.reason.contains(MASK) {
                    today.reason.clone_from(&recorded.reason);
                }
                if today == *recorded { Ok(Took::Judged) } else { Err(instead(Event::PolicyDecision(today))) }
            }
            Err(why) => Ok(Took::Unjudged(why)),
        }
    }

    fn tool_result(&self, recorded: &ToolEnded) -> Result<Took, Otherwise> {
        let Some(call) = self.state.pending.front() else { return Err(self.otherwise()) };
        let ours = call.key == recorded.key && call.call.id == recorded.call_id;
        let unresolved = matches!(self.last, Some(Event::ToolRequested(asked)) if asked.canonical.is_none());
        if unresolved {
            return self.outcome_if(ours && recorded.observation == Observation::Invalid);
        }
        // What was in flight when the sandbox was lost.
        if recorded.observation == Observation::Unknown && self.state.call_in_flight().is_some() {
            return self.outcome_if(ours);
        }
        // What was approved is not what is there any more: the approval was just settled for it.
        if let (Observation::Refused, Some(Event::ApprovalSettled(settled))) = (&recorded.observation, self.last) {
            let content = format!("Not done: {} Ask for it again if it is still wanted.", settled.message);
            let want = Event::ToolResult(ended(call, Observation::Refused, content));
            return if want == Event::ToolResult(recorded.clone()) { Ok(COMMAND) } else { Err(instead(want)) };
        }
        let approved = call.approval.as_ref().is_some_and(|approval| approval.consumed.is_some());
        match self.step() {
            Step::CallTool { .. } => self.outcome_if(
                ours && match recorded.observation {
                    Observation::Ran { .. } | Observation::Invalid | Observation::Unknown => true,
                    Observation::Refused => approved,
                    Observation::Denied | Observation::Answered => false,
                },
            ),
            Step::Merge { proposal, .. } if recorded.observation == Observation::Answered => {
                let want = Event::ToolResult(ended(call, Observation::Answered, format!("{} is merged.", proposal.head_commit)));
                if want == Event::ToolResult(recorded.clone()) { Ok(COMMAND) } else { Err(instead(want)) }
            }
            Step::Merge { .. } => self.outcome_if(ours && approved && recorded.observation == Observation::Refused),
            Step::AwaitAnswer { .. } => self.outcome_if(ours && recorded.observation == Observation::Answered),
            Step::Begin
            | Step::StartSandbox
            | Step::LoadWorkspace
            | Step::CallModel { .. }
            | Step::Decide(_)
            | Step::Refuse(..)
            | Step::AskApproval { .. }
            | Step::AwaitApproval(_)
            | Step::UseApproval(_)
            | Step::SettleInFull(_)
            | Step::Checkpoint
            | Step::Answer(_)
            | Step::Reflect(_)
            | Step::End(_)
            | Step::Wait
            | Step::Done => self.command(&Event::ToolResult(recorded.clone())),
        }
    }

    /// What is held: all but the time is decided by the rows before.
    fn reserved(&self, recorded: &BudgetReserved) -> Result<Took, Otherwise> {
        let Some(Event::BudgetReserved(mut want)) = self.row_at(self.now) else { return Err(self.otherwise()) };
        want.amounts.runtime_ms = recorded.amounts.runtime_ms.min(want.amounts.runtime_ms);
        if want == *recorded { Ok(COMMAND) } else { Err(instead(Event::BudgetReserved(want))) }
    }

    /// What was spent: all but the time is decided by what came of the effect.
    fn settled(&self, recorded: &BudgetSettled) -> Result<Took, Otherwise> {
        let Some(open) = &self.state.gates.reserved else { return Err(self.otherwise()) };
        let price = self.state.started.as_ref().and_then(|started| started.spec.prices.get(self.state.route)).copied().unwrap_or_default();
        let none = crate::budget::Amounts::default();
        // None: nobody knows, so it counts in full.
        let used = match self.outcome {
            Some(Event::ModelResponse(ModelAnswered::Answer { response, .. })) => {
                Some(crate::budget::of_answer(&response.usage, &price, 0))
            }
            Some(Event::ModelResponse(ModelAnswered::Failure { sent, .. })) => (!sent).then_some(none),
            Some(Event::ToolResult(ended)) => match ended.observation {
                Observation::Ran { .. } => Some(crate::budget::Amounts { tool_calls: 1, ..none }),
                Observation::Unknown => None,
                Observation::Invalid | Observation::Denied | Observation::Answered | Observation::Refused => Some(none),
            },
            // Nothing came of it: it was cut off, or nothing was sent.
            Some(_) | None => (!recorded.in_full).then_some(none),
        };
        let want = BudgetSettled {
            account: open.account.clone(),
            key: open.key.clone(),
            used: match used {
                Some(used) => crate::budget::Amounts { runtime_ms: recorded.used.runtime_ms.min(open.amounts.runtime_ms), ..used },
                None => open.amounts,
            },
            in_full: used.is_none(),
        };
        if want == *recorded { Ok(COMMAND) } else { Err(instead(Event::BudgetSettled(want))) }
    }

    fn finished(&self, recorded: &RunFinished) -> Result<Took, Otherwise> {
        let want = if let Step::End(ending) = self.step() { Some(ending.clone().finished(recorded.at)) } else { None };
        if want.as_ref() == Some(recorded) {
            return Ok(COMMAND);
        }
        let role = self.state.started.as_ref().map(|started| started.spec.role);
        let lost = match recorded.reason {
            EndReason::SandboxUnavailable
            | EndReason::SandboxLost
            | EndReason::SandboxDegraded
            | EndReason::WorkspaceInvalid
            | EndReason::DeadlineExceeded => role.is_some_and(|role| role.has_sandbox()) && self.state.sandbox != Sandbox::None,
            // A bug of the release that wrote it, contained then.
            EndReason::InternalError => true,
            EndReason::Finished
            | EndReason::AcceptanceFailed
            | EndReason::StepLimitReached
            | EndReason::ToolCallLimitReached
            | EndReason::OutputLimitReached
            | EndReason::RepeatedCall
            | EndReason::ModelUseless
            | EndReason::TranscriptMiss
            | EndReason::ModelFailed
            | EndReason::JournalLost
            | EndReason::MergeRefused => false,
        };
        // The sandbox is the world's; that the time is up is the clock's, which the rows show.
        let by_clock = recorded.reason == EndReason::DeadlineExceeded && recorded.message.starts_with("The run ");
        if lost && !by_clock && !recorded.succeeded {
            return Ok(Took::Outcome);
        }
        Err(want.map_or_else(|| self.otherwise(), |want| instead(Event::RunFinished(want))))
    }
}

pub(super) fn instead(event: Event) -> Otherwise {
    Otherwise { words: format!("would append {}", event.kind()), event: Some(Box::new(event)) }
}
