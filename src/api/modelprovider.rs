//! Where models are asked.
//!
//! ```yaml
#![doc = include_str!("../../hack/examples/modelprovider-minimal.yaml")]
//! ```

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, ConfigMapKeyRef, SecretKeyRef};

/// Where models are asked: a server that speaks the OpenAI chat protocol, or a transcript that plays recorded answers.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "reeve.dev",
    version = "v1alpha1",
    kind = "ModelProvider",
    namespaced,
    status = "ModelProviderStatus",
    shortname = "provider",
    category = "reeve",
    doc = "Where models are asked: a server that speaks the OpenAI chat protocol, or a transcript that plays recorded answers.",
    selectable = ".spec.kind",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.baseURL", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind == 'openai-chat') == has(self.baseURL)").message("baseURL is what a provider of kind openai-chat has, and only such a provider"))]
#[x_kube(validation = Rule::new("(self.kind == 'recorded') == has(self.transcript)").message("transcript is what a provider of kind recorded has, and only such a provider"))]
#[x_kube(validation = Rule::new("self.kind == 'openai-chat' || (!has(self.secretRef) && !has(self.timeoutSeconds) && !has(self.maxRetries))").message("secretRef, timeoutSeconds and maxRetries belong to kind openai-chat"))]
pub struct ModelProviderSpec {
    /// What it speaks.
    pub kind: ProviderKind,
    /// URL before `/chat/completions`, for example `https://api.openai.com/v1`.
    #[serde(rename = "baseURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s?#@]+$"))]
    pub base_url: Option<String>,
    /// The key. A server that needs none, has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Bound of one request. Default 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: Option<i32>,
    /// Tries after the first, on overload and broken connections. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: Option<i32>,
    /// The recorded answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// Models that may be asked for.
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<Model>,
}

/// What a provider speaks.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// OpenAI chat completions, by any server.
    OpenaiChat,
    /// Recorded answers: a simulation, and it says so.
    Recorded,
}

/// Recorded answers.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    /// Where they are.
    pub config_map_key_ref: ConfigMapKeyRef,
}

/// A model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The provider's name for it.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What it costs. A run that would ask a model without a price does not start; "0" is a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<ModelPrice>,
}

/// US dollars per million tokens, each a decimal such as "2.50".
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelPrice {
    /// Input tokens.
    #[serde(rename = "inputUSD")]
    #[schemars(length(max = 16), regex(pattern = r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?$"))]
    pub input_usd: String,
    /// Input tokens that the provider read from its cache; as other input tokens if left out.
    #[serde(rename = "cachedInputUSD", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?$"))]
    pub cached_input_usd: Option<String>,
    /// Output tokens, reasoning included.
    #[serde(rename = "outputUSD")]
    #[schemars(length(max = 16), regex(pattern = r"^(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?$"))]
    pub output_usd: String,
    /// Day on which somebody looked at the provider's price list, `YYYY-MM-DD`. After 90 days a price of a kind other than `recorded` is
    /// refused, unless it is 0.
    #[schemars(length(max = 10), regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"))]
    pub as_of: String,
}

/// What is known of a provider.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelProviderStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::conditions_schema")]
    pub conditions: Vec<Condition>,
}
