//! What the fold says of calls and answers, in words and numbers.

use super::state::CallStage;
use crate::Digest;
use crate::limits;
use crate::model::{Arguments, ModelResponse, ToolCall};

/// What an answer adds to the conversation.
pub(super) fn answer_bytes(response: &ModelResponse) -> u64 {
    let arguments = |call: &ToolCall| match &call.arguments {
        Arguments::Json(value) => serde_json::to_string(value).map_or(0, |text| text.len()),
        Arguments::Invalid(text) => text.len(),
    };
    let calls: usize = response.tool_calls.iter().map(|call| call.name.len() + arguments(call)).sum();
    (response.text.len() + calls) as u64
}

/// Same name and same arguments, whatever the provider's id.
pub(super) fn fingerprint(call: &ToolCall) -> Digest {
    Digest::of_canonical(&(&call.name, &call.arguments)).unwrap_or(Digest::ZERO)
}

pub(super) fn advice_on(response: &ModelResponse) -> Option<String> {
    use crate::model::FinishReason;
    if response.tool_calls.len() > limits::MAX_CALLS_PER_ANSWER {
        return Some(format!(
            "None of your {} tool calls was made: at most {} in one answer.",
            response.tool_calls.len(),
            limits::MAX_CALLS_PER_ANSWER
        ));
    }
    if !response.tool_calls.is_empty() {
        return None;
    }
    Some(match response.finish_reason {
        FinishReason::Length => {
            "Your answer was cut at the token limit before it called a tool. Answer in fewer words and call a tool.".to_owned()
        }
        FinishReason::ContentFilter => "Your answer was cut by the provider's filter. Go on with a tool call.".to_owned(),
        FinishReason::Refusal | FinishReason::Stop | FinishReason::ToolCalls => {
            "You called no tool. Call one, or `finish` when the task is done.".to_owned()
        }
    })
}

/// The end of an output, where tests say what failed.
pub(super) fn tail(content: &str) -> String {
    const SHOWN: usize = 1_000;
    let skip = content.chars().count().saturating_sub(SHOWN);
    content.chars().skip(skip).collect()
}

pub(super) fn brief(call: &ToolCall, stage: &CallStage, word: &str) -> String {
    const LONGEST: usize = 120;
    let what = match stage {
        CallStage::Requested(canonical) | CallStage::Judged(canonical, _) if !canonical.argv.is_empty() => canonical.argv.join(" "),
        CallStage::Requested(canonical) | CallStage::Judged(canonical, _) => {
            canonical.paths.iter().map(|touched| touched.path.as_str()).collect::<Vec<_>>().join(" ")
        }
        CallStage::Wanted => String::new(),
    };
    let name: String = call.name.chars().take(40).collect();
    let mut line = format!("{name} {what}").replace('\n', " ").trim_end().to_owned();
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST - 1).collect::<String>() + "…";
    }
    format!("{line}: {word}")
}
