//! Takes secrets out before anything is hashed, journaled, shown or logged.
//!
//! Two rules, applied in this order: the values of Secrets that the operator has read, in each form that programs commonly write a value in
//! (`forms`), then well-known token shapes. Redaction is deterministic and idempotent, so digests over the redacted form are stable.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::journal::{Event, ModelAnswered};
use crate::model::Arguments;

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// Values shorter than this are not masked by value: they would blank out ordinary text.
const SHORTEST_VALUE: usize = 8;

/// Token shapes that are secrets wherever they occur: their publishers gave them a prefix for this purpose.
///
/// A word is one of ASCII: a token behind a letter of any other script is one too, and a text in that script is searched as fast as any.
static SHAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        // Not within a word, or every `task-…` and `risk-…` would be one.
        r"(?:(?-u:\b{start-half})|_)sk-[A-Za-z0-9_-]{20,}", // OpenAI, Anthropic
        r"|(?-u:\b)(?:",
        r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}",  // GitHub
        r"|glpat-[A-Za-z0-9_-]{20,}",                                // GitLab
        r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b)",                       // AWS access key id, lasting and temporary
        r"|AIza[A-Za-z0-9_-]{35}",                                   // Google
        r"|npm_[A-Za-z0-9]{36}(?-u:\b)",                             // npm
        r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}", // Slack
        r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", // JWT
        r")",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)", // also one cut short
    ))
    .ok()
});

/// A name and a password in a URL (RFC 3986, section 3.2.1); in that of a web server a name alone too, which is a token more often than not.
/// Scheme and host stay: they say where something failed.
static CREDENTIALS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // Quotes and angle brackets end a URL in whatever it is quoted in.
    Regex::new(r#"(?-u:\b)(?:(?<web>https?://)[^\s/?#@"<>\\]+@|(?<other>[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#@:"<>\\]*:[^\s/?#@"<>\\]*@)"#)
        .ok()
});

/// Knows which values to hide.
#[derive(Clone, Default)]
pub struct Redactor {
    /// In each of their forms. Longest first, so that a value that contains another is masked whole.
    values: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} values)", self.values.len())
    }
}

impl Redactor {
    /// A redactor for these secret values.
    pub fn new(values: impl IntoIterator<Item = String>) -> Redactor {
        // A value that stands in the mask would be masked in it for ever.
        let mut values: Vec<String> = values
            .into_iter()
            .filter(|value| value.trim().len() >= SHORTEST_VALUE)
            .flat_map(|value| forms::of(value.trim()))
            .filter(|form| form.len() >= SHORTEST_VALUE && !MASK.contains(form.as_str()))
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Redactor { values }
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for value in &self.values {
            if clean.contains(value.as_str()) {
                clean = clean.replace(value.as_str(), MASK);
            }
        }
        match (SHAPES.as_ref(), CREDENTIALS.as_ref()) {
            (Some(shapes), Some(credentials)) => {
                let clean = shapes.replace_all(&clean, MASK);
                credentials.replace_all(&clean, format!("${{web}}${{other}}{MASK}@")).into_owned()
            }
            (None, _) | (_, None) => MASK.to_owned(),
        }
    }

    /// The event with every free text in it cleaned: what people, models and tools wrote.
    ///
    /// Guarantees: names, UIDs, keys, digests and tags stay as they are, whatever values are to be hidden, so an event keeps its kind, its
    /// form and its place in the fold.
    pub fn event(&self, mut event: Event) -> Event {
        match &mut event {
            Event::RunStarted(started) => {
                let spec = &mut started.spec;
                self.clean([&mut spec.objective, &mut spec.system_prompt]);
                self.clean(spec.commands.iter_mut().flat_map(|command| &mut command.argv));
            }
            Event::ModelResponse(ModelAnswered::Answer { response, .. }) => {
                self.clean([&mut response.text, &mut response.model]);
                for call in &mut response.tool_calls {
                    self.clean([&mut call.id, &mut call.name]);
                    match &mut call.arguments {
                        Arguments::Json(value) => *value = self.value(value),
                        Arguments::Invalid(text) => self.clean([text]),
                    }
                }
            }
            Event::ModelResponse(ModelAnswered::Failure { message, .. }) => self.clean([message]),
            Event::ThoughtSummary { text } => self.clean([text]),
            Event::ToolRequested(asked) => {
                asked.arguments = self.value(&asked.arguments);
                if let Some(canonical) = &mut asked.canonical {
                    canonical.arguments = self.value(&canonical.arguments);
                    self.clean(&mut canonical.argv);
                    self.clean(canonical.paths.iter_mut().map(|touched| &mut touched.path));
                    self.clean(canonical.program.iter_mut().map(|program| &mut program.path));
                }
            }
            Event::PolicyDecision(judgement) => self.clean([&mut judgement.reason]),
            Event::ToolResult(ended) => self.clean([&mut ended.content]),
            Event::ApprovalRequested(asked) => self.clean([&mut asked.delta]),
            Event::ApprovalVote(vote) => self.clean(vote.reason.iter_mut().chain(&mut vote.refused)),
            Event::ApprovalSettled(settled) => self.clean([&mut settled.message]),
            Event::RunSuspended(why) => self.clean([&mut why.message]),
            Event::Kill(seen) => self.clean([&mut seen.reason]),
            Event::Reflect(reflection) => self.clean(&mut reflection.advice),
            Event::RunFinished(finished) => {
                self.clean([&mut finished.message]);
                self.clean(finished.tasks.iter_mut().map(|task| &mut task.description));
            }
            Event::SandboxRequested(_)
            | Event::SandboxReady(_)
            | Event::WorkspaceRequested { .. }
            | Event::WorkspaceLoaded(_)
            | Event::ModelRequest(_)
            | Event::CheckpointRequested { .. }
            | Event::Checkpoint(_)
            | Event::ApprovalCreated(_)
            | Event::ApprovalConsumed(_)
            | Event::BudgetReserved(_)
            | Event::BudgetSettled(_)
            | Event::RunResumed(_)
            | Event::PolicyActivated(_)
            | Event::BudgetLimited(_)
            | Event::KeyIntroduced(_)
            | Event::KeyRotated(_)
            | Event::JournalAnchored(_)
            | Event::RunArchived(_)
            | Event::LeaseTaken { .. } => {}
        }
        event
    }

    fn clean<'a>(&self, texts: impl IntoIterator<Item = &'a mut String>) {
        for text in texts {
            *text = self.text(text);
        }
    }

    /// The value with every string in it cleaned, names of fields too: a model may write a secret there as well as anywhere.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect()),
            Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (self.text(key), self.value(value))).collect()),
        }
    }
}

mod forms;

#[cfg(test)]
mod tests;
