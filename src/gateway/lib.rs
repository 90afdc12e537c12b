//! Model providers behind one interface: [`Provider::complete`].
//!
//! | provider | what answers |
//! |---|---|
//! | [`OpenAiChat`] | any server that speaks OpenAI's Chat Completions |
//! | [`Recorded`] | a transcript, by position in the run or by digest of the request |
//!
//! Architecture invariant: no key leaves by another door than the request it belongs to. [`Secret`] prints nothing, redirects are not
//! followed, proxies of the environment are ignored, and each error text passes through redaction
//! (`tests/openai_chat/main.rs`: `a_key_is_sent_to_its_server_and_stands_in_no_text`).
//!
//! Architecture invariant: no request is sent that [`Answer::attempts`] or [`ModelError::attempts`] does not count
//! (`tests/openai_chat/main.rs`: each test compares attempts with what the server saw).
//!
//! Architecture invariant: nothing above this crate knows a provider's wire; nothing here knows a run, a budget or a cluster.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::time::Instant;

use reeve_core::model::{ModelRequest, Position};

mod answer;
mod openai_chat;
mod recorded;
mod retry;
mod secret;

pub use answer::{Answer, ModelError};
pub use openai_chat::{ConfigError, MaxTokensField, OpenAiChat, OpenAiChatConfig};
pub use recorded::{Recorded, TranscriptError};
pub use secret::Secret;

/// Something that answers a [`ModelRequest`]. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub enum Provider {
    /// A server over HTTP.
    OpenAiChat(OpenAiChat),
    /// A transcript.
    Recorded(Recorded),
}

impl Provider {
    /// Asks once, retrying what may pass by itself, and comes back by `deadline`.
    ///
    /// `request` is to be redacted before: it leaves the cluster, and digests are over the redacted form. `position` names the request
    /// within its run: a transcript may answer by it, and calls that come without an id are named after it. An answer is as the
    /// provider gave it; redact it before it is journaled.
    ///
    /// # Errors
    /// [`ModelError`], with the kind of failure, a text without secrets, and how many requests were sent in vain.
    pub async fn complete(&self, request: &ModelRequest, position: &Position, deadline: Instant) -> Result<Answer, ModelError> {
        match self {
            Provider::OpenAiChat(server) => server.complete(request, position, deadline).await,
            Provider::Recorded(transcript) => transcript.complete(request, position),
        }
    }
}
