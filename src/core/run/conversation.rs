//! The request that a run's state amounts to.

use sha2::{Digest as _, Sha256};

use super::RunState;
use crate::Digest;
use crate::model::{Arguments, Message, ModelRequest};
use crate::tool::{ToolName, catalog, wire};

/// The request for the next step: a function of the rows, so a request repeated after a crash has the same digest.
///
/// None before `run.started` and when the routes are used up.
pub fn request(state: &RunState, route: usize) -> Option<ModelRequest> {
    let spec = &state.started.as_ref()?.spec;
    let (_, model) = spec.routes.get(route)?;
    let opening = Message::User { text: spec.objective.clone() };
    Some(ModelRequest {
        model: model.clone(),
        system: spec.system_prompt.clone(),
        messages: std::iter::once(opening).chain(state.messages.iter().cloned()).collect(),
        tools: catalog(spec.role).into_iter().filter(|tool| spec.tools.contains(&tool.name)).collect(),
        max_output_tokens: spec.max_output_tokens,
    })
}

/// A control tool touches nothing in the sandbox: its arguments are its canonical form.
pub fn control(tool: ToolName, arguments: &Arguments) -> wire::Canonical {
    let arguments = match arguments {
        Arguments::Json(value) => value.clone(),
        Arguments::Invalid(_) => serde_json::Value::Null,
    };
    wire::Canonical { tool, arguments, paths: Vec::new(), program: None, argv: Vec::new() }
}

/// What the next request comes to, kept while the conversation grows: a replay asks for it at every step, and a run's steps times its
/// messages would be too many to read.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestForm {
    /// Messages of the state that are in it.
    taken: usize,
    /// All messages, the opening one too.
    messages: usize,
    /// The canonical form up to the last message; None where one has none.
    hashed: Option<Sha256>,
    /// Of the messages' JSON, with what parts them.
    bytes: u64,
    /// What stands around the messages, by route.
    frames: Vec<Frame>,
}

#[derive(Clone, Debug)]
struct Frame {
    /// The canonical form after the last message.
    tail: String,
    /// Of the JSON without messages.
    bytes: u64,
}

/// Where the messages stand in a request's canonical form: what comes before them is a number, so this is found nowhere else first.
const NO_MESSAGES: &str = "\"messages\":[]";

impl RequestForm {
    /// Takes in the messages that the state has more than at the last call.
    pub(super) fn grow(&mut self, state: &RunState) {
        let Some(started) = &state.started else { return };
        if self.messages == 0 {
            self.open(state);
            self.add(&Message::User { text: started.spec.objective.clone() });
        }
        for message in state.messages.iter().skip(self.taken) {
            self.add(message);
        }
        self.taken = state.messages.len();
    }

    fn open(&mut self, state: &RunState) {
        for route in 0.. {
            let Some(mut request) = request(state, route) else { return };
            request.messages.clear();
            let canonical = serde_json_canonicalizer::to_string(&request).unwrap_or_default();
            let Some((head, tail)) = canonical.split_once(NO_MESSAGES) else { return };
            if route == 0 {
                self.hashed = Some(Sha256::new_with_prefix(format!("{head}\"messages\":[")));
            }
            let bytes = serde_json::to_vec(&request).map_or(u64::MAX / 4, |bytes| bytes.len() as u64);
            self.frames.push(Frame { tail: format!("]{tail}"), bytes });
        }
    }

    fn add(&mut self, message: &Message) {
        let part = if self.messages == 0 { "" } else { "," };
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(serde_json::to_vec(message).map_or(u64::MAX / 4, |bytes| (bytes.len() + part.len()) as u64));
        self.hashed = self.hashed.take().zip(serde_json_canonicalizer::to_vec(message).ok()).map(|(mut hashed, form)| {
            hashed.update(part);
            hashed.update(form);
            hashed
        });
    }

    /// Messages of the request.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// What [`crate::model::ModelRequest::digest`] is of the request of this route. None where there is none.
    pub(super) fn digest(&self, route: usize) -> Option<Digest> {
        let frame = self.frames.get(route)?;
        Some(Digest::finish(self.hashed.clone()?.chain_update(&frame.tail)))
    }

    /// Bytes of its JSON.
    pub(super) fn bytes(&self, route: usize) -> Option<u64> {
        Some(self.frames.get(route)?.bytes.saturating_add(self.bytes))
    }
}
