//! Requests and answers on the stream between the operator (MCP client) and the sandbox (MCP server).
//!
//! `initialize` and `tools/list` are plain MCP. Everything with an effect goes through the custom methods below, because a plain
//! `tools/call` knows neither an idempotency key nor a judged handle; the server refuses `tools/call`.

use serde::{Deserialize, Serialize};

use super::ToolName;
use crate::Digest;

/// Custom MCP methods. Each takes the request type and answers with the answer type of the same name below.
pub mod method {
    /// [`super::Hello`] → [`super::Welcome`]. First on every session; fences sessions of a lower epoch.
    pub const HELLO: &str = "reeve/hello";
    /// [`super::Import`] → [`super::Imported`].
    pub const IMPORT: &str = "reeve/import";
    /// [`super::Resolve`] → [`super::Resolved`].
    pub const RESOLVE: &str = "reeve/resolve";
    /// [`super::Call`] → [`super::Outcome`].
    pub const CALL: &str = "reeve/call";
    /// [`super::Lookup`] → [`super::Recorded`].
    pub const LOOKUP: &str = "reeve/lookup";
    /// [`super::Checkpoint`] → [`super::Checkpointed`].
    pub const CHECKPOINT: &str = "reeve/checkpoint";
    /// [`super::Fetch`] → [`super::Chunk`].
    pub const FETCH: &str = "reeve/fetch";
    /// [`super::Halt`] → [`super::Halted`]. Kills every tool process; the sandbox and its sessions live on.
    pub const HALT: &str = "reeve/halt";
    /// [`super::Shutdown`] → null. PID 1 ends every process and exits 0, so the Job completes.
    pub const SHUTDOWN: &str = "reeve/shutdown";
}

/// JSON-RPC error codes of the custom methods, outside the range that JSON-RPC reserves for itself.
pub mod code {
    /// The arguments do not fit the tool's JSON Schema, or name what does not exist. The message is for the model.
    pub const INVALID: i32 = -31001;
    /// The call names something outside the workspace. The message is for the model.
    pub const ESCAPE: i32 = -31002;
    /// The session's epoch is lower than one that the sandbox has seen: another operator has taken over.
    pub const FENCED: i32 = -31003;
    /// The handle is unknown, used, or belongs to another key.
    pub const HANDLE: i32 = -31004;
    /// The key was started before; its outcome is a [`super::Lookup`] away. Nothing ran now.
    pub const KEY_USED: i32 = -31005;
    /// The sandbox itself failed: a disk, a kernel feature, a bug. The message is for a person.
    pub const INTERNAL: i32 = -31006;
}

/// Opens a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Lease epoch of the operator.
    pub epoch: u64,
    /// UID of the run this sandbox serves; the server was started for one run and refuses another.
    pub run_uid: String,
}

/// The sandbox is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// `CARGO_PKG_VERSION` of the server.
    pub version: String,
    /// The kernel's Landlock ABI; the server exits at start when it is below what confinement needs.
    pub landlock_abi: u32,
    /// The workspace, if one was loaded before.
    pub workspace: Option<Imported>,
}

/// How a workspace is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// A gzipped tar of plain files and directories. Links, devices and names outside the archive are refused.
    TarGz,
    /// A git bundle with `refs/heads/main` and `refs/tags/reeve/base`.
    GitBundle,
}

/// One chunk of a packed workspace. Chunks come in order of `offset`; the last one has `last`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Digest of the whole packed form, checked before anything is unpacked.
    pub digest: Digest,
    /// How it is packed.
    pub packing: Packing,
    /// Leading path components to drop (tar only).
    pub strip_components: u32,
    /// Where this chunk starts.
    pub offset: u64,
    /// The chunk, base64 (standard alphabet, padded).
    pub data: String,
    /// Whether this is the last chunk: unpack, commit as the base, answer.
    pub last: bool,
}

/// What is loaded; before the last chunk only `received` is of interest. Importing a digest that is loaded already answers at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Digest of the packed form.
    pub digest: Digest,
    /// Bytes received so far.
    pub received: u64,
    /// Commit that `reeve/base` names, once loaded.
    pub base_commit: Option<String>,
    /// Commit that `main` names, once loaded.
    pub head_commit: Option<String>,
    /// Files in the workspace, once loaded.
    pub files: u64,
}

/// Asks what a call would touch, and holds it open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolve {
    /// Idempotency key of the call: `<run uid>/<seq of its intent row>/<index>`.
    pub key: String,
    /// The tool.
    pub tool: ToolName,
    /// Arguments as the model gave them.
    pub arguments: serde_json::Value,
}

/// What a call would touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Names the open files behind this answer; good for one [`Call`] with the same key on the same server.
    pub handle: String,
    /// What the operator judges and journals.
    pub canonical: Canonical,
}

/// A call with nothing left to interpretation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canonical {
    /// The tool.
    pub tool: ToolName,
    /// Arguments with defaults filled in and paths in canonical form.
    pub arguments: serde_json::Value,
    /// Files and directories the tool itself opens, workspace-relative (`.` is the workspace), without `..`, links resolved by the kernel.
    pub paths: Vec<TouchedPath>,
    /// The program that would be executed.
    pub program: Option<Program>,
    /// Argument vector, first the program as it was asked for. Empty for tools that execute nothing of the user's.
    pub argv: Vec<String>,
}

/// One path of a [`Canonical`] call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchedPath {
    /// Workspace-relative.
    pub path: String,
    /// Whether the call may change it.
    pub write: bool,
    /// Whether it exists at the time of resolving.
    pub exists: bool,
}

/// A program, found through the sandbox's fixed `PATH` or below the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Absolute path after links.
    pub path: String,
    /// Digest of its bytes.
    pub digest: Digest,
}

/// Executes what was resolved and judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The key of the [`Resolve`].
    pub key: String,
    /// Its handle.
    pub handle: String,
    /// What the process may touch.
    pub confinement: Confinement,
}

/// The limits that the operator's decision puts on one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Network profile.
    pub network: Network,
    /// Whether the process may write the workspace (Landlock); the tool's own scratch directory is always writable.
    pub workspace_writable: bool,
    /// After this the whole process tree is killed.
    pub timeout_ms: u64,
    /// Kept from the start of the output.
    pub output_head_bytes: usize,
    /// Kept from its end.
    pub output_tail_bytes: usize,
}

/// Which sockets a tool process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// `AF_UNIX` only.
    None,
}

/// How a call ended. A failing test run or an exit code other than 0 is `Error`, an answer like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It did what was asked.
    Ok,
    /// It ran and says no.
    Error,
    /// It was killed at its timeout.
    Timeout,
    /// It was ended by a signal that was not ours (out of memory, a crash).
    Killed,
    /// It was killed because everything was to stop; what it had done so far stays.
    Halted,
}

/// What came of a call, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Output for the model: UTF-8 (invalid bytes replaced), head and tail with a line between that says how much is missing.
    pub content: String,
    /// Bytes that the tool produced in all.
    pub output_bytes: u64,
    /// Whether `content` leaves some out.
    pub truncated: bool,
    /// Exit code of the process, if one ran to its end.
    pub exit_code: Option<i32>,
    /// Wall time.
    pub duration_ms: u64,
    /// Commit made, for `git.commit`.
    pub commit: Option<String>,
}

/// Asks the ledger about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The key.
    pub key: String,
    /// How long to wait for a call that is still running.
    pub wait_ms: u64,
}

/// What the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Recorded {
    /// The key never started: nothing ran.
    Absent,
    /// It is still running.
    Running,
    /// It ended.
    Done {
        /// Its outcome.
        outcome: Outcome,
    },
    /// It started, and the server that ran it is gone: whether its effect happened cannot be known.
    Unknown,
}

/// Packs the workspace's commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {}

/// What the workspace holds. Blobs stay fetchable until the next checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpointed {
    /// Commit of `reeve/base`.
    pub base_commit: String,
    /// Commit of `main`.
    pub head_commit: String,
    /// Files changed but not committed, workspace-relative, at most 50.
    pub uncommitted: Vec<String>,
    /// Files that differ between base and head, workspace-relative.
    pub changed: Vec<String>,
    /// `git diff --binary base head`.
    pub patch: Blob,
    /// A git bundle of `main` and `reeve/base`.
    pub bundle: Blob,
}

/// Bytes that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Digest of all of it.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Fetches part of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Which.
    pub digest: Digest,
    /// Where to start.
    pub offset: u64,
    /// At most so many bytes.
    pub max_bytes: u64,
}

/// Part of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Base64 (standard alphabet, padded).
    pub data: String,
}

/// Kills every tool process at once, whatever it does about signals, sessions and forks. Calls that come later run as ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {}

/// No tool process is left, and the ledger has the outcome of every call that was in flight. Answered only then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// Calls in flight that were killed: those whose outcome is [`Status::Halted`]. A call that ended by itself just before is none.
    pub calls: u32,
}

/// Ends the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {}
