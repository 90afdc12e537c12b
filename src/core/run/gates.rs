//! The fold of what holds a run up: causes to stand still, approvals, what is reserved, and the clock that stops meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::state::{CallStage, PendingCall};
use crate::approval;
use crate::journal::{BudgetReserved, Cause, Event, Judgement, Observation, ToolEnded, Verdict};
use crate::tool::ToolName;

/// What holds a run up, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    /// Why it stands still, each cause with a sentence.
    pub pauses: BTreeMap<Cause, String>,
    /// What is reserved for the effect in hand and not settled.
    pub reserved: Option<BudgetReserved>,
    /// Model requests journaled, those without an answer included: they number reservations.
    pub model_requests: u32,
    /// Answers in a row, on one route, of which nobody knows whether they were given.
    pub uncertain_in_a_row: u32,
    /// People whose approval the last action used.
    pub approved_by: Vec<String>,
    /// Paths that people let the run write, though they are protected.
    pub approved_paths: BTreeSet<String>,
    clock: Clock,
}

/// How long a run stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clock {
    still_since: Option<Timestamp>,
    still_ms: i64,
}

impl Gates {
    /// Milliseconds that it stood still until `now`, the current pause included.
    pub(super) fn still_ms(&self, now: Timestamp) -> i64 {
        self.clock.still_ms + self.pause_ms(now)
    }

    /// Milliseconds of the current pause.
    pub(super) fn pause_ms(&self, now: Timestamp) -> i64 {
        self.clock.still_since.map_or(0, |since| now.as_millisecond().saturating_sub(since.as_millisecond()).max(0))
    }

    /// Whether the clock stands.
    pub fn stands_still(&self) -> bool {
        self.clock.still_since.is_some()
    }

    pub(super) fn keep_time(&mut self, still: bool, at: Timestamp) {
        match (still, self.clock.still_since) {
            (true, None) => self.clock.still_since = Some(at),
            (false, Some(_)) => self.clock = Clock { still_since: None, still_ms: self.still_ms(at) },
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Keeps which protected paths people let the run write. Only as long as nothing else may have written them since: a program, or another
    /// write, and what people saw is no longer sure to be what is there.
    pub(super) fn on_result(&mut self, call: &PendingCall, ended: &ToolEnded) {
        let CallStage::Judged(canonical, _) = &call.stage else { return };
        if !matches!(ended.observation, Observation::Ran { .. }) {
            return;
        }
        let written = canonical.paths.iter().filter(|touched| touched.write).map(|touched| &touched.path);
        if matches!(canonical.tool, ToolName::ShellRun | ToolName::TestsRun) {
            self.approved_paths.clear();
        } else if call.approval.as_ref().is_some_and(|approval| approval.consumed.is_some()) {
            self.approved_paths.extend(written.cloned());
        } else {
            written.for_each(|path| {
                self.approved_paths.remove(path);
            });
        }
    }

    /// Takes in a row about a pause or a reservation; the words say why it cannot follow.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        if let Event::RunSuspended(why) = event {
            self.pauses.insert(why.cause, why.message.clone());
        } else if let Event::RunResumed(gone) = event {
            self.pauses.remove(&gone.cause);
        } else if let Event::BudgetReserved(reserved) = event {
            if self.reserved.is_some() {
                return Err("something is reserved already");
            }
            self.reserved = Some(reserved.clone());
        } else if let Event::BudgetSettled(settled) = event {
            if self.reserved.as_ref().map(|reserved| &reserved.key) != Some(&settled.key) {
                return Err("no such reservation is open");
            }
            self.reserved = None;
        } else {
            return Err("it is no row about a gate");
        }
        Ok(())
    }
}

impl PendingCall {
    /// People whose keys policy asks for, if it asks for any.
    pub fn keys_asked(&self) -> Option<u32> {
        match &self.stage {
            CallStage::Judged(_, judgement) => match judgement.verdict {
                Verdict::Ask { human } => Some(human),
                Verdict::Allow | Verdict::Deny => None,
            },
            CallStage::Wanted | CallStage::Requested(_) => None,
        }
    }

    /// Takes in a judgement: the first, or the one with the keys that were turned.
    pub(super) fn on_judgement(&mut self, judgement: &Judgement) -> Result<(), &'static str> {
        let used = self.approval.as_ref().is_some_and(|approval| approval.consumed.is_some());
        match &self.stage {
            CallStage::Requested(canonical) => self.stage = CallStage::Judged(canonical.clone(), judgement.clone()),
            CallStage::Judged(canonical, _) if used && self.keys_asked().is_some() => {
                self.stage = CallStage::Judged(canonical.clone(), judgement.clone());
            }
            CallStage::Judged(..) | CallStage::Wanted => return Err("no such call waits for a decision"),
        }
        Ok(())
    }

    /// Takes in a row about its approval; the words say why it cannot follow.
    pub(super) fn on_approval(&mut self, event: &Event) -> Result<(), &'static str> {
        if self.keys_asked().is_none() {
            return Err("the call in hand asks for no keys");
        }
        const ANOTHER: &str = "it is about another call";
        let ours = |key: &str| if key == self.key { Ok(()) } else { Err(ANOTHER) };
        if let Event::ApprovalRequested(asked) = event {
            ours(&asked.key)?;
            if self.approval.as_ref().is_some_and(|before| before.is_open()) {
                return Err("it is asked for already");
            }
            self.approval = Some(Box::new(approval::State::new((**asked).clone())));
        } else if let Event::ApprovalCreated(created) = event {
            ours(&created.key)?;
            self.open()?.created = Some(created.clone());
        } else if let Event::ApprovalVote(vote) = event {
            ours(&vote.key)?;
            self.open()?.votes.push(vote.clone());
        } else if let Event::ApprovalSettled(settled) = event {
            ours(&settled.key)?;
            self.open()?.settled = Some(settled.clone());
        } else if let Event::ApprovalConsumed(consumed) = event {
            ours(&consumed.key)?;
            self.open()?.consumed = Some(consumed.clone());
        } else {
            return Err(ANOTHER);
        }
        Ok(())
    }

    fn open(&mut self) -> Result<&mut approval::State, &'static str> {
        self.approval.as_deref_mut().filter(|approval| approval.is_open()).ok_or("no approval is open")
    }
}
