//! Answers from a transcript: the same each time, without a network. For tests, replays and demonstrations.

use std::fmt;
use std::sync::Arc;

use reeve_core::model::{ModelFailure, ModelRequest, ModelResponse, Position, ToolCall};

use crate::answer::unique_ids;
use crate::{Answer, ModelError};

mod transcript;

pub use transcript::TranscriptError;
use transcript::{Reply, Transcript};

/// A parsed transcript. Cheap to clone.
///
/// ```yaml
/// version: 1
/// match: position              # or: digest
/// lanes:                       # with position: lane of the run -> its answers in order
///   planner:
///   - text: I look first.
///     toolCalls:
///     - {name: fs.read, arguments: {path: a.py}}
///     usage: {inputTokens: 100, outputTokens: 20}
///   fix-bug:
///   - toolCalls: [{name: finish, argumentsText: "not json"}]
///   - error: {failure: ModelUnavailable, message: overloaded}
/// # answers:                   # with digest: digest of the canonical redacted request -> its answer
/// #   "sha256:...": {text: Done.}
/// ```
///
/// An answer has a `text`, `toolCalls` or both; it may have `finishReason` (default: by whether there are calls), `usage` (default: zero)
/// and `model` (default: the one asked). A call has a `name`, and may have an `id` (default: `call_<index>_<place>`) and `arguments`, or
/// `argumentsText` as a model would have written them. An `error` stands alone; its `failure` is [`ModelFailure::as_str`]. The same
/// request always gets the same answer, however often it is asked.
#[derive(Clone)]
pub struct Recorded(Arc<Transcript>);

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Transcript::ByPosition(lanes) => write!(f, "Recorded({} lanes by position)", lanes.len()),
            Transcript::ByDigest(answers) => write!(f, "Recorded({} answers by digest)", answers.len()),
        }
    }
}

impl Recorded {
    /// Reads a transcript from YAML or JSON of at most 8 MiB.
    ///
    /// # Errors
    /// [`TranscriptError`] names the place and what was expected there.
    pub fn parse(text: &str) -> Result<Recorded, TranscriptError> {
        Transcript::parse(text).map(|transcript| Recorded(Arc::new(transcript)))
    }

    /// [`crate::Provider::complete`].
    pub(crate) fn complete(&self, request: &ModelRequest, position: &Position) -> Result<Answer, ModelError> {
        match self.find(request, position)? {
            Reply::Error { failure, message } => Err(ModelError { failure: *failure, message: message.clone(), attempts: 1, sent: false }),
            Reply::Answer(recorded) => {
                let ids = unique_ids(position.index, recorded.calls.iter().map(|call| call.id.clone()));
                let calls = ids.into_iter().zip(&recorded.calls);
                let response = ModelResponse {
                    text: recorded.text.clone(),
                    tool_calls: calls
                        .map(|(id, call)| ToolCall { id, name: call.name.clone(), arguments: call.arguments.clone() })
                        .collect(),
                    finish_reason: recorded.finish_reason,
                    usage: recorded.usage,
                    model: recorded.model.clone().unwrap_or_else(|| request.model.clone()),
                };
                Ok(Answer { response, attempts: 1 })
            }
        }
    }

    fn find(&self, request: &ModelRequest, position: &Position) -> Result<&Reply, ModelError> {
        let miss = |held: String| {
            let digest = request.digest().map_or_else(|error| format!("without a digest, {error}"), |digest| digest.to_string());
            let message = format!(
                "expected the transcript to hold an answer for request {} of lane {:?} ({digest}), found {held}; add it or record anew",
                position.index, position.lane
            );
            ModelError { failure: ModelFailure::TranscriptMiss, message, attempts: 1, sent: false }
        };
        match &*self.0 {
            Transcript::ByPosition(lanes) => {
                let answers = lanes.get(&position.lane).ok_or_else(|| {
                    let names: Vec<&str> = lanes.keys().map(String::as_str).take(20).collect();
                    miss(format!("only the lanes [{}]", names.join(", ")))
                })?;
                usize::try_from(position.index)
                    .ok()
                    .and_then(|index| answers.get(index))
                    .ok_or_else(|| miss(format!("{} answers in that lane", answers.len())))
            }
            Transcript::ByDigest(answers) => {
                let digest = request.digest().map_err(|_| miss("a request that has no canonical form".to_owned()))?;
                answers.get(&digest).ok_or_else(|| miss(format!("{} answers for other requests", answers.len())))
            }
        }
    }
}
