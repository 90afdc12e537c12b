//! What comes back from a provider, and the rules that all of them share.

use std::collections::BTreeSet;

use reeve_core::model::{Arguments, ModelFailure, ModelResponse};
use serde_json::{Map, Value};

/// A model's answer and what it took to get it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The answer.
    pub response: ModelResponse,
    /// Requests sent, the answered one included.
    pub attempts: u32,
}

/// Why no answer came. The text says what was expected, what came and what to do, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// The kind of failure.
    pub failure: ModelFailure,
    /// For a person to read.
    pub message: String,
    /// Requests sent in vain; zero when none left the house.
    pub attempts: u32,
    /// The last of them may have been answered, and charged, all the same: its answer was cut, came too late, or could not be read.
    pub sent: bool,
}

/// Reads the arguments of a tool call as models write them: no text at all means no arguments; what is not JSON is kept as it came, so
/// that the model can be shown its mistake.
pub(crate) fn arguments_from(text: &str) -> Arguments {
    if text.trim().is_empty() {
        return Arguments::Json(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(value) => Arguments::Json(value),
        Err(_) => Arguments::Invalid(text.to_owned()),
    }
}

/// Gives each call of an answer an id of its own. The first call that bears an id keeps it; a call without one, or with one that is
/// taken, is named after the request's index in its run and its own place in the answer, so that a replay names it alike.
pub(crate) fn unique_ids(request_index: u32, given: impl IntoIterator<Item = Option<String>>) -> Vec<String> {
    let given: Vec<Option<String>> = given.into_iter().map(|id| id.filter(|id| !id.is_empty())).collect();
    let mut taken: BTreeSet<String> = given.iter().flatten().cloned().collect();
    let mut kept = BTreeSet::new();
    given
        .into_iter()
        .enumerate()
        .map(|(place, id)| {
            if let Some(id) = id
                && kept.insert(id.clone())
            {
                return id;
            }
            let mut name = format!("call_{request_index}_{place}");
            while !taken.insert(name.clone()) {
                name.push('x');
            }
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_the_same_each_time() {
        let table: &[(&[Option<&str>], &[&str])] = &[
            (&[], &[]),
            (&[Some("a"), Some("b")], &["a", "b"]),
            (&[None, Some(""), Some("a")], &["call_7_0", "call_7_1", "a"]),
            (&[Some("a"), Some("a"), Some("a")], &["a", "call_7_1", "call_7_2"]),
            (&[None, Some("call_7_0")], &["call_7_0x", "call_7_0"]),
        ];
        for (given, expected) in table {
            let ids = unique_ids(7, given.iter().map(|id| id.map(str::to_owned)));
            assert_eq!(ids, *expected, "{given:?}");
        }
    }
}
