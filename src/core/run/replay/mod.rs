//! What today's code would have done where the journal says what was done.
//!
//! ```text
//! row → fold so far, `next` at the row's time → a row that Reeve decides: must come out again, field by field
//!                                             → an outcome (an answer, a result, a vote): is taken as recorded, where one is due
//!                                             → a policy decision: judged again by the texts that it names
//! ```
//!
//! Architecture invariant: no effect. Nothing is asked, called, reserved or written; the same rows always give the same answer.
//! (`a_recorded_run_comes_out_the_same`, `a_changed_row_is_found_at_its_seq`)
//!
//! What this does not hold: an outcome is believed. That rows are those that were written is `verify`'s to say.

mod sides;
mod take;
mod today;
mod votes;

use jiff::Timestamp;

pub use sides::{Difference, Divergence, Side};
use take::{Before, Took};

use super::conversation::RequestForm;
use super::{Branch, RunState, Step, next};
use crate::Digest;
use crate::journal::{Event, ModelAnswered, ModelAsked, Row};
use crate::policy::Texts;

/// A decision that could not be judged again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unjudged {
    /// Its row.
    pub seq: u64,
    /// Why.
    pub why: String,
}

/// A run that came out the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Rows read.
    pub rows: u64,
    /// Rows that Reeve decides, and that came out again.
    pub commands: u64,
    /// Rows that the world decides, taken as recorded.
    pub outcomes: u64,
    /// Policy decisions that came out again.
    pub judged: u64,
    /// Policy decisions that could not be judged again.
    pub unjudged: Vec<Unjudged>,
    /// Whether the run has its last row.
    pub finished: bool,
    /// What would be done after the last row, in a line.
    pub next: String,
}

/// Why a replay goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Today's code would have done something else.
    #[error("row {}: the journal has {}; today's code {}", .0.seq, .0.recorded.what, .0.today.what)]
    Diverged(Box<Divergence>),
    /// The row is none that today's code can read.
    #[error("row {seq} cannot be read: {why}")]
    Unreadable {
        /// The row.
        seq: u64,
        /// Why.
        why: String,
    },
}

/// A run that is replayed row by row, in memory that grows with the conversation only.
#[derive(Debug)]
pub struct Replay {
    state: RunState,
    form: RequestForm,
    since: Option<Timestamp>,
    last: Option<Event>,
    /// The row that has to follow, where one was staged together with its successor.
    due: Option<Event>,
    /// What came of the effect for which something is reserved.
    outcome: Option<Event>,
    said: Replayed,
}

impl Replay {
    /// A run of this UID, before its first row.
    pub fn new(uid: &str) -> Replay {
        Replay::with(uid, None)
    }

    /// A run of this UID, before its first row, and what it goes on from if it was forked: its parent's rows are not replayed again.
    pub fn with(uid: &str, branch: Option<Branch>) -> Replay {
        Replay {
            state: RunState::with(uid, branch),
            form: RequestForm::default(),
            since: None,
            last: None,
            due: None,
            outcome: None,
            said: Replayed::default(),
        }
    }

    /// Takes in the next row of the run.
    ///
    /// # Errors
    /// [`Stopped`]; the replay is then not to be used.
    pub fn row(&mut self, texts: &Texts, row: &Row) -> Result<(), Stopped> {
        let unreadable = |why: String| Stopped::Unreadable { seq: row.seq.0, why };
        let event = row.event().map_err(|error| unreadable(error.to_string()))?;
        let at: Timestamp = row.time.parse().map_err(|error: jiff::Error| unreadable(format!("its time {:?}: {error}", row.time)))?;
        if row.seq.0 != self.said.rows + 1 {
            return Err(unreadable(format!("expected row {} of the run: rows are missing", self.said.rows + 1)));
        }
        let took = self.take(texts, at, &event).map_err(|today| sides::diverged(row, &event, today))?;
        self.state.apply(row.seq, at, &event).map_err(|error| sides::unfolded(row, &event, &error))?;
        self.form.grow(&self.state);
        self.said.rows += 1;
        match took {
            Took::Command { due } => {
                self.said.commands += 1;
                self.due = due.map(|due| *due);
            }
            Took::Outcome => {
                self.said.outcomes += 1;
                self.due = spoken(&event);
            }
            Took::Judged => {
                self.said.judged += 1;
                self.due = None;
            }
            Took::Unjudged(why) => {
                self.said.unjudged.push(Unjudged { seq: row.seq.0, why });
                self.due = None;
            }
        }
        self.keep_outcome(&event);
        self.since = Some(at);
        self.last = Some(event);
        Ok(())
    }

    /// Decides at the row's time, and where that does not fit at the times at which it may have been decided: after the row before.
    ///
    /// Only the clock can make a difference between the two, and it ends a run: whoever decided just in time wrote just after it.
    fn take(&self, texts: &Texts, at: Timestamp, event: &Event) -> Result<Took, take::Otherwise> {
        let before = |now: Timestamp| Before {
            state: &self.state,
            form: &self.form,
            step: std::cell::OnceCell::new(),
            at: now,
            since: self.since.unwrap_or(now),
            now: at,
            last: self.last.as_ref(),
            due: self.due.as_ref(),
            outcome: self.outcome.as_ref(),
            texts,
        };
        let first = before(at);
        let otherwise = match first.take(event) {
            Ok(took) => return Ok(took),
            Err(otherwise) if !matches!(first.step(), Step::End(_)) => return Err(otherwise),
            Err(otherwise) => otherwise,
        };
        // The end's message counts seconds, so each of them is tried, as far back as an API call between may take.
        let since = self.since.unwrap_or(at);
        let seconds = (1..=LONGEST_BETWEEN_SECONDS).filter_map(|back| Timestamp::from_second(at.as_second() - back).ok());
        let times = seconds.take_while(|time| *time > since).chain([since]);
        times.map(before).find_map(|before| before.take(event).ok()).ok_or(otherwise)
    }

    fn keep_outcome(&mut self, event: &Event) {
        if matches!(event, Event::BudgetReserved(_) | Event::BudgetSettled(_)) {
            self.outcome = None;
        } else if matches!(event, Event::ModelResponse(_) | Event::ToolResult(_)) {
            self.outcome = Some(event.clone());
        }
    }

    /// What came out. Call it after the last row.
    pub fn finish(mut self) -> Replayed {
        self.said.finished = self.state.finished.is_some();
        self.said.next = match self.since {
            Some(at) => today::words(&self.state, &next(&self.state, at)),
            None => "no row".to_owned(),
        };
        self.said
    }
}

/// Seconds between a decision to end a run and its row: an API write, retried.
const LONGEST_BETWEEN_SECONDS: i64 = 120;

/// What was said with an answer stands in a row of its own, staged together with it.
fn spoken(event: &Event) -> Option<Event> {
    let Event::ModelResponse(ModelAnswered::Answer { response, .. }) = event else { return None };
    (!response.text.trim().is_empty()).then(|| Event::ThoughtSummary { text: response.text.clone() })
}

/// The body of `model.request` for a step that asks.
///
/// # Errors
/// When an argument in the conversation is a number without a canonical form.
pub fn model_asked(
    state: &RunState,
    request: &crate::model::ModelRequest,
    step: u32,
    route: usize,
) -> Result<ModelAsked, serde_json::Error> {
    Ok(asked_by(state, step, route, request.digest()?, request.messages.len()))
}

fn asked_by(state: &RunState, step: u32, route: usize, digest: Digest, messages: usize) -> ModelAsked {
    let named = state.started.as_ref().and_then(|started| started.spec.routes.get(route)).cloned();
    let (provider, model) = named.unwrap_or_default();
    ModelAsked { step, route, provider, model, digest, messages }
}
