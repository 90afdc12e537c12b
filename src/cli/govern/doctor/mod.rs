//! `kubectl reeve doctor`: whom Reeve's promises rest on, and whether what keeps them is in force.
//!
//! It only looks: what it writes are dry runs.

mod admission;
mod attested;
mod forged;
mod installed;
mod journal;
mod kinds;
mod rbac;
mod report;
mod rights;

use std::path::PathBuf;

use clap::Args;

use crate::cluster::{Connection, said};
use crate::exit::Failure;
use crate::journal::public_key;
use crate::output::{self, OutputFormat};
use crate::read_api::{ReadApi, Reeve};
use installed::Installed;
use report::{Level, Report};

/// Says who may approve, raise, release and act as others, whether admission is in force, and whether the operator works.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kubectl reeve doctor
  kubectl reeve doctor --public-key reeve.pub
  kubectl reeve doctor -o json | jq '.checks[] | select(.level != \"OK\")'

OK is as it should be; WARN wants a person to look, or could not be looked at; FAIL is a promise that does not hold. \
Exit code 1 if anything is FAIL.

Who may do what is read from RBAC. Who is in a group it does not know, nor what other authorizers let through: system:masters may do \
everything, and the kubelet of the operator's node may make tokens of its ServiceAccount.")]
pub(crate) struct Doctor {
    /// A public key (PEM) that you trust; repeatable. The journal must be signed by one of them, or by keys that follow from it
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    reeve: Reeve,
}

impl Doctor {
    /// Looks at everything, and prints it.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let keys = self.public_keys.iter().map(|file| public_key(file)).collect::<Result<Vec<_>, _>>()?;
        let (client, namespace) = connection.connect().await?;
        // A cluster that does not answer would otherwise be said at every check.
        let server = client.apiserver_version().await;
        server.map_err(|error| Failure::unusable(format!("asking the API server for its version: {}", said(&error))))?;
        let (installed, deployment) = Installed::find(&client, &self.reeve).await?;
        let mut report = Report::default();
        report.checks.extend(rights::look(&client, &installed).await);
        report.checks.extend(admission::look(&client, &installed).await);
        report.checks.push(forged::look(&client, &installed, &namespace).await);
        report.checks.push(deployment);
        let mut api = ReadApi::new(client.clone(), &self.reeve);
        report.checks.push(journal::look(&mut api).await);
        report.checks.extend(attested::look(&mut api, &client, &namespace, &keys).await);
        report.checks.extend(kinds::look(&client).await);
        report.fold();
        self.print(&report)
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => output::line(&report.text())?,
            OutputFormat::Json | OutputFormat::Yaml => output::value(self.output, report)?,
        }
        match report.count(Level::Fail) {
            0 => Ok(()),
            1 => Err(Failure::no("1 check is FAIL")),
            failed => Err(Failure::no(format!("{failed} checks are FAIL"))),
        }
    }
}
