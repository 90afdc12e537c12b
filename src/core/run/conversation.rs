//! The request that a run's state amounts to.

use super::RunState;
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
