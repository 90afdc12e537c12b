//! What stops everything.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/killswitch-minimal.yaml")]
//! ```

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// Stops every run of its namespace while it is engaged; in the operator's namespace, every run there is. Within a second nothing new begins,
/// within five every tool process is dead. Released, the runs go on.
///
/// Who may create one may engage it. Releasing one, and deleting one that is engaged, needs the verb `release`. While the operator cannot
/// read the switches, they count as engaged.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "KillSwitch",
    plural = "killswitches",
    namespaced,
    status = "KillSwitchStatus",
    shortname = "kill",
    category = "reeve",
    doc = "Stops every run of its namespace while it is engaged; in the operator's namespace, every run there is. Releasing one, and deleting one that is engaged, needs the verb `release`.",
    selectable = ".spec.engaged",
    printcolumn(name = "Engaged", type_ = "boolean", json_path = ".spec.engaged"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Stopped", type_ = "integer", json_path = ".status.stoppedRuns"),
    printcolumn(name = "Quiet After ms", type_ = "integer", json_path = ".status.quietAfterMs"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KillSwitchSpec {
    /// Whether it stops.
    #[serde(default = "engaged")]
    pub engaged: bool,
    /// Why, for those who find everything stopped.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
}

const fn engaged() -> bool {
    true
}

/// What a switch did. Only the operator writes it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillSwitchStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the operator saw it engaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engaged_at: Option<Time>,
    /// When the operator saw it released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// Runs that it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_runs: Option<i32>,
    /// Model requests that were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_model_requests: Option<i32>,
    /// Tool calls whose processes were killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_tool_calls: Option<i32>,
    /// Milliseconds from when the operator saw it until the last process was dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_after_ms: Option<i64>,
    /// Conditions: Ready (True: it is released; False: it is engaged, and everything is stopped; Unknown: it is being stopped).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}
