//! Settings of the operator.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::anchors::WitnessUrl;
use reeve_store::{ArtifactsPlace, Place};

/// Port of the read API in the operator's Pod, which `kubectl reeve` forwards to.
pub const READ_API_PORT: u16 = 8081;

/// Settings of the operator, fixed at its start. The program reads them from flags and the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Namespace of the Lease and of the PolicySets that apply everywhere: the operator's own.
    pub namespace: String,
    /// Namespaces to work in. None means all.
    pub watch_namespaces: Vec<String>,
    /// Where artifacts are kept. It shows itself without its keys.
    pub artifacts: ArtifactsPlace,
    /// Where the journal lies. It shows itself without its password.
    pub journal: Place,
    /// Operators that run at the same time, at least 1. More than one need a journal that is no file.
    pub replicas: usize,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who holds the Lease: the Pod's UID, never the same for two processes.
    pub identity: String,
    /// Image whose `/reeve` the init container of a sandbox copies in.
    pub sandbox_installer_image: String,
    /// `imagePullPolicy` of a sandbox's containers.
    pub sandbox_pull_policy: String,
    /// Where health and metrics are served, to whoever can reach it.
    pub http_address: SocketAddr,
    /// Where the read API is served.
    pub read_api_address: LoopbackAddress,
    /// Directory of the keys that sign the journal: `NAME.pem` each, and `active` with the name of the one that signs.
    pub journal_key_dir: PathBuf,
    /// Where each root of the journal's signed heads is posted, beside the ConfigMap and the log.
    pub witness: Option<WitnessUrl>,
    /// Runs that are driven at the same time, at least 1.
    pub max_concurrent_runs: usize,
    /// Name of the ValidatingAdmissionPolicy that proves votes.
    pub approval_policy: String,
    /// Name of its binding.
    pub approval_binding: String,
    /// Name of the MutatingAdmissionPolicy that turns decisions into votes, where the server has it.
    pub decision_policy: String,
    /// Name of its binding.
    pub decision_binding: String,
}

impl Config {
    /// Refuses what can only do harm.
    ///
    /// # Errors
    /// What was expected, what was found, and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_concurrent_runs == 0 {
            return Err("expected --max-concurrent-runs to be at least 1, found 0".to_owned());
        }
        match &self.journal {
            Place::File(path) if self.replicas > 1 => Err(format!(
                "expected one replica with the journal in the SQLite file {}, found {}: a file has one writer, and each replica would make \
                 its own. Give --database a postgres:// URL, or run one replica",
                path.display(),
                self.replicas
            )),
            Place::File(_) | Place::Postgres(_) => Ok(()),
        }
    }
}

/// An address that nothing but its own host, or its own Pod, can reach.
///
/// The read API shows every journal and artifact and asks nobody who they are. On loopback, whoever reads it was let in by the API server
/// (`pods/portforward`), which does ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopbackAddress(SocketAddr);

impl LoopbackAddress {
    /// The address.
    #[must_use]
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl Default for LoopbackAddress {
    fn default() -> LoopbackAddress {
        LoopbackAddress(SocketAddr::from((Ipv4Addr::LOCALHOST, READ_API_PORT)))
    }
}

impl fmt::Display for LoopbackAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for LoopbackAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<LoopbackAddress, String> {
        let address: SocketAddr = text.parse().map_err(|error| format!("expected ADDRESS:PORT, such as {}: {error}", Self::default()))?;
        if address.ip().is_loopback() {
            return Ok(LoopbackAddress(address));
        }
        Err(format!(
            "expected a loopback address, such as {}: the read API shows every journal to whoever reaches it; \
             people reach it by `kubectl reeve`, through the API server",
            Self::default()
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_file_serves_one_replica_and_postgres_more() {
        let config = |journal: &str, replicas| Config {
            journal_key_dir: PathBuf::new(),
            witness: None,
            namespace: "reeve".to_owned(),
            watch_namespaces: Vec::new(),
            artifacts: ArtifactsPlace::Folder(PathBuf::from("/data/artifacts")),
            journal: journal.parse().unwrap(),
            replicas,
            lease_name: "reeve".to_owned(),
            identity: "me".to_owned(),
            sandbox_installer_image: "reeve".to_owned(),
            sandbox_pull_policy: "Never".to_owned(),
            http_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            read_api_address: LoopbackAddress::default(),
            max_concurrent_runs: 1,
            approval_policy: String::new(),
            approval_binding: String::new(),
            decision_policy: String::new(),
            decision_binding: String::new(),
        };
        assert_eq!(config("/data/journal.db", 1).check(), Ok(()));
        assert_eq!(config("postgres://reeve:hunter2@db/journal", 3).check(), Ok(()));
        let refused = config("/data/journal.db", 2).check().unwrap_err();
        assert!(refused.contains("expected one replica") && refused.contains("postgres://"), "{refused}");
        assert!(!format!("{:?}", config("postgres://reeve:hunter2@db/journal", 3)).contains("hunter2"));
    }

    #[test]
    fn the_read_api_listens_on_loopback_or_not_at_all() {
        for good in ["127.0.0.1:8081", "127.8.9.10:1", "[::1]:8081"] {
            assert_eq!(good.parse::<LoopbackAddress>().unwrap().to_string(), good);
        }
        for open in ["0.0.0.0:8081", "[::]:8081", "10.0.0.1:8081", "[::ffff:10.0.0.1]:8081"] {
            assert!(open.parse::<LoopbackAddress>().unwrap_err().contains("expected a loopback address"), "{open}");
        }
        for nonsense in ["8081", "localhost:8081", ""] {
            assert!(nonsense.parse::<LoopbackAddress>().unwrap_err().contains("expected ADDRESS:PORT"), "{nonsense}");
        }
    }
}
