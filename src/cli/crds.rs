//! `reeve crds`: the CustomResourceDefinitions that belong to this binary.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt as _};

use crate::cluster::{Connection, refused};
use crate::exit::{self, Failure};
use crate::output;

/// The CustomResourceDefinitions.
#[derive(Args, Debug)]
pub(crate) struct Crds {
    #[command(subcommand)]
    command: CrdsCommand,
}

#[derive(Subcommand, Debug)]
enum CrdsCommand {
    /// Prints them
    #[command(after_help = "Example:\n  reeve crds print | kubectl diff --server-side -f -")]
    Print {
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: PrintFormat,
    },
    /// Applies them server-side, and waits until the API server serves them
    #[command(after_help = "Helm installs the CRDs of a chart once and never changes them: before an upgrade, the chart runs this.")]
    Apply {
        #[command(flatten)]
        connection: Box<Connection>,
        /// Name that the API server keeps beside the fields: Helm's own, so that a later install finds nothing in conflict
        #[arg(long, value_name = "NAME", default_value = "helm")]
        field_manager: String,
        /// How long to wait until they are established
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout_seconds: u64,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PrintFormat {
    /// YAML documents.
    #[default]
    Yaml,
    /// A JSON list.
    Json,
}

impl Crds {
    /// Runs it.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            CrdsCommand::Print { output: PrintFormat::Yaml } => {
                let documents: Vec<String> = reeve_api::crds().iter().map(output::yaml).collect::<Result<_, _>>()?;
                output::write(&documents.join("---\n"))
            }
            CrdsCommand::Print { output: PrintFormat::Json } => {
                let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": reeve_api::crds() });
                output::value(output::OutputFormat::Json, &list)
            }
            CrdsCommand::Apply { connection, field_manager, timeout_seconds } => {
                exit::block_on(apply(&connection, &field_manager, Duration::from_secs(timeout_seconds)))
            }
        }
    }
}

async fn apply(connection: &Connection, field_manager: &str, timeout: Duration) -> Result<(), Failure> {
    let (client, _) = connection.connect().await?;
    let api: Api<CustomResourceDefinition> = Api::all(client);
    // Helm owns the fields since it installed them; from here on they are ours.
    let params = PatchParams::apply(field_manager).force();
    for crd in reeve_api::crds() {
        let name = crd.name_any();
        let applied = api.patch(&name, &params, &Patch::Apply(&crd)).await.map_err(refused(format!("applying {name}")))?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        match tokio::time::timeout(timeout, established).await {
            Ok(Ok(_)) => output::line(&format!("{name} applied, generation {}", applied.metadata.generation.unwrap_or_default()))?,
            Ok(Err(error)) => return Err(Failure::no(format!("waiting for {name}: {error}"))),
            Err(_) => {
                return Err(Failure::no(format!(
                    "{name} was applied but is not established after {} s: kubectl describe crd {name} says why",
                    timeout.as_secs()
                )));
            }
        }
    }
    Ok(())
}
