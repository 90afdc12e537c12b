//! The cluster that `./hack/up` made, and what the checkout has built for it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Once;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::process::Command;

use super::Person;

/// Where `hack/test` installs the chart.
pub(crate) const CHART_NAMESPACE: &str = "reeve-system";
/// The chart's ServiceAccount: whom admission knows as the operator.
pub(crate) const CHART_ACCOUNT: &str = "reeve";
/// What the API server calls it.
pub const OPERATOR: &str = "system:serviceaccount:reeve-system:reeve";

/// How long anything may take before a test calls it hanging.
pub fn deadline() -> Duration {
    Duration::from_secs(std::env::var("REEVE_TEST_DEADLINE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(90))
}

/// The checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A real cluster, signed in as its admin.
#[derive(Clone)]
pub struct Cluster {
    kubeconfig: Kubeconfig,
    /// As the admin.
    pub client: Client,
}

impl Cluster {
    /// Signs in by `$KUBECONFIG`, or by what `./hack/up` left in the checkout. No cluster is a failure, never a skip.
    pub async fn connect() -> Cluster {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let path = std::env::var_os("KUBECONFIG").map_or_else(|| repository().join(".cache/kubeconfig"), PathBuf::from);
        let kubeconfig = Kubeconfig::read_from(&path)
            .unwrap_or_else(|error| panic!("no cluster: {} cannot be read ({error}); run ./hack/up first", path.display()));
        let client = sign_in(kubeconfig.clone()).await;
        let version = client.apiserver_version().await;
        version.unwrap_or_else(|error| panic!("no cluster answers ({error}); run ./hack/up first"));
        Cluster { kubeconfig, client }
    }

    /// The admin, in this namespace.
    pub fn admin_in(&self, namespace: &str) -> Person {
        Person { client: self.client.clone(), namespace: namespace.to_owned() }
    }

    /// As this user, with no rights but those that are bound to the name or to these groups.
    pub(crate) async fn impersonate(&self, user: &str, groups: &[&str]) -> Client {
        let groups: Vec<String> = groups.iter().chain(&["system:authenticated"]).map(|group| (*group).to_owned()).collect();
        let mut kubeconfig = self.kubeconfig.clone();
        for named in &mut kubeconfig.auth_infos {
            let auth = named.auth_info.get_or_insert_default();
            auth.impersonate = Some(user.to_owned());
            auth.impersonate_groups = Some(groups.clone());
        }
        sign_in(kubeconfig).await
    }

    /// A kubeconfig with a token of the chart's ServiceAccount: exactly what an operator in the cluster may do.
    pub(crate) async fn operator_kubeconfig(&self) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), CHART_NAMESPACE);
        let wanted = TokenRequest {
            spec: TokenRequestSpec { audiences: Vec::new(), expiration_seconds: Some(7200), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let issued = accounts.create_token_request(CHART_ACCOUNT, &PostParams::default(), &wanted).await;
        let issued = issued.unwrap_or_else(|error| panic!("the chart is not installed ({error}); run ./hack/test, which installs it"));
        let cluster = self.kubeconfig.clusters.first().unwrap().cluster.clone().unwrap();
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "reeve",
            "clusters": [{"name": "reeve", "cluster": cluster}],
            "users": [{"name": "operator", "user": {"token": issued.status.unwrap().token}}],
            "contexts": [{"name": "reeve", "context": {"cluster": "reeve", "user": "operator"}}],
        })
        .to_string()
    }
}

async fn sign_in(kubeconfig: Kubeconfig) -> Client {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The `reeve` binary with fail points. `hack/test` keeps a copy: cargo puts builds without them at the same place.
pub(crate) fn reeve_binary() -> PathBuf {
    let path = std::env::var_os("REEVE_BINARY").map_or_else(|| repository().join(".cache/bin/reeve-failpoints"), PathBuf::from);
    assert!(path.exists(), "{} is not built; run: ./hack/test e2e", path.display());
    path
}

/// The image whose `/reeve` the sandbox's init container copies in.
pub(crate) fn reeve_image() -> String {
    std::env::var("REEVE_IMAGE").unwrap_or_else(|_| "localhost/reeve:dev".to_owned())
}

/// The image that tools run in.
pub fn sandbox_image() -> String {
    std::env::var("REEVE_SANDBOX_IMAGE").unwrap_or_else(|_| "localhost/reeve-sandbox:dev".to_owned())
}

/// Runs `reeve` as a person at a terminal would.
pub async fn reeve<const N: usize>(arguments: [&str; N]) -> Output {
    run_to_end(Command::new(reeve_binary()).args(arguments)).await
}

/// Runs `reeve` with these variables in its environment.
pub async fn reeve_in<const N: usize>(environment: &[(String, String)], arguments: [&str; N]) -> Output {
    run_to_end(Command::new(reeve_binary()).args(arguments).envs(environment.iter().cloned())).await
}

/// Runs a program to its end, within the deadline.
pub async fn run_to_end(command: &mut Command) -> Output {
    let running = command.kill_on_drop(true).output();
    match tokio::time::timeout(deadline(), running).await {
        Ok(output) => output.unwrap_or_else(|error| panic!("{command:?}: {error}")),
        Err(_) => panic!("{command:?}: still running after {:?}", deadline()),
    }
}
