//! `reeve operator`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use reeve_operator::{Config, LoopbackAddress, WitnessUrl};
use reeve_store::Place;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::artifact_store::{ArtifactsArgument, S3Arguments};
use crate::cluster::install_crypto;
use crate::database::{DatabaseArgument, Unquoted};
use crate::exit::Failure;

/// Threads that drive the loops. Reconciling waits far more than it computes, and each thread costs memory that an idle operator pays for.
const WORKER_THREADS: usize = 2;

/// Runs the operator. Each flag can be given as an environment variable; the flag wins.
#[derive(Args, Debug)]
#[command(
    after_help = "Example, outside a cluster:\n  reeve operator --namespace reeve-system --identity $(uuidgen) --data-dir /tmp/reeve \\\n    --journal-key-dir /tmp/reeve-keys --sandbox-installer-image localhost/reeve:dev"
)]
pub(crate) struct Operator {
    /// Namespace of its Lease and of the PolicySets that apply everywhere: its own. In a Pod, POD_NAMESPACE
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    namespace: String,
    /// Namespace to work in; repeatable. None means all
    #[arg(long = "watch-namespace", env = "REEVE_WATCH_NAMESPACE", value_name = "NAME", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Directory of the journal and the artifacts: a local disk that outlives the process
    #[arg(long, env = "REEVE_DATA_DIR", value_name = "DIR", default_value = "/var/lib/reeve")]
    data_dir: PathBuf,
    /// The journal: a SQLite file on a local disk, or a postgres:// URL, which belongs into the variable and not on the command line.
    /// Default: journal.db in the directory
    #[arg(long, env = crate::database::VARIABLE, hide_env_values = true, value_name = "FILE|URL")]
    database: Option<DatabaseArgument>,
    /// Where artifacts are kept: a folder, or s3://BUCKET[/PREFIX]. Default: `artifacts` in the directory
    #[arg(long, env = crate::artifact_store::VARIABLE, hide_env_values = true, value_name = "DIR|URL")]
    artifacts: Option<ArtifactsArgument>,
    /// Operators that run at the same time, one of which leads. More than one need a PostgreSQL journal
    #[arg(long, env = "REEVE_REPLICAS", value_name = "N", default_value = "1")]
    replicas: NonZeroUsize,
    /// Name of the Lease
    #[arg(long, env = "REEVE_LEASE_NAME", value_name = "NAME", default_value = "reeve")]
    lease_name: String,
    /// Who holds the Lease; never the same for two processes. In a Pod, POD_UID
    #[arg(long, env = "POD_UID", value_name = "ID")]
    identity: String,
    /// Image whose `reeve` the init container of a sandbox copies in: the operator's own
    #[arg(long, env = "REEVE_SANDBOX_INSTALLER_IMAGE", value_name = "IMAGE")]
    sandbox_installer_image: String,
    /// When the images of a sandbox are pulled
    #[arg(long, env = "REEVE_SANDBOX_PULL_POLICY", value_enum, default_value_t, value_name = "POLICY")]
    sandbox_pull_policy: PullPolicy,
    /// Where health and metrics are served
    #[arg(long, env = "REEVE_HTTP_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Where the read API is served: a loopback address. `kubectl reeve` forwards to its default port
    #[arg(long, env = "REEVE_READ_API_ADDRESS", value_name = "ADDRESS", default_value_t)]
    read_api_address: LoopbackAddress,
    /// Runs that are driven at the same time
    #[arg(long, env = "REEVE_MAX_CONCURRENT_RUNS", value_name = "N", default_value = "10")]
    max_concurrent_runs: NonZeroUsize,
    /// ValidatingAdmissionPolicy that proves who voted: the chart's
    #[arg(long, env = "REEVE_APPROVAL_POLICY", value_name = "NAME", default_value = "reeve-approvals")]
    approval_policy: String,
    /// Binding of that policy
    #[arg(long, env = "REEVE_APPROVAL_BINDING", value_name = "NAME", default_value = "reeve-approvals")]
    approval_binding: String,
    /// MutatingAdmissionPolicy that turns a decision into its caller's vote, where the server has it: the chart's
    #[arg(long, env = "REEVE_DECISION_POLICY", value_name = "NAME", default_value = "reeve-approval-decision")]
    decision_policy: String,
    /// Binding of that policy
    #[arg(long, env = "REEVE_DECISION_BINDING", value_name = "NAME", default_value = "reeve-approval-decision")]
    decision_binding: String,
    /// Directory of the keys that sign the journal: NAME.pem each, and `active` with the name of the one that signs
    #[arg(long, env = "REEVE_JOURNAL_KEY_DIR", value_name = "DIR", default_value = crate::journal::KEY_DIR)]
    journal_key_dir: PathBuf,
    /// Where each root of the journal's signed heads is posted as JSON, besides the ConfigMaps and the log. Nothing waits for the answer
    #[arg(long, env = "REEVE_WITNESS_URL", value_name = "URL", hide_env_values = true)]
    witness_url: Option<Unquoted>,
    /// Form of the log, which goes to standard error
    #[arg(long, env = "REEVE_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged, as tracing's filters have it: `info,reeve_operator=debug`
    #[arg(long, env = "REEVE_LOG", value_name = "FILTER", default_value = reeve_operator::telemetry::DEFAULT_LOG_FILTER)]
    log: String,
    #[command(flatten)]
    s3: S3Arguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    #[default]
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl PullPolicy {
    const fn as_str(self) -> &'static str {
        match self {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        }
    }
}

impl Operator {
    /// Runs until it is told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        // First of all: the first TLS connection would panic without.
        install_crypto();
        self.start_log()?;
        let config = self.config()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::unusable(format!("starting the runtime: {error}")))?;
        runtime.block_on(async {
            let stop = CancellationToken::new();
            tokio::spawn(cancel_when_asked(stop.clone())?);
            Box::pin(reeve_operator::run(config, stop)).await.map_err(Failure::no)
        })
    }

    fn start_log(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| Failure::unusable(format!("--log {:?}: {error}", self.log)))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| reeve_operator::MaskedLog(std::io::stderr()));
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        // The words of a panic would go past the log, unmasked.
        std::panic::set_hook(Box::new(reeve_operator::telemetry::panicked));
        Ok(())
    }

    fn config(self) -> Result<Config, Failure> {
        let journal = match self.database {
            Some(given) => given.place()?,
            None => Place::File(self.data_dir.join("journal.db")),
        };
        let witness = self.witness_url.map(|url| url.read::<WitnessUrl>("--witness-url")).transpose()?;
        let artifacts = self.s3.place(self.artifacts.as_ref(), &self.data_dir.join("artifacts"))?;
        Ok(Config {
            namespace: self.namespace,
            // An empty variable is one empty name; it means none.
            watch_namespaces: self.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
            artifacts,
            journal,
            replicas: self.replicas.get(),
            lease_name: self.lease_name,
            identity: self.identity,
            sandbox_installer_image: self.sandbox_installer_image,
            sandbox_pull_policy: self.sandbox_pull_policy.as_str().to_owned(),
            http_address: self.http_address,
            read_api_address: self.read_api_address,
            approval_policy: self.approval_policy,
            approval_binding: self.approval_binding,
            decision_policy: self.decision_policy,
            decision_binding: self.decision_binding,
            journal_key_dir: self.journal_key_dir,
            witness,
            max_concurrent_runs: self.max_concurrent_runs.get(),
        })
    }
}

/// Stops at SIGTERM, which the kubelet sends, and at SIGINT, which a terminal does.
fn cancel_when_asked(stop: CancellationToken) -> Result<impl Future<Output = ()> + Send, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::unusable(format!("listening for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stop.cancel();
    })
}
