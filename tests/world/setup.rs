//! What every test's namespace has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::Person;
use super::cluster::{CHART_ACCOUNT, CHART_NAMESPACE, sandbox_image};
use super::outcome;

/// A namespace under restricted Pod Security in which the chart's operator has the rights that the chart gives it, and no other.
pub(crate) async fn namespace(admin: &Person, more_labels: &[(&str, &str)]) {
    // The second label has the chart's admission policies bound to it (tests/admission.yaml).
    let labels = [("pod-security.kubernetes.io/enforce", "restricted"), ("reeve.dev/test", "true")];
    let labels = labels.iter().chain(more_labels).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(admin.namespace.clone()), labels: Some(labels), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    Api::<Namespace>::all(admin.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    bind(admin, "ClusterRole", "reeve").await;
    for name in ["reeve-own", "reeve-secrets"] {
        let here = Role { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, rules: given(admin, name).await };
        admin.api::<Role>().create(&PostParams::default(), &here).await.unwrap();
        bind(admin, "Role", name).await;
    }
    // Pods are refused before it is there.
    outcome::wait::<ServiceAccount>(admin, "default", "exists", |account| account.is_some()).await;
}

/// The rules of a Role as the chart gave it in one of the namespaces that it was installed to work in.
async fn given(admin: &Person, name: &str) -> Option<Vec<PolicyRule>> {
    let roles = Api::<Role>::all(admin.client.clone());
    let labelled = ListParams::default().labels("app.kubernetes.io/instance=reeve");
    let found = roles.list(&labelled).await.unwrap().items.into_iter().find(|role| role.metadata.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("the chart gave no Role {name}; run ./hack/test, which installs it")).rules
}

async fn bind(admin: &Person, kind: &str, role: &str) {
    let binding = RoleBinding {
        metadata: ObjectMeta { name: Some(role.to_owned()), ..ObjectMeta::default() },
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: role.to_owned() },
        subjects: Some(vec![Subject {
            api_group: None,
            kind: "ServiceAccount".to_owned(),
            name: CHART_ACCOUNT.to_owned(),
            namespace: Some(CHART_NAMESPACE.to_owned()),
        }]),
    };
    admin.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
}

/// A ModelProvider that waits for nothing.
pub(crate) fn provider(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": name},
        "spec": {"kind": "openai-chat", "baseURL": url, "models": priced_models()},
    })
}

/// The models of a provider: one, `any`, which costs 1 USD per million tokens in and 2 out, by a price list that somebody looked at today.
pub fn priced_models() -> Value {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    json!([{"name": "any", "price": {"inputUSD": "1", "outputUSD": "2", "asOf": today}}])
}

/// An AgentProfile whose sandbox is small.
pub(crate) fn profile(name: &str, providers: &[&str]) -> Value {
    let routes: Vec<Value> = providers.iter().map(|provider| json!({"providerRef": {"name": provider}, "model": "any"})).collect();
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentProfile", "metadata": {"name": name},
        "spec": {
            "routes": {"planner": routes, "coder": routes},
            "sandbox": {"image": sandbox_image(), "resources": {"cpu": "1", "memory": "256Mi", "workspace": "64Mi"}},
        },
    })
}

/// A private key that signs a journal, as `openssl genpkey -algorithm ed25519` writes it (PKCS#8, RFC 8410).
pub fn signing_key() -> String {
    const PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let seed = std::iter::repeat_with(|| fastrand::u8(..)).take(32);
    let bytes: Vec<u8> = PREFIX.into_iter().chain(seed).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(bytes))
}
