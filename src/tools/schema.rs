//! Arguments of a call: checked against the tool's JSON Schema, then read into types.

use std::collections::BTreeMap;

use jsonschema::Validator;
use reeve_core::tool::{Role, ToolName, catalog};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::refusal::Refusal;

/// The compiled schemas of every tool that the sandbox serves.
#[derive(Debug)]
pub(crate) struct Schemas(BTreeMap<ToolName, Validator>);

impl Schemas {
    pub(crate) fn compile() -> Result<Schemas, Refusal> {
        catalog(Role::Coder)
            .into_iter()
            .filter(|tool| !tool.name.is_control())
            .map(|tool| {
                let validator = jsonschema::draft202012::new(&tool.input_schema)
                    .map_err(Refusal::failed(format!("compiling the schema of {}", tool.name)))?;
                Ok((tool.name, validator))
            })
            .collect::<Result<_, _>>()
            .map(Schemas)
    }

    /// The arguments as `T`, if they fit the tool's schema. The refusal says what was expected where, and what came.
    pub(crate) fn read<T: DeserializeOwned>(&self, tool: ToolName, arguments: &Value) -> Result<T, Refusal> {
        let schema =
            self.0.get(&tool).ok_or_else(|| Refusal::invalid(format!("{tool} is answered by the operator, not by the sandbox")))?;
        let wrong: Vec<String> = schema
            .iter_errors(arguments)
            .take(3)
            .map(|error| {
                let place = error.instance_path().to_string();
                let text: String = error.to_string().chars().take(160).collect();
                if place.is_empty() { text } else { format!("at {place}: {text}") }
            })
            .collect();
        if !wrong.is_empty() {
            return Err(Refusal::invalid(format!("the arguments do not fit the schema of {tool}: {}", wrong.join("; "))));
        }
        T::deserialize(arguments).map_err(|error| Refusal::invalid(format!("the arguments of {tool}: {error}")))
    }
}

/// `fs.read`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadArguments {
    pub(crate) path: String,
    #[serde(default = "first_line")]
    pub(crate) start_line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_line: Option<u64>,
}

/// `fs.write`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteArguments {
    pub(crate) path: String,
    pub(crate) content: String,
}

/// `fs.edit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditArguments {
    pub(crate) path: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// `fs.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListArguments {
    #[serde(default = "workspace_itself")]
    pub(crate) path: String,
    #[serde(default = "one_level")]
    pub(crate) depth: u32,
}

/// `fs.search`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchArguments {
    pub(crate) pattern: String,
    #[serde(default = "workspace_itself")]
    pub(crate) path: String,
}

/// `shell.run` and `tests.run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunArguments {
    pub(crate) argv: Vec<String>,
    #[serde(default = "workspace_itself")]
    pub(crate) cwd: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<String>,
    #[serde(default = "usual_timeout")]
    pub(crate) timeout_seconds: u64,
}

/// `git.diff`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffArguments {}

/// `git.commit`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommitArguments {
    pub(crate) message: String,
}

const fn first_line() -> u64 {
    1
}

const fn one_level() -> u32 {
    1
}

const fn usual_timeout() -> u64 {
    reeve_core::limits::DEFAULT_TOOL_TIMEOUT_MS / 1000
}

fn workspace_itself() -> String {
    ".".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let schemas = Schemas::compile().unwrap();
        let run: RunArguments = schemas.read(ToolName::ShellRun, &json!({ "argv": ["true"] })).unwrap();
        assert_eq!(serde_json::to_value(run).unwrap(), json!({ "argv": ["true"], "cwd": ".", "timeout_seconds": 120 }));
    }

    #[test]
    fn a_refusal_says_what_was_expected_and_where() {
        let schemas = Schemas::compile().unwrap();
        for (arguments, says) in [
            (json!({}), "path"),
            (json!({ "path": 7 }), "at /path: 7 is not of type \"string\""),
            (json!({ "path": "a", "surprise": 1 }), "surprise"),
            (json!({ "path": "a", "start_line": 0 }), "at /start_line: 0 is less than the minimum of 1"),
            (json!("path"), "object"),
        ] {
            let refusal = schemas.read::<ReadArguments>(ToolName::FsRead, &arguments).unwrap_err();
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
    }

    #[test]
    fn control_tools_are_not_served() {
        let refusal = Schemas::compile().unwrap().read::<Value>(ToolName::Finish, &json!({ "summary": "done" })).unwrap_err();
        assert!(refusal.message.contains("answered by the operator"), "{}", refusal.message);
    }
}
