//! Whether a call names a tool that is offered, with arguments that fit it.

use serde_json::Value;

use crate::journal::SpecSnapshot;
use crate::model::{Arguments, ToolCall};
use crate::redact::MASK;
use crate::tool::{ToolName, names, tool};

/// Checks name and arguments against the catalogue. The text is for the model.
pub(super) fn validate(spec: &SpecSnapshot, call: &ToolCall) -> Result<(), String> {
    let offered = || names(spec.role).filter(|name| spec.tools.contains(name));
    let Some(name) = offered().find(|name| name.as_str() == call.name) else {
        let names = offered().map(ToolName::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("There is no tool {:?} here. Tools: {names}.", call.name));
    };
    let arguments = match &call.arguments {
        Arguments::Json(value) => value,
        Arguments::Invalid(text) => {
            let start: String = text.chars().take(200).collect();
            return Err(format!("The arguments of {} are not JSON: {start:?}.", call.name));
        }
    };
    let tool = tool(spec.role, name);
    if !tool.annotations.read_only && holds_mask(arguments) {
        return Err(format!(
            "The arguments of {} hold {MASK}: what stood there is a secret, or looks like one, and is kept out of the journal. It was not done.",
            call.name
        ));
    }
    let validator =
        jsonschema::draft202012::new(&tool.input_schema).map_err(|error| format!("The schema of {} is broken: {error}", call.name))?;
    let errors = validator
        .iter_errors(arguments)
        .take(5)
        .map(|error| {
            let at = error.instance_path().to_string();
            format!("{}{error}", if at.is_empty() { String::new() } else { format!("{at}: ") })
        })
        .collect::<Vec<_>>();
    if errors.is_empty() { Ok(()) } else { Err(format!("Invalid arguments of {}: {}.", call.name, errors.join("; "))) }
}

/// A redacted text must not be written over the real one.
fn holds_mask(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(holds_mask),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains(MASK) || holds_mask(value)),
    }
}
