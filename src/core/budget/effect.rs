//! What an effect is held for, and what it used.

use super::{Amounts, Price};
use crate::model::{ModelRequest, Usage};

/// The most that a request can use: a token has at least a byte, and what a provider's own frame adds is less than what JSON's does here.
pub fn of_request(request: &ModelRequest, price: &Price, runtime_ms: u64) -> Amounts {
    let input = serde_json::to_vec(request).map_or(u64::MAX / 4, |bytes| bytes.len() as u64);
    of_request_bytes(input, request.max_output_tokens, price, runtime_ms)
}

/// As [`of_request`], of a request whose JSON has so many bytes.
pub(crate) fn of_request_bytes(input: u64, max_output_tokens: u32, price: &Price, runtime_ms: u64) -> Amounts {
    let output = u64::from(max_output_tokens);
    Amounts { tokens: input.saturating_add(output), cost_micro_usd: price.most(input, output), tool_calls: 0, runtime_ms }
}

/// What an answer used.
pub fn of_answer(usage: &Usage, price: &Price, runtime_ms: u64) -> Amounts {
    Amounts { tokens: usage.input_tokens.saturating_add(usage.output_tokens), cost_micro_usd: price.cost(usage), tool_calls: 0, runtime_ms }
}
