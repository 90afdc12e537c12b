//! What runs may spend.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/riskbudget-minimal.yaml")]
//! ```

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What the runs that name it may spend together. Reserved before each model request and tool call, settled after.
///
/// A run that names none spends from the budget `default` of its namespace, if there is one when it starts. What was spent stays with the
/// name: a budget that is deleted and made again under its name goes on where it was.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "RiskBudget",
    namespaced,
    status = "RiskBudgetStatus",
    shortname = "budget",
    category = "reeve",
    doc = "What the runs that name it may spend together. Reserved before each model request and tool call, settled after. Making one, raising a limit and deleting the budget `default` need the verb `raise`; what was spent stays with the name.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("a RiskBudget's name has at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Tokens Left", type_ = "integer", json_path = ".status.tokens.left"),
    printcolumn(name = "USD Left", type_ = "string", json_path = ".status.costUSD.left"),
    printcolumn(name = "Calls Left", type_ = "integer", json_path = ".status.toolCalls.left"),
    printcolumn(name = "Seconds Left", type_ = "integer", json_path = ".status.runtimeSeconds.left"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RiskBudgetSpec {
    /// The limits. One that is left out does not limit; to take one away is to raise it.
    pub limits: BudgetLimits,
}

/// Limits. At least one.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.tokens) || has(self.costUSD) || has(self.toolCalls) || has(self.runtimeSeconds)").message("a budget limits something: give at least one of tokens, costUSD, toolCalls, runtimeSeconds"))]
pub struct BudgetLimits {
    /// Tokens of models, input and output together, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub tokens: Option<i64>,
    /// What models cost, in US dollars, for example "12.50". Exact to a millionth.
    #[serde(rename = "costUSD", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$"))]
    pub cost_usd: Option<String>,
    /// Tool calls that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub tool_calls: Option<i64>,
    /// Seconds that models and tools worked, added up over all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub runtime_seconds: Option<i64>,
}

/// What is known of a budget: the journal's own sums.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiskBudgetStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Balance>,
    /// US dollars.
    #[serde(rename = "costUSD", default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<UsdBalance>,
    /// Tool calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Balance>,
    /// Seconds, rounded up where used or reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_seconds: Option<Balance>,
    /// Conditions: Ready (the limits are in force, and something is left of each), Breached (more was used than a limit allows).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// One dimension of a budget.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// The limit in force, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Spent.
    pub used: i64,
    /// Held for what is under way.
    pub reserved: i64,
    /// The limit less both; 0 where they are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
}

/// US dollars, as decimals with up to six digits behind the point.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsdBalance {
    /// The limit in force, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub limit: Option<String>,
    /// Spent.
    #[schemars(length(max = 24))]
    pub used: String,
    /// Held for what is under way.
    #[schemars(length(max = 24))]
    pub reserved: String,
    /// The limit less both; 0 where they are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub left: Option<String>,
}
