//! The cluster that a command talks to, with kubectl's own flags.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::exit::Failure;

/// Flags that every kubectl plugin has.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// Path to the kubeconfig
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    user: Option<String>,
    /// Namespace; default that of the context
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Cluster")]
    namespace: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER", help_heading = "Cluster")]
    impersonate: Option<String>,
    /// Group to act as; repeatable
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "impersonate", help_heading = "Cluster")]
    impersonate_groups: Vec<String>,
    /// Longest wait for one answer of the cluster
    #[arg(
        long, global = true, value_name = "SECONDS", default_value_t = 30, help_heading = "Cluster",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    request_timeout_seconds: u64,
}

impl Connection {
    /// A client, and the namespace that is meant.
    pub(crate) async fn connect(&self) -> Result<(Client, String), Failure> {
        let mut config = self.config().await?;
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone()).filter(|groups| !groups.is_empty());
        }
        config.read_timeout = Some(Duration::from_secs(self.request_timeout_seconds));
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        install_crypto();
        let client = Client::try_from(config).map_err(|error| Failure::unusable(format!("making a client: {error}")))?;
        Ok((client, namespace))
    }

    /// The namespace that was given as a flag.
    pub(crate) fn given_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    async fn config(&self) -> Result<Config, Failure> {
        let options = KubeConfigOptions { context: self.context.clone(), cluster: self.cluster.clone(), user: self.user.clone() };
        let chosen = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
        let unusable = |error: kube::config::KubeconfigError| Failure::unusable(format!("reading the kubeconfig: {error}"));
        match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)
            }
            None if chosen => Config::from_kubeconfig(&options).await.map_err(unusable),
            // A kubeconfig, or inside a Pod its ServiceAccount.
            None => Config::infer().await.map_err(|error| Failure::unusable(format!("finding a cluster: {error}"))),
        }
    }
}

/// rustls has one crypto provider in this program and must be told which, before the first connection.
pub(crate) fn install_crypto() {
    // It fails only where one is installed already, which is then the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What an answer of the cluster that says no means, while doing this.
pub(crate) fn refused(doing: impl Display) -> impl FnOnce(kube::Error) -> Failure {
    move |error| Failure::no(format!("{doing}: {}", said(&error)))
}

/// An error of the cluster in the server's words, with its code.
pub(crate) fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { format!("{} ({})", status.message, status.code) } else { error.to_string() }
}
