//! A request to a model and its answer, independent of any provider's wire.
//!
//! Adapters translate to and from these types; nothing above the gateway knows a provider. Every request is a deterministic function of
//! the run's journal, so its digest names it: in the journal, and as the key of a recorded transcript.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Digest;
use crate::tool::Tool;

/// Asks a model for its next move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRequest {
    /// The provider's name for the model.
    pub model: String,
    /// Instructions that stand above the conversation.
    pub system: String,
    /// The conversation, oldest first; starts with a [`Message::User`].
    pub messages: Vec<Message>,
    /// Tools on offer, in catalogue order.
    pub tools: Vec<Tool>,
    /// The most tokens the answer may have.
    pub max_output_tokens: u32,
}

impl ModelRequest {
    /// The digest of the canonical form. Redact before: digests are over the redacted form.
    ///
    /// # Errors
    /// When a tool argument holds a number that has no canonical form.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_canonical(self)
    }
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// From the person or from Reeve.
    User {
        /// The text.
        text: String,
    },
    /// From the model.
    Assistant {
        /// Its text; may be empty when it only calls tools.
        text: String,
        /// Its tool calls, in order.
        #[serde(rename = "toolCalls")]
        tool_calls: Vec<ToolCall>,
    },
    /// What came of one tool call. Each call of the assistant turn before has exactly one.
    Tool {
        /// [`ToolCall::id`].
        #[serde(rename = "callId")]
        call_id: String,
        /// For the model to read.
        content: String,
        /// Whether the call failed or was denied.
        #[serde(rename = "isError")]
        is_error: bool,
    },
}

/// A tool call that a model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// The provider's id, unique within the answer.
    pub id: String,
    /// Dotted name, as the model gave it: it may be no tool at all.
    pub name: String,
    /// Arguments as parsed, or the text that could not be parsed.
    pub arguments: Arguments,
}

/// Arguments of a [`ToolCall`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Arguments {
    /// A JSON value.
    Json(Value),
    /// Not JSON: goes back to the model as an error.
    Invalid(String),
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelResponse {
    /// What it says.
    pub text: String,
    /// What it asks for; several calls are independent of each other.
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// What it cost in tokens.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: String,
}

/// Why a model stopped (OpenTelemetry `gen_ai.response.finish_reasons`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It wants tools called.
    ToolCalls,
    /// It ran into the token limit: the answer may be cut.
    Length,
    /// The provider's filter cut it.
    ContentFilter,
    /// It declined.
    Refusal,
}

/// Tokens of one request. Input includes what was cached, as it is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of those, read from the provider's cache.
    pub cached_input_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Of those, spent on reasoning.
    pub reasoning_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
    }
}

/// Where in a run a request stands: what a transcript answered by position is keyed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The run's lane: its task's name, or its role in lower case when it has none.
    pub lane: String,
    /// Model requests of the run before this one. A request repeated after a crash keeps its index.
    pub index: u32,
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelFailure {
    /// The transcript holds no answer for this request (digest) or position.
    TranscriptMiss,
    /// The provider refused the request (400, 404, 413, 422) and would again.
    Refused,
    /// The key is missing, wrong or may not do this (401, 403).
    Unauthorized,
    /// A quota or spend limit is used up; retrying costs nothing but never helps.
    QuotaExhausted,
    /// Rate limit, overload, 5xx, time-out or no connection, after all retries.
    Unavailable,
    /// The ModelProvider, its Secret or its transcript is missing or not usable.
    ProviderNotReady,
    /// The answer could not be read as the provider's protocol.
    Garbled,
}

impl ModelFailure {
    /// The name as it stands in conditions and journals.
    pub const fn as_str(self) -> &'static str {
        match self {
            ModelFailure::TranscriptMiss => "TranscriptMiss",
            ModelFailure::Refused => "ModelRefusedRequest",
            ModelFailure::Unauthorized => "ModelUnauthorized",
            ModelFailure::QuotaExhausted => "ModelQuotaExhausted",
            ModelFailure::Unavailable => "ModelUnavailable",
            ModelFailure::ProviderNotReady => "ProviderNotReady",
            ModelFailure::Garbled => "ModelAnswerGarbled",
        }
    }
}
