//! Settings of the operator.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of the operator, fixed at its start. The program reads them from flags and the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Namespace of the Lease and of the PolicySets that apply everywhere: the operator's own.
    pub namespace: String,
    /// Namespaces to work in. None means all.
    pub watch_namespaces: Vec<String>,
    /// Directory of the journal (`journal.db`) and the artifacts, on a local disk.
    pub data_dir: PathBuf,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who holds the Lease: the Pod's UID, never the same for two processes.
    pub identity: String,
    /// Image whose `/reeve` the init container of a sandbox copies in.
    pub sandbox_installer_image: String,
    /// `imagePullPolicy` of a sandbox's containers.
    pub sandbox_pull_policy: String,
    /// Where health, metrics and the read API are served.
    pub http_address: SocketAddr,
    /// Runs that are driven at the same time, at least 1.
    pub max_concurrent_runs: usize,
}
