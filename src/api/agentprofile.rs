//! Who an agent is.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/agentprofile-minimal.yaml")]
//! ```

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, LocalRef, ToolName};

/// Who an agent is: its prompts, the models it asks, its tools, its sandbox. A run takes what it needs when it starts; an edit reaches later runs.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "AgentProfile",
    namespaced,
    status = "AgentProfileStatus",
    shortname = "profile",
    category = "reeve",
    doc = "Who an agent is: its prompts, the models it asks, its tools, its sandbox. A run takes what it needs when it starts; an edit reaches later runs.",
    selectable = ".spec.sandbox.image",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.sandbox.image", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentProfileSpec {
    /// Instructions per role; each has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Prompts>,
    /// Models per role.
    pub routes: Routes,
    /// The most tokens one answer may have.
    #[serde(default = "max_output_tokens")]
    #[schemars(range(min = 16, max = 131072))]
    pub max_output_tokens: i32,
    /// Tools on offer. Default: all of the role. `finish` is always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 11))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tools: Option<Vec<ToolName>>,
    /// Where tools run.
    pub sandbox: Sandbox,
}

const fn max_output_tokens() -> i32 {
    4096
}

/// Instructions per role.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prompts {
    /// For planners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub planner: Option<String>,
    /// For coders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub coder: Option<String>,
}

/// Models per role.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routes {
    /// For planners: asked in order, the next where one does not answer.
    #[schemars(length(min = 1, max = 4))]
    pub planner: Vec<Route>,
    /// For coders: asked in order, the next where one does not answer.
    #[schemars(length(min = 1, max = 4))]
    pub coder: Vec<Route>,
}

/// A model of a provider.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The ModelProvider.
    pub provider_ref: LocalRef,
    /// One of its `models`.
    #[schemars(length(min = 1, max = 256))]
    pub model: String,
}

/// Where tools run.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Image of the workspace. Any image works; the git tools need git in it. Runs as a user that is not root, with a read-only root.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Bounds of the Pod; each has a default.
    #[serde(default)]
    pub resources: SandboxResources,
    /// RuntimeClass of the Pod, for a stronger wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
}

/// Bounds of a sandbox's Pod.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxResources {
    /// CPU limit.
    #[serde(default = "cpu")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(\.[0-9]{1,3}|m)?$"))]
    pub cpu: String,
    /// Memory limit.
    #[serde(default = "memory")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Ki|Mi|Gi)$"))]
    pub memory: String,
    /// Size limit of the workspace and of its git directory, each.
    #[serde(default = "workspace")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Ki|Mi|Gi)$"))]
    pub workspace: String,
}

impl Default for SandboxResources {
    fn default() -> SandboxResources {
        SandboxResources { cpu: cpu(), memory: memory(), workspace: workspace() }
    }
}

fn cpu() -> String {
    "1".to_owned()
}

fn memory() -> String {
    "1Gi".to_owned()
}

fn workspace() -> String {
    "1Gi".to_owned()
}

/// What is known of a profile.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentProfileStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// SHA-256 digest of the canonical spec: what a run's journal names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// Conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}
