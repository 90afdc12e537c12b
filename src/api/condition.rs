//! Conditions as Kubernetes has them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Types of conditions that Reeve sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionType {
    /// The summary: what the object is there for holds. For a Goal or an AgentRun: it reached its end well.
    Ready,
    /// AgentRun: the sandbox's Pod runs and answers.
    SandboxReady,
    /// RiskBudget: more was used than a limit allows.
    Breached,
}

impl ConditionType {
    /// As written in `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionType::Ready => "Ready",
            ConditionType::SandboxReady => "SandboxReady",
            ConditionType::Breached => "Breached",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not yet known.
    Unknown,
}

impl ConditionStatus {
    /// As written in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        }
    }

    /// A condition of this status. `at` is kept by the caller when nothing changed.
    pub fn condition(self, kind: ConditionType, reason: &str, message: &str, generation: Option<i64>, at: Time) -> Condition {
        Condition {
            type_: kind.as_str().to_owned(),
            status: self.as_str().to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(4096).collect(),
            observed_generation: generation,
            last_transition_time: at,
        }
    }
}

/// `metav1.Condition` list as the API conventions have it: a map by type, bounded.
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "description": "What is known of the object; Ready sums it up.",
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316, "description": "Type of the condition, in CamelCase.",
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
                },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds." },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why, in one CamelCase word."
                },
                "message": { "type": "string", "maxLength": 32768, "description": "Why, for a person." },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0, "description": "Generation that it was judged on." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When status last changed." }
            }
        }
    })
}
