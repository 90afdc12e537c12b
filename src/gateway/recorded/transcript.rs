//! The transcript file: its syntax and what makes it valid.

use std::collections::BTreeMap;

use reeve_core::Digest;
use reeve_core::model::{Arguments, FinishReason, ModelFailure, Usage};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::arguments_from;

/// The version that this crate reads.
const VERSION: u64 = 1;
/// A transcript's text. A run of 1,000 steps with answers of 8 KiB each.
const MAX_TRANSCRIPT_BYTES: usize = 8 * 1024 * 1024;
/// What is shown of a parser's message, in characters.
const SHOWN_CHARS: usize = 500;

/// Why a text is no transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// More text than a transcript may have.
    #[error("transcript: expected at most {MAX_TRANSCRIPT_BYTES} bytes, found {found}; split it")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// A version of the format that is not known here.
    #[error("transcript: expected `version: {VERSION}`, found {found}; record it anew with this version of Reeve")]
    Version {
        /// What stands there.
        found: String,
    },
    /// Not YAML or JSON, or not of the shape.
    #[error("transcript: expected YAML or JSON in the transcript format, found: {reason}")]
    Unreadable {
        /// In the words of the parser, with line and column.
        reason: String,
    },
    /// A value that makes no sense where it stands.
    #[error("transcript: {place}: {reason}")]
    Invalid {
        /// Such as `lanes.planner[2].toolCalls[0]`.
        place: String,
        /// What was expected and what was found.
        reason: String,
    },
}

/// A valid transcript.
pub(super) enum Transcript {
    ByPosition(BTreeMap<String, Vec<Reply>>),
    ByDigest(BTreeMap<Digest, Reply>),
}

/// What is answered to one request.
pub(super) enum Reply {
    Answer(Recording),
    Error { failure: ModelFailure, message: String },
}

pub(super) struct Recording {
    pub(super) text: String,
    pub(super) calls: Vec<RecordedCall>,
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
}

pub(super) struct RecordedCall {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Arguments,
}

/// Read first and leniently: a later version has fields that this one would stumble over before it saw the number.
#[derive(Deserialize)]
struct Head {
    version: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u64,
    #[serde(rename = "match")]
    matching: Matching,
    lanes: Option<BTreeMap<String, Vec<EntryText>>>,
    answers: Option<BTreeMap<String, EntryText>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Matching {
    Position,
    Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EntryText {
    text: Option<String>,
    tool_calls: Option<Vec<CallText>>,
    finish_reason: Option<FinishReason>,
    usage: Option<UsageText>,
    model: Option<String>,
    error: Option<ErrorText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CallText {
    id: Option<String>,
    name: String,
    arguments: Option<Value>,
    arguments_text: Option<String>,
}

/// [`Usage`] with each part optional.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct UsageText {
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorText {
    failure: String,
    message: String,
}

/// What an `error` may name.
const FAILURES: [ModelFailure; 7] = [
    ModelFailure::TranscriptMiss,
    ModelFailure::Refused,
    ModelFailure::Unauthorized,
    ModelFailure::QuotaExhausted,
    ModelFailure::Unavailable,
    ModelFailure::ProviderNotReady,
    ModelFailure::Garbled,
];

impl Transcript {
    pub(super) fn parse(text: &str) -> Result<Transcript, TranscriptError> {
        if text.len() > MAX_TRANSCRIPT_BYTES {
            return Err(TranscriptError::TooLarge { found: text.len() });
        }
        let head: Head = read(text)?;
        match head.version {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(version) => return Err(TranscriptError::Version { found: shorten(&version.to_string()) }),
            None => return Err(TranscriptError::Version { found: "none".to_owned() }),
        }
        let file: File = read(text)?;
        match (file.matching, file.lanes, file.answers) {
            (Matching::Position, Some(lanes), None) => by_position(lanes).map(Transcript::ByPosition),
            (Matching::Digest, None, Some(answers)) => by_digest(answers).map(Transcript::ByDigest),
            (Matching::Position, _, _) => Err(invalid("match", "`position` needs `lanes` and excludes `answers`")),
            (Matching::Digest, _, _) => Err(invalid("match", "`digest` needs `answers` and excludes `lanes`")),
        }
    }
}

fn by_position(lanes: BTreeMap<String, Vec<EntryText>>) -> Result<BTreeMap<String, Vec<Reply>>, TranscriptError> {
    let lane = |(name, entries): (String, Vec<EntryText>)| {
        let entries = entries.into_iter().enumerate().map(|(index, text)| entry(&format!("lanes.{name}[{index}]"), text));
        let entries = entries.collect::<Result<_, _>>()?;
        Ok((name, entries))
    };
    lanes.into_iter().map(lane).collect()
}

fn by_digest(answers: BTreeMap<String, EntryText>) -> Result<BTreeMap<Digest, Reply>, TranscriptError> {
    let answer = |(key, text): (String, EntryText)| {
        let place = format!("answers.{}", shorten(&key));
        let digest = key.parse().map_err(|error| invalid(&place, format!("{error}")))?;
        Ok((digest, entry(&place, text)?))
    };
    answers.into_iter().map(answer).collect()
}

fn entry(place: &str, entry: EntryText) -> Result<Reply, TranscriptError> {
    let EntryText { text, tool_calls, finish_reason, usage, model, error } = entry;
    if let Some(error) = error {
        if text.is_some() || tool_calls.is_some() || finish_reason.is_some() || usage.is_some() || model.is_some() {
            return Err(invalid(place, "expected `error` alone, found other fields beside it"));
        }
        return failure(place, error);
    }
    if text.is_none() && tool_calls.is_none() {
        return Err(invalid(place, "expected `text`, `toolCalls` or `error`, found none of them"));
    }
    let calls = tool_calls.unwrap_or_default().into_iter().enumerate();
    let calls: Vec<RecordedCall> =
        calls.map(|(index, text)| call(&format!("{place}.toolCalls[{index}]"), text)).collect::<Result<_, _>>()?;
    let by_calls = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
    let UsageText { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens } = usage.unwrap_or_default();
    Ok(Reply::Answer(Recording {
        text: text.unwrap_or_default(),
        calls,
        finish_reason: finish_reason.unwrap_or(by_calls),
        usage: Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens },
        model,
    }))
}

fn failure(place: &str, error: ErrorText) -> Result<Reply, TranscriptError> {
    match FAILURES.into_iter().find(|failure| failure.as_str() == error.failure) {
        Some(failure) => Ok(Reply::Error { failure, message: error.message }),
        None => {
            let names: Vec<&str> = FAILURES.iter().map(|failure| failure.as_str()).collect();
            let reason = format!("expected one of {}, found {:?}", names.join(", "), shorten(&error.failure));
            Err(invalid(&format!("{place}.error.failure"), reason))
        }
    }
}

fn call(place: &str, call: CallText) -> Result<RecordedCall, TranscriptError> {
    let arguments = match (call.arguments, call.arguments_text) {
        (Some(_), Some(_)) => return Err(invalid(place, "expected `arguments` or `argumentsText`, found both")),
        (Some(value), None) => Arguments::Json(value),
        (None, Some(text)) => arguments_from(&text),
        (None, None) => arguments_from(""),
    };
    Ok(RecordedCall { id: call.id, name: call.name, arguments })
}

/// JSON is YAML, so one parser reads both; it refuses duplicate keys and bounds aliases and depth.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, TranscriptError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| TranscriptError::Unreadable { reason: shorten(&error.to_string()) })
}

fn invalid(place: &str, reason: impl Into<String>) -> TranscriptError {
    TranscriptError::Invalid { place: place.to_owned(), reason: reason.into() }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_can_be_recorded() {
        // A failure that is new to the enum stops the build here, so that it is added to the list too.
        let count = |failure| match failure {
            ModelFailure::TranscriptMiss
            | ModelFailure::Refused
            | ModelFailure::Unauthorized
            | ModelFailure::QuotaExhausted
            | ModelFailure::Unavailable
            | ModelFailure::ProviderNotReady
            | ModelFailure::Garbled => 7,
        };
        let names: std::collections::BTreeSet<&str> = FAILURES.iter().map(|failure| failure.as_str()).collect();
        assert_eq!(names.len(), count(ModelFailure::Refused));
    }
}
