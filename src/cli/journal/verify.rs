//! `reeve journal verify`.

use std::path::PathBuf;

use clap::Args;
use reeve_core::journal::{Stream, Verified};
use reeve_store::{VerifyError, verify_export};
use serde::Serialize;

use super::{Source, anchor, is_an_answer, lines, of_store};
use crate::exit::Failure;
use crate::output::{self, OutputFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal verify
  reeve journal verify --database /backup/journal.db
  reeve journal export | reeve journal verify --file -

  # Against heads that someone else kept: what finds a tail that was cut, or a chain that was written anew as a whole
  kubectl get agentruns -A -o json | jq '[.items[] | select(.status.journal) | {stream: .metadata.uid} + .status.journal]' >heads.json
  reeve journal verify --anchor heads.json";

/// Checks the whole chain.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    source: Source,
    /// Heads saved outside the database, a JSON or YAML list of {stream, seq, hash}: each must be met
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    anchors_met: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let anchors = self.anchor.as_deref().map(anchor::read).transpose()?.unwrap_or_default();
        let asked = anchors.len();
        let checked = match &self.source.file {
            Some(file) => verify_export(lines(file).await?, anchors).await,
            None => self.source.database.open().await?.verify(anchors).await,
        };
        match checked {
            Ok(verified) => self.say_yes(&verified, asked),
            Err(error @ (VerifyError::Chain(_) | VerifyError::Budget(_) | VerifyError::Line { .. })) => self.say_no(&error),
            Err(VerifyError::Store(error)) if is_an_answer(&error) => self.say_no(&error.into()),
            Err(VerifyError::Store(error)) => Err(of_store(error)),
        }
    }

    fn say_yes(&self, verified: &Verified, anchors_met: usize) -> Result<(), Failure> {
        let runs = verified.heads.keys().filter(|stream| **stream != Stream::operator()).count();
        match self.output {
            OutputFormat::Table => {
                let anchors =
                    if anchors_met == 0 { String::new() } else { format!(", {} met", output::count(anchors_met as u64, "anchor")) };
                let (rows, runs) = (output::count(verified.rows, "row"), output::count(runs as u64, "run"));
                output::line(&format!("verified: {rows}, {runs}, head {}{anchors}", verified.hash))
            }
            OutputFormat::Json | OutputFormat::Yaml => {
                let (rows, head) = (Some(verified.rows), Some(verified.hash.to_string()));
                output::value(self.output, &Answer { verified: true, rows, runs: Some(runs), head, anchors_met, error: None })
            }
        }
    }

    fn say_no(&self, error: &VerifyError) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => {}
            OutputFormat::Json | OutputFormat::Yaml => {
                let error = Some(error.to_string());
                output::value(self.output, &Answer { verified: false, rows: None, runs: None, head: None, anchors_met: 0, error })?;
            }
        }
        Err(Failure::no(format!("not verified: {error}")))
    }
}
