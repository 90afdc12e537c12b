//! A request that is answered with an error.

use reeve_core::tool::wire::code;

/// Why nothing was done, with the JSON-RPC code of [`code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// A message is for a model or a person: both read this much and no more.
const MAX_MESSAGE_CHARS: usize = 600;

impl Refusal {
    fn new(code: i32, message: impl Into<String>) -> Refusal {
        let mut message = message.into();
        if let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(cut);
            message.push_str(" ...");
        }
        Refusal { code, message }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(code::INVALID, message)
    }

    pub(crate) fn escape(path: &str) -> Refusal {
        let message = format!(
            "expected a path below the workspace, found {path:?}, which leads outside of it (an absolute path, too many `..`, or a link). \
             Name files relative to the workspace"
        );
        Refusal::new(code::ESCAPE, message)
    }

    pub(crate) fn fenced(epoch: u64, highest: u64) -> Refusal {
        Refusal::new(
            code::FENCED,
            format!("expected epoch {highest} or later, found {epoch}: another operator has taken over this sandbox"),
        )
    }

    pub(crate) fn handle(message: impl Into<String>) -> Refusal {
        Refusal::new(code::HANDLE, message)
    }

    pub(crate) fn key_used(key: &str) -> Refusal {
        Refusal::new(code::KEY_USED, format!("the call {key:?} was started before and is not run again; look its outcome up"))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(code::INTERNAL, message)
    }

    /// An INTERNAL refusal for an error that happened while `doing`.
    pub(crate) fn failed<E: std::fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Refusal {
        let doing = doing.into();
        move |error| Refusal::internal(format!("{doing}: {error}"))
    }
}
