//! The tools themselves: names, schemas, annotations. The sandbox serves this list; the operator validates against the same one.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::limits::CEILING_TOOL_TIMEOUT_MS;

/// Every tool there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ToolName {
    /// Reads a file.
    #[serde(rename = "fs.read")]
    FsRead,
    /// Writes a whole file.
    #[serde(rename = "fs.write")]
    FsWrite,
    /// Replaces one piece of a file.
    #[serde(rename = "fs.edit")]
    FsEdit,
    /// Lists a directory.
    #[serde(rename = "fs.list")]
    FsList,
    /// Finds lines by regular expression.
    #[serde(rename = "fs.search")]
    FsSearch,
    /// Runs a program.
    #[serde(rename = "shell.run")]
    ShellRun,
    /// Runs a test command.
    #[serde(rename = "tests.run")]
    TestsRun,
    /// Shows what is not committed yet.
    #[serde(rename = "git.diff")]
    GitDiff,
    /// Commits all of it.
    #[serde(rename = "git.commit")]
    GitCommit,
    /// Asks a person. Answered by the operator, never by the sandbox.
    #[serde(rename = "ask")]
    Ask,
    /// Ends the run. Answered by the operator, never by the sandbox.
    #[serde(rename = "finish")]
    Finish,
    /// Makes a Goal's work its result. Done by the operator; no model is ever offered it.
    #[serde(rename = "merge")]
    Merge,
}

impl ToolName {
    /// All of them, in the order in which they are shown to a model.
    pub const ALL: [ToolName; 12] = [
        ToolName::FsRead,
        ToolName::FsWrite,
        ToolName::FsEdit,
        ToolName::FsList,
        ToolName::FsSearch,
        ToolName::ShellRun,
        ToolName::TestsRun,
        ToolName::GitDiff,
        ToolName::GitCommit,
        ToolName::Ask,
        ToolName::Finish,
        ToolName::Merge,
    ];

    /// The dotted name.
    pub const fn as_str(self) -> &'static str {
        match self {
            ToolName::FsRead => "fs.read",
            ToolName::FsWrite => "fs.write",
            ToolName::FsEdit => "fs.edit",
            ToolName::FsList => "fs.list",
            ToolName::FsSearch => "fs.search",
            ToolName::ShellRun => "shell.run",
            ToolName::TestsRun => "tests.run",
            ToolName::GitDiff => "git.diff",
            ToolName::GitCommit => "git.commit",
            ToolName::Ask => "ask",
            ToolName::Finish => "finish",
            ToolName::Merge => "merge",
        }
    }

    /// The tool of this dotted name.
    pub fn parse(name: &str) -> Option<ToolName> {
        ToolName::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// What kind of thing it is.
    pub const fn annotations(self) -> Annotations {
        match self {
            ToolName::FsRead | ToolName::FsList | ToolName::FsSearch | ToolName::GitDiff | ToolName::Ask | ToolName::Finish => READS,
            ToolName::FsWrite => Annotations { read_only: false, destructive: true, idempotent: true },
            ToolName::FsEdit => Annotations { read_only: false, destructive: true, idempotent: false },
            ToolName::ShellRun | ToolName::TestsRun => RUNS,
            ToolName::GitCommit => Annotations { read_only: false, destructive: false, idempotent: false },
            ToolName::Merge => Annotations { read_only: false, destructive: false, idempotent: true },
        }
    }

    /// Whether the operator answers it itself.
    pub const fn is_control(self) -> bool {
        matches!(self, ToolName::Ask | ToolName::Finish | ToolName::Merge)
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an agent is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Turns an objective into tasks; reads only.
    Planner,
    /// Does one task in the workspace.
    Coder,
    /// Runs given commands in a fresh sandbox; asks no model.
    Acceptance,
    /// Merges what a Goal's runs left; no model, no sandbox.
    Merge,
}

impl Role {
    /// As written in a spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Planner => "Planner",
            Role::Coder => "Coder",
            Role::Acceptance => "Acceptance",
            Role::Merge => "Merge",
        }
    }

    /// Whether its calls come from a person's words rather than from a model's.
    pub const fn asks_no_model(self) -> bool {
        matches!(self, Role::Acceptance | Role::Merge)
    }

    /// Whether it works in a sandbox.
    pub const fn has_sandbox(self) -> bool {
        !matches!(self, Role::Merge)
    }
}

/// MCP tool annotations (`readOnlyHint`, `destructiveHint`, `idempotentHint`). Here they are facts, not hints: policy reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy what was there.
    pub destructive: bool,
    /// Doing it twice is doing it once.
    pub idempotent: bool,
}

/// One tool as a model sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema (2020-12) of its arguments; unknown arguments are refused.
    pub input_schema: Value,
    /// What kind of thing it is.
    pub annotations: Annotations,
}

const READS: Annotations = Annotations { read_only: true, destructive: false, idempotent: true };
const RUNS: Annotations = Annotations { read_only: false, destructive: true, idempotent: false };

/// The tools of a role, in a fixed order, so that a request to a model is the same each time.
pub fn catalog(role: Role) -> Vec<Tool> {
    names(role).map(|name| tool(role, name)).collect()
}

/// Their names.
pub(crate) fn names(role: Role) -> impl Iterator<Item = ToolName> {
    ToolName::ALL.into_iter().filter(move |name| match role {
        Role::Planner => matches!(name, ToolName::FsRead | ToolName::FsList | ToolName::FsSearch | ToolName::Ask | ToolName::Finish),
        Role::Coder => *name != ToolName::Merge,
        Role::Acceptance => matches!(name, ToolName::TestsRun),
        Role::Merge => matches!(name, ToolName::Merge),
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn path(says: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 4096, "description": says })
}

fn run_schema() -> Value {
    object(
        &["argv"],
        json!({
            "argv": {
                "type": "array", "minItems": 1, "maxItems": 256,
                "items": { "type": "string", "maxLength": 32768 },
                "description": "Program and arguments. No shell interprets them: no pipes, globs or redirections."
            },
            "cwd": path("Directory to run in, relative to the workspace. Default: the workspace."),
            "stdin": { "type": "string", "maxLength": 262_144, "description": "Text for standard input. Default: none." },
            "timeout_seconds": { "type": "integer", "minimum": 1, "maximum": CEILING_TOOL_TIMEOUT_MS / 1000, "description": "Default: 120." }
        }),
    )
}

/// One of them.
pub(crate) fn tool(role: Role, name: ToolName) -> Tool {
    let (description, input_schema) = match name {
        ToolName::FsRead => (
            "Read a text file of the workspace. Lines are numbered.",
            object(
                &["path"],
                json!({
                    "path": path("Relative to the workspace."),
                    "start_line": { "type": "integer", "minimum": 1, "description": "First line. Default: 1." },
                    "end_line": { "type": "integer", "minimum": 1, "description": "Last line. Default: the end, within the output limit." }
                }),
            ),
        ),
        ToolName::FsWrite => (
            "Write a whole file of the workspace, making its directories. What was there is replaced.",
            object(
                &["path", "content"],
                json!({ "path": path("Relative to the workspace."), "content": { "type": "string", "maxLength": 1_048_576 } }),
            ),
        ),
        ToolName::FsEdit => (
            "Replace one piece of a file. `old` must occur exactly once.",
            object(
                &["path", "old", "new"],
                json!({
                    "path": path("Relative to the workspace."),
                    "old": { "type": "string", "minLength": 1, "maxLength": 262_144 },
                    "new": { "type": "string", "maxLength": 262_144 }
                }),
            ),
        ),
        ToolName::FsList => (
            "List a directory of the workspace, directories with a slash behind, sorted.",
            object(
                &[],
                json!({
                    "path": path("Relative to the workspace. Default: the workspace."),
                    "depth": { "type": "integer", "minimum": 1, "maximum": 8, "description": "Levels to go down. Default: 1." }
                }),
            ),
        ),
        ToolName::FsSearch => (
            "Find lines that match a regular expression (Rust syntax), as path:line:text, sorted by path.",
            object(
                &["pattern"],
                json!({
                    "pattern": { "type": "string", "minLength": 1, "maxLength": 1024 },
                    "path": path("File or directory to search, relative to the workspace. Default: the workspace.")
                }),
            ),
        ),
        ToolName::ShellRun => ("Run a program in the workspace. There is no network.", run_schema()),
        ToolName::TestsRun => ("Run a test command in the workspace. It passes when it exits with 0. There is no network.", run_schema()),
        ToolName::GitDiff => ("Show what changed since the last commit, new files included.", object(&[], json!({}))),
        ToolName::GitCommit => (
            "Commit every change of the workspace.",
            object(&["message"], json!({ "message": { "type": "string", "minLength": 1, "maxLength": 4096 } })),
        ),
        ToolName::Ask => (
            "Ask the person behind this run a question and wait for the answer. Only when you cannot go on without it.",
            object(&["question"], json!({ "question": { "type": "string", "minLength": 1, "maxLength": 4096 } })),
        ),
        ToolName::Finish => match role {
            Role::Planner => (
                "Hand in the plan: tasks that are done one after the other, each by an agent that sees the work of those before it.",
                object(
                    &["summary", "tasks"],
                    json!({
                        "summary": { "type": "string", "minLength": 1, "maxLength": 4096 },
                        "tasks": {
                            "type": "array", "minItems": 1, "maxItems": 20,
                            "items": object(
                                &["name", "description"],
                                json!({
                                    "name": { "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 40 },
                                    "description": { "type": "string", "minLength": 1, "maxLength": 8192 }
                                }),
                            )
                        }
                    }),
                ),
            ),
            Role::Coder | Role::Acceptance | Role::Merge => (
                "End the task. Everything must be committed.",
                object(&["summary"], json!({ "summary": { "type": "string", "minLength": 1, "maxLength": 4096 } })),
            ),
        },
        ToolName::Merge => (
            "Make the work of a Goal its result.",
            object(
                &["base", "head", "patch", "bundle"],
                json!({
                    "base": { "type": "string", "minLength": 1, "maxLength": 64 },
                    "head": { "type": "string", "minLength": 1, "maxLength": 64 },
                    "patch": { "type": "string", "maxLength": 71 },
                    "bundle": { "type": "string", "maxLength": 71 }
                }),
            ),
        ),
    };
    Tool { name, description: description.to_owned(), input_schema, annotations: name.annotations() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_what_it_prints() {
        for name in ToolName::ALL {
            assert_eq!(ToolName::parse(name.as_str()), Some(name));
            assert_eq!(serde_json::to_value(name).ok(), Some(json!(name.as_str())));
        }
    }

    #[test]
    fn every_schema_refuses_an_unknown_argument() {
        for role in [Role::Planner, Role::Coder, Role::Acceptance, Role::Merge] {
            for tool in catalog(role) {
                let validator = jsonschema::draft202012::new(&tool.input_schema).unwrap_or_else(|e| unreachable!("{}: {e}", tool.name));
                assert!(!validator.is_valid(&json!({ "surprise": 1 })), "{}", tool.name);
            }
        }
    }
}
