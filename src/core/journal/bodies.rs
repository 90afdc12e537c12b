//! Bodies of the events of a run's loop.

use jiff::Timestamp;
use reeve_api::ForkOf;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Seq;
use super::gates::{ApprovalTerms, Proposal};
use crate::Digest;
use crate::budget::Price;
use crate::model::ModelResponse;
use crate::tool::{Role, ToolName, wire};

/// Body of `run.started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted {
    /// Namespace of the AgentRun.
    pub namespace: String,
    /// Name of the AgentRun.
    pub name: String,
    /// Who asked, as admission stamped it.
    pub requested_by: String,
    /// The spec as it was then.
    pub spec: SpecSnapshot,
    /// Where it goes on from, if it was forked: the rows before are another run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
}

/// A place in another run, whose rows up to there are the beginning of this one. They are named and not copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkedFrom {
    /// Name of the parent, an AgentRun of the same namespace.
    pub name: String,
    /// Its UID, which names its stream.
    pub uid: String,
    /// The last of its rows that belongs to this run too.
    pub seq: Seq,
    /// Hash of that row.
    pub hash: Digest,
    /// The row of the parent in which its workspace was kept last: a `checkpoint`, or its `workspace.loaded`. Nothing changed it since.
    pub kept_at: Seq,
    /// Commit of `reeve/base` then.
    pub base_commit: String,
    /// Commit of `main` then: what the new workspace must be.
    pub head_commit: String,
}

impl ForkedFrom {
    /// As the spec of the run names it.
    pub fn as_spec(&self) -> ForkOf {
        let seq = i64::try_from(self.seq.0).unwrap_or(i64::MAX);
        ForkOf { name: self.name.clone(), uid: self.uid.clone(), seq, hash: self.hash.to_string() }
    }
}

/// What a run takes from its spec, its profile and its goal, fixed at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecSnapshot {
    /// What the agent is there for.
    pub role: Role,
    /// What it shall do.
    pub objective: String,
    /// Name of its task, if it serves one; the lane of a transcript.
    pub task: Option<String>,
    /// Autonomy level, 1 or 2.
    pub autonomy: u8,
    /// Instructions from the profile.
    pub system_prompt: String,
    /// Digest of the profile's spec.
    pub profile_digest: Digest,
    /// Models to ask, in order: `(ModelProvider, model)`.
    pub routes: Vec<(String, String)>,
    /// What each of them costs.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// The account of the RiskBudget that it spends from: `<namespace>/<name>`.
    #[serde(default)]
    pub budget: Option<String>,
    /// Who may approve, and until when.
    #[serde(default)]
    pub approval: ApprovalTerms,
    /// What a merge would merge.
    #[serde(default)]
    pub merge: Option<Proposal>,
    /// The most tokens an answer may have.
    pub max_output_tokens: u32,
    /// Tools on offer.
    pub tools: Vec<ToolName>,
    /// Commands of an acceptance run, in order.
    pub commands: Vec<AcceptanceCommand>,
    /// Packed workspace in the artifact store.
    pub workspace: PackedWorkspace,
    /// Where tools run. A merge has none.
    pub sandbox: SandboxShape,
    /// Bounds.
    pub limits: RunLimits,
    /// Whether the workspace is kept after every commit, so that the run can be forked there. The first release kept it at the end only.
    #[serde(default)]
    pub keeps_commits: bool,
}

/// The sandbox that a run is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxShape {
    /// Image of the workspace container.
    pub image: String,
    /// CPU limit, a Kubernetes quantity.
    pub cpu: String,
    /// Memory limit, a Kubernetes quantity.
    pub memory: String,
    /// Size limit of the workspace and of its git directory each, a Kubernetes quantity.
    pub workspace: String,
    /// RuntimeClass, if one is wanted.
    pub runtime_class: Option<String>,
}

/// One command of an acceptance run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Bound of its run time.
    pub timeout_seconds: u32,
}

/// A workspace in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackedWorkspace {
    /// Digest of the packed form.
    pub digest: Digest,
    /// How it is packed.
    pub packing: wire::Packing,
    /// Leading path components to drop.
    pub strip_components: u32,
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLimits {
    /// Model answers (commands, for an acceptance run).
    pub steps: u32,
    /// Wall time from `run.started`, seconds. Time that it is suspended, or waits for people, does not count.
    pub seconds: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Bytes given back to the model.
    pub output_bytes: u64,
}

/// Body of `sandbox.requested`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxAsked {
    /// The Job's deterministic name.
    pub job: String,
    /// Image of the workspace container.
    pub image: String,
}

/// Body of `sandbox.ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxReady {
    /// UID of the Job.
    pub job_uid: String,
    /// UID of its only Pod. A run never goes on in another one.
    pub pod_uid: String,
    /// Name of the Pod.
    pub pod: String,
    /// Digest reference of the image that runs, as the kubelet reports it.
    pub image_id: String,
}

/// Body of `workspace.loaded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceLoaded {
    /// Digest of the packed form.
    pub digest: Digest,
    /// Commit of `reeve/base`.
    pub base_commit: String,
    /// Commit of `main`.
    pub head_commit: String,
    /// Files in it.
    pub files: u64,
}

/// Body of `model.request`. The messages are not repeated: they are a function of the rows before, and `digest` proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelAsked {
    /// Step, from 1.
    pub step: u32,
    /// Index into the run's routes.
    pub route: usize,
    /// ModelProvider asked (`gen_ai.provider.name`).
    pub provider: String,
    /// Model asked (`gen_ai.request.model`).
    pub model: String,
    /// Digest of the canonical redacted request.
    pub digest: Digest,
    /// Messages in it.
    pub messages: usize,
}

/// Body of `model.response`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum ModelAnswered {
    /// It answered.
    Answer {
        /// The answer, redacted.
        response: ModelResponse,
        /// Tries it took.
        attempts: u32,
    },
    /// It did not.
    Failure {
        /// [`crate::model::ModelFailure`].
        failure: crate::model::ModelFailure,
        /// For a person.
        message: String,
        /// Tries it took.
        attempts: u32,
        /// The last try may have been answered and charged all the same: it was cut, or took too long.
        #[serde(default)]
        sent: bool,
    },
}

/// Body of `tool.requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolAsked {
    /// Idempotency key: `<run uid>/<step>/<index>`.
    pub key: String,
    /// [`crate::model::ToolCall::id`].
    pub call_id: String,
    /// The call in canonical form. None where it could not be resolved: an error result follows at once. A control tool's are its arguments.
    pub canonical: Option<wire::Canonical>,
    /// Name as the model gave it.
    pub name: String,
    /// Arguments as the model gave them, redacted.
    pub arguments: Value,
}

/// What policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The call goes on.
    Allow,
    /// It goes on when so many people approve it.
    Ask {
        /// People.
        human: u32,
    },
    /// It does not.
    Deny,
}

/// Body of `policy.decision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Key of the call.
    pub key: String,
    /// Allow or Deny.
    pub verdict: Verdict,
    /// Policies that decided, `<set>/<policy id>`; for a Deny without any, none permitted it.
    pub determining: Vec<String>,
    /// Why, for the model and for people.
    pub reason: String,
    /// Digests of the policy sets that were asked, by name.
    pub sets: Vec<(String, Digest)>,
    /// What sets in mode Shadow would have said otherwise, for people.
    pub shadow: Vec<String>,
}

/// Body of `tool.result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolEnded {
    /// Key of the call.
    pub key: String,
    /// [`crate::model::ToolCall::id`].
    pub call_id: String,
    /// What came of it.
    pub observation: Observation,
    /// For the model to read, redacted.
    pub content: String,
}

/// How a tool call ended, seen from the loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "how")]
pub enum Observation {
    /// It ran.
    Ran {
        /// How it ended in the sandbox.
        status: wire::Status,
        /// Exit code, if a process ran to its end.
        exit_code: Option<i32>,
        /// Bytes the tool produced.
        output_bytes: u64,
        /// Wall time.
        duration_ms: u64,
        /// Commit made.
        commit: Option<String>,
    },
    /// It never ran: unknown tool, invalid arguments, a path outside.
    Invalid,
    /// Policy said no.
    Denied,
    /// Whether it ran cannot be known: the sandbox that ran it is gone.
    Unknown,
    /// A control tool was answered.
    Answered,
    /// A control tool was refused (`finish` with uncommitted changes).
    Refused,
}

/// Body of `reflect`: the step weighed by rule, not by a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reflection {
    /// Step, from 1.
    pub step: u32,
    /// Calls of this step that ran and said yes.
    pub succeeded: u32,
    /// Calls that ran and said no, or could not run.
    pub failed: u32,
    /// Calls that policy denied.
    pub denied: u32,
    /// How often in a row the same call has come.
    pub same_call_in_a_row: u32,
    /// Answers in a row that called no tool that could be understood.
    pub useless_in_a_row: u32,
    /// Result of the last test run, if there was one since the last edit.
    pub tests: Option<bool>,
    /// What Reeve says to the model beside the results, if anything.
    pub advice: Option<String>,
}

/// One task of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTask {
    /// A DNS label, unique in the plan.
    pub name: String,
    /// What to do.
    pub description: String,
}

/// Body of `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointTaken {
    /// Step it belongs to.
    pub step: u32,
    /// What the sandbox packed; its blobs are in the artifact store.
    pub workspace: wire::Checkpointed,
}

/// Body of `run.finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFinished {
    /// Whether it reached what it was there for.
    pub succeeded: bool,
    /// One of [`crate::run::EndReason`].
    pub reason: crate::run::EndReason,
    /// For a person.
    pub message: String,
    /// The plan, of a planner.
    pub tasks: Vec<PlannedTask>,
    /// Time of the end.
    pub at: Timestamp,
}

/// Body of `policy.activated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyActivated {
    /// Namespace of the PolicySet.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: a set made anew under the same name starts without a past.
    pub uid: String,
    /// Digest of its spec in the artifact store.
    pub digest: Digest,
    /// Generation it was read from.
    pub generation: i64,
    /// The canonical spec itself, of which `digest` is the digest: with it, a decision can be judged again from an export alone.
    ///
    /// None in rows of the first release, and where the text does not fit a row or looks like it holds a secret: then only the artifact
    /// store has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
