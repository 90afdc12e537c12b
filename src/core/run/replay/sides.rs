//! A divergence, both sides of it.

use serde_json::Value;

use super::Stopped;
use super::take::Otherwise;
use crate::journal::{Event, Row};
use crate::run::FoldError;

/// Characters of a field that are shown: enough for a digest or a sentence.
const SHOWN_CHARS: usize = 240;
/// Fields that are shown.
const SHOWN_FIELDS: usize = 12;

/// The first row that today's code would not have written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// Position in the run.
    pub seq: u64,
    /// Time of the row.
    pub time: String,
    /// What the journal has.
    pub recorded: Side,
    /// What today's code would do.
    pub today: Side,
    /// Where both are rows of one kind: the fields in which they differ.
    pub differences: Vec<Difference>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// A row by its kind, or a step in words.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its path in the body.
    pub field: String,
    /// As recorded.
    pub recorded: String,
    /// As it would be.
    pub today: String,
}

pub(super) fn diverged(row: &Row, event: &Event, today: Otherwise) -> Stopped {
    let Otherwise { event: would, words } = today;
    let same_kind = would.as_ref().filter(|would| would.kind() == event.kind());
    let differences = same_kind.map(|would| differences(event, would)).unwrap_or_default();
    let today = match &would {
        Some(would) => Side { what: format!("would append {}", would.kind()), why: reason(would).unwrap_or(words) },
        None => Side { what: words, why: "of the rows before it".to_owned() },
    };
    let recorded = Side { what: event.kind().to_owned(), why: reason(event).unwrap_or_else(|| format!("by {}", row.actor)) };
    Stopped::Diverged(Box::new(Divergence { seq: row.seq.0, time: row.time.clone(), recorded, today, differences }))
}

pub(super) fn unfolded(row: &Row, event: &Event, error: &FoldError) -> Stopped {
    let recorded = Side { what: event.kind().to_owned(), why: reason(event).unwrap_or_else(|| format!("by {}", row.actor)) };
    let today = Side { what: "cannot take the row in".to_owned(), why: error.to_string() };
    Stopped::Diverged(Box::new(Divergence { seq: row.seq.0, time: row.time.clone(), recorded, today, differences: Vec::new() }))
}

/// The reason that a row gives, if it gives one.
fn reason(event: &Event) -> Option<String> {
    let text = match event {
        Event::PolicyDecision(judgement) => format!("{:?}: {}", judgement.verdict, judgement.reason),
        Event::ToolResult(ended) => ended.content.clone(),
        Event::Reflect(reflection) => reflection.advice.clone()?,
        Event::ApprovalSettled(settled) => format!("{}: {}", settled.phase.as_str(), settled.message),
        Event::ApprovalVote(vote) => vote.refused.clone()?,
        Event::RunSuspended(why) => format!("{}: {}", why.cause.as_str(), why.message),
        Event::RunFinished(finished) => format!("{}: {}", finished.reason.as_str(), finished.message),
        Event::ModelRequest(asked) => format!("step {} asks {} of {}", asked.step, asked.model, asked.provider),
        Event::RunStarted(_)
        | Event::SandboxRequested(_)
        | Event::SandboxReady(_)
        | Event::WorkspaceRequested { .. }
        | Event::WorkspaceLoaded(_)
        | Event::ModelResponse(_)
        | Event::ThoughtSummary { .. }
        | Event::ToolRequested(_)
        | Event::CheckpointRequested { .. }
        | Event::Checkpoint(_)
        | Event::ApprovalRequested(_)
        | Event::ApprovalCreated(_)
        | Event::ApprovalConsumed(_)
        | Event::BudgetReserved(_)
        | Event::BudgetSettled(_)
        | Event::RunResumed(_)
        | Event::PolicyActivated(_)
        | Event::BudgetLimited(_)
        | Event::Kill(_)
        | Event::KeyIntroduced(_)
        | Event::KeyRotated(_)
        | Event::JournalAnchored(_)
        | Event::RunArchived(_)
        | Event::LeaseTaken { .. } => return None,
    };
    Some(clip(&text))
}

fn differences(recorded: &Event, today: &Event) -> Vec<Difference> {
    let body = |event: &Event| serde_json::to_value(event).ok().and_then(|mut value| value.get_mut("body").map(Value::take));
    let mut found = Vec::new();
    compare("", &body(recorded).unwrap_or_default(), &body(today).unwrap_or_default(), &mut found);
    found
}

fn compare(path: &str, recorded: &Value, today: &Value, found: &mut Vec<Difference>) {
    if recorded == today || found.len() >= SHOWN_FIELDS {
        return;
    }
    match (recorded, today) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                compare(&below, &of(left), &of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        (left, right) => found.push(Difference { field: path.to_owned(), recorded: shown(left), today: shown(right) }),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => clip(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => clip(&value.to_string()),
    }
}

fn clip(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS - 1).collect();
    format!("{start}…")
}
