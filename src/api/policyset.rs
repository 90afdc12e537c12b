//! What agents may do.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/policyset-minimal.yaml")]
//! ```

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Role, ToolName};

/// What agents may do, in Cedar. A tool call goes ahead only when every set that applies to its run permits it: the sets of the operator's
/// namespace apply everywhere, those of another namespace to its runs, so a namespace can only narrow.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "PolicySet",
    namespaced,
    status = "PolicySetStatus",
    shortname = "policy",
    category = "reeve",
    doc = "What agents may do, in Cedar. A tool call goes ahead only when every set that applies to its run permits it: the sets of the operator's namespace apply everywhere, those of another namespace to its runs, so a namespace can only narrow.",
    selectable = ".spec.mode",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.activeDigest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PolicySetSpec {
    /// Cedar policies, each with `@id("...")`. They are validated strictly against the schema in `policies/reeve.cedarschema`.
    #[schemars(length(min = 1, max = 65536))]
    pub cedar: String,
    /// Enforce: it decides. Shadow: what it would have said is journaled.
    #[serde(default)]
    pub mode: PolicyMode,
    /// Golden decisions: a text under which one of them does not hold never becomes active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub cases: Vec<PolicyCase>,
}

/// Whether a set decides.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum PolicyMode {
    /// It decides.
    #[default]
    Enforce,
    /// What it would have said is journaled.
    Shadow,
}

/// A decision that must come out.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCase {
    /// What it shows.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Role of the agent.
    #[serde(default = "coder")]
    pub role: Role,
    /// Autonomy level of the run.
    #[serde(default = "crate::agentrun::autonomy")]
    #[schemars(range(min = 1, max = 2))]
    pub autonomy_level: i32,
    /// The tool.
    pub tool: ToolName,
    /// Workspace-relative paths that the call touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 4096)))]
    pub paths: Vec<String>,
    /// Absolute path of the program that would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub program: Option<String>,
    /// Argument vector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub argv: Vec<String>,
    /// People who approved the call. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16))]
    pub human_keys: Option<i32>,
    /// What must come out.
    pub expect: ExpectedVerdict,
}

const fn coder() -> Role {
    Role::Coder
}

/// What must come out of a case.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ExpectedVerdict {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
}

/// What is known of a set.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySetStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// SHA-256 digest of the canonical spec that decides. A bad edit leaves the one before in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub active_digest: Option<String>,
    /// Policies in the active text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<i32>,
    /// Conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}
