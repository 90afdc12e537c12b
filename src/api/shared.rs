//! What several kinds have in common.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An object of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A key of a ConfigMap of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in `data` or `binaryData`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A key of a Secret of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret. Who names it needs the right to get it, and it must carry the annotation `reeve.dev/allowed-hosts`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in `data`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Where the files come from that an agent works on. Exactly one of the fields; none means an empty workspace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.inline), has(self.archive), has(self.artifact)].filter(x, x).size() <= 1").message("at most one of inline, archive and artifact"))]
pub struct Workspace {
    /// Files written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Inline>,
    /// A gzipped tar in a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// What an earlier run of the same Goal left. Only the operator writes this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
}

/// Files in the spec itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inline {
    /// The files, each path once.
    #[schemars(length(min = 1, max = 64))]
    pub files: Vec<InlineFile>,
}

/// One file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InlineFile {
    /// Relative to the workspace, with `/` between names, without `.` and `..`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^/\x00]+(/[^/\x00]+)*$"))]
    pub path: String,
    /// Text of the file.
    #[schemars(length(max = 65536))]
    pub content: String,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A gzipped tar in a ConfigMap (which holds at most 1 MiB).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Where it is.
    pub config_map_key_ref: ConfigMapKeyRef,
    /// Leading path components to drop, as `tar --strip-components` does.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 16))]
    pub strip_components: i32,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// A git bundle in the artifact store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Its SHA-256 digest.
    #[schemars(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
}

/// A command, without a shell.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Program and arguments.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    pub argv: Vec<String>,
    /// After this it is killed and counts as failed.
    #[serde(default = "command_timeout")]
    #[schemars(range(min = 1, max = 1800))]
    pub timeout_seconds: i32,
}

const fn command_timeout() -> i32 {
    300
}

/// One task for a coder.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// A DNS label, unique in the Goal.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What to do, for the model.
    #[schemars(length(min = 1, max = 8192))]
    pub description: String,
}

/// What an agent is there for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum Role {
    /// Turns an objective into tasks; reads only.
    Planner,
    /// Does one task in the workspace.
    Coder,
    /// Runs given commands; asks no model.
    Acceptance,
    /// Merges what a Goal's runs left. No model, no sandbox; policy says whose keys it takes.
    Merge,
}

/// A tool.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum ToolName {
    /// Reads a file.
    #[serde(rename = "fs.read")]
    FsRead,
    /// Writes a file.
    #[serde(rename = "fs.write")]
    FsWrite,
    /// Replaces one piece of a file.
    #[serde(rename = "fs.edit")]
    FsEdit,
    /// Lists a directory.
    #[serde(rename = "fs.list")]
    FsList,
    /// Finds lines.
    #[serde(rename = "fs.search")]
    FsSearch,
    /// Runs a program.
    #[serde(rename = "shell.run")]
    ShellRun,
    /// Runs a test command.
    #[serde(rename = "tests.run")]
    TestsRun,
    /// Shows what is not committed.
    #[serde(rename = "git.diff")]
    GitDiff,
    /// Commits.
    #[serde(rename = "git.commit")]
    GitCommit,
    /// Asks a person.
    #[serde(rename = "ask")]
    Ask,
    /// Ends the run.
    #[serde(rename = "finish")]
    Finish,
    /// Makes a Goal's work its result. Only the operator asks for it.
    #[serde(rename = "merge")]
    Merge,
}

/// The schema of an optional field whose description is its own: schemars describes such a field in the words of its type.
pub(crate) fn own_words<T: JsonSchema>(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = T::json_schema(generator);
    schema.insert("nullable".to_owned(), true.into());
    schema
}
