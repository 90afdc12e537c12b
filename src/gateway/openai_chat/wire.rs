//! OpenAI's Chat Completions on the wire (OpenAI API reference, "Create chat completion"; read from `openai` 3.54.0).
//!
//! Lenient where compatible servers are known to differ and the meaning is plain; anything else is [`Problem::Garbled`]. Unknown fields
//! are ignored.

use std::collections::BTreeMap;

use reeve_core::model::{Arguments, FinishReason, Message, ModelRequest, ModelResponse, Position, ToolCall, Usage};
use reeve_core::tool::Tool;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::MaxTokensField;
use super::refusal::Said;
use crate::answer::{arguments_from, unique_ids};

/// Function names match `^[a-zA-Z0-9_-]{1,64}$`.
const MAX_NAME_CHARS: usize = 64;
/// What a tool's answer starts with when the call failed: the wire has no field for it.
const ERROR_PREFIX: &str = "Error: ";

/// How the tools of a request are called on the wire, where no dot is allowed: `fs.read` is `fs_read`.
pub(super) struct Names {
    dotted: BTreeMap<String, &'static str>,
}

impl Names {
    pub(super) fn of(tools: &[Tool]) -> Names {
        Names { dotted: tools.iter().map(|tool| (Names::on_wire(tool.name.as_str()), tool.name.as_str())).collect() }
    }

    /// Valid on the wire whatever `name` is: a conversation repeats names that a model made up.
    fn on_wire(name: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name: String = name.chars().take(MAX_NAME_CHARS).map(|c| if allowed(c) { c } else { '_' }).collect();
        if name.is_empty() { "_".to_owned() } else { name }
    }

    /// The tool of this name; a name that is none comes back as given, for the run to refuse.
    fn dotted(&self, on_wire: &str) -> String {
        self.dotted.get(on_wire).map_or(on_wire, |name| *name).to_owned()
    }
}

/// The body of a request.
pub(super) fn request(request: &ModelRequest, names: &Names, max_tokens_field: MaxTokensField) -> Value {
    let system = (!request.system.is_empty()).then(|| json!({ "role": "system", "content": request.system }));
    let messages: Vec<Value> = system.into_iter().chain(request.messages.iter().map(message)).collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert(max_tokens_field.as_str().to_owned(), json!(request.max_output_tokens));
    // An empty list is refused by OpenAI.
    if !names.dotted.is_empty() {
        body.insert("tools".to_owned(), request.tools.iter().map(tool).collect());
    }
    Value::Object(body)
}

fn tool(tool: &Tool) -> Value {
    let name = Names::on_wire(tool.name.as_str());
    json!({ "type": "function", "function": { "name": name, "description": tool.description, "parameters": tool.input_schema } })
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, tool_calls } if tool_calls.is_empty() => json!({ "role": "assistant", "content": text }),
        Message::Assistant { text, tool_calls } => {
            let content = if text.is_empty() { Value::Null } else { json!(text) };
            json!({ "role": "assistant", "content": content, "tool_calls": tool_calls.iter().map(call).collect::<Vec<_>>() })
        }
        Message::Tool { call_id, content, is_error } => {
            let content = if *is_error { format!("{ERROR_PREFIX}{content}") } else { content.clone() };
            json!({ "role": "tool", "tool_call_id": call_id, "content": content })
        }
    }
}

fn call(call: &ToolCall) -> Value {
    let arguments = match &call.arguments {
        Arguments::Json(value) => value.to_string(),
        // vLLM and others parse what the model wrote and refuse the whole conversation when they cannot, for ever after.
        Arguments::Invalid(text) => json!({ "not_json": text }).to_string(),
    };
    json!({ "id": call.id, "type": "function", "function": { "name": Names::on_wire(&call.name), "arguments": arguments } })
}

/// Why bytes are no answer.
#[derive(Debug, PartialEq)]
pub(super) enum Problem {
    /// They are an error.
    Error(Said),
    /// They are not the protocol.
    Garbled { expected: &'static str, found: String },
}

#[derive(Deserialize)]
struct Completion {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<String>,
    message: Option<Reply>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Some servers answer in parts, as requests may.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

/// The answer in these bytes.
///
/// The first of several choices counts: one is asked for. Usage that the server leaves out is zero, and said in the log: an estimate
/// would be booked as if it were measured. Real answers have input tokens, so whoever settles a budget can tell, and should settle
/// what was reserved.
pub(super) fn response(bytes: &[u8], request: &ModelRequest, names: &Names, position: &Position) -> Result<ModelResponse, Problem> {
    let garbled = |found: String| Problem::Garbled { expected: "a chat completion", found };
    let body: Value = serde_json::from_slice(bytes).map_err(|error| garbled(format!("no JSON ({error})")))?;
    if body.get("error").is_some_and(|error| !error.is_null()) {
        return Err(Problem::Error(Said::of_value(&body)));
    }
    let completion = Completion::deserialize(body).map_err(|error| garbled(format!("JSON of another shape ({error})")))?;
    let choice = completion.choices.into_iter().flatten().next().ok_or_else(|| garbled("no choice in it".to_owned()))?;
    let reply = choice.message.ok_or_else(|| garbled("a choice without a message".to_owned()))?;

    let refusal = reply.refusal.filter(|refusal| !refusal.is_empty());
    let text = match reply.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
    };
    let tool_calls = tool_calls(reply.tool_calls.unwrap_or_default(), names, position.index);
    let finish_reason = finish_reason(refusal.is_some(), choice.finish_reason.as_deref(), !tool_calls.is_empty());
    let usage = usage(completion.usage.as_ref());
    if usage.input_tokens == 0 {
        tracing::warn!(model = request.model, lane = position.lane, index = position.index, "the model server reported no token usage");
    }
    Ok(ModelResponse {
        text: if text.is_empty() { refusal.unwrap_or_default() } else { text },
        tool_calls,
        finish_reason,
        usage,
        model: completion.model.filter(|model| !model.is_empty()).unwrap_or_else(|| request.model.clone()),
    })
}

fn tool_calls(calls: Vec<Call>, names: &Names, request_index: u32) -> Vec<ToolCall> {
    let ids = unique_ids(request_index, calls.iter().map(|call| call.id.clone()));
    let parts = calls.into_iter().map(|call| call.function.map_or((None, None), |function| (function.name, function.arguments)));
    ids.into_iter()
        .zip(parts)
        .map(|(id, (name, arguments))| ToolCall {
            id,
            name: names.dotted(&name.unwrap_or_default()),
            arguments: match arguments {
                None | Some(Value::Null) => arguments_from(""),
                Some(Value::String(text)) => arguments_from(&text),
                // Some servers parse the arguments themselves.
                Some(value @ (Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_))) => Arguments::Json(value),
            },
        })
        .collect()
}

/// Whether there are calls is seen, not believed: servers say `stop` beside calls, and words of their own.
fn finish_reason(refused: bool, said: Option<&str>, has_calls: bool) -> FinishReason {
    match said {
        _ if refused => FinishReason::Refusal,
        Some("length") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        _ if has_calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

/// `prompt_tokens` includes the cached ones, as [`Usage`] does. A part is never more than its whole.
fn usage(usage: Option<&Value>) -> Usage {
    let count = |path: &str| usage.and_then(|usage| usage.pointer(path)).and_then(Value::as_u64).unwrap_or(0);
    let (input_tokens, output_tokens) = (count("/prompt_tokens"), count("/completion_tokens"));
    Usage {
        input_tokens,
        cached_input_tokens: count("/prompt_tokens_details/cached_tokens").min(input_tokens),
        output_tokens,
        reasoning_tokens: count("/completion_tokens_details/reasoning_tokens").min(output_tokens),
    }
}
