//! `reeve journal check-proof`.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use reeve_core::journal::proof::{Held, Proof, Proved};
use serde::Serialize;

use super::anchor::Saved;
use super::verify::public_key;
use crate::exit::Failure;
use crate::output::{self, OutputFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal check-proof proof.json --public-key reeve.pub

  # With the root from elsewhere: finds a second history that the holder of the key signed
  kubectl get configmaps -A -l reeve.dev/journal-anchors -o json >roots.json
  reeve journal check-proof proof.json --public-key reeve.pub --anchor roots.json
  kubectl logs -n reeve-system deployment/reeve | grep '\"journal anchored\"' >roots.jsonl
  reeve journal check-proof proof.json --public-key reeve.pub --anchor roots.jsonl

What a proof of a run shows: when the key signed that root, the run's journal stood at that row with that hash. The hash covers the row and
every row before it in the journal, whoever's they are; an export has the row itself.

Exit codes: 0 it is proved; 1 it is not, and the first thing that is wrong is said; 2 it could not be tried.";

/// Checks a proof.
#[derive(Args, Debug)]
pub(super) struct CheckProof {
    /// What reeve journal prove wrote; `-` for standard input
    #[arg(value_name = "PROOF.json")]
    file: PathBuf,
    /// A public key (PEM) that you trust; repeatable. The roots must be signed by one of them, or by keys that follow from it
    #[arg(long = "public-key", value_name = "FILE", required = true)]
    public_keys: Vec<PathBuf>,
    /// Roots saved elsewhere, one of which the proof must be about, or heads, which must not say otherwise; repeatable. ConfigMaps, AgentRuns,
    /// the lines of a witness or of the operator's log
    #[arg(long = "anchor", value_name = "FILE")]
    anchors: Vec<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    #[serde(flatten)]
    proved: Option<Proved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl CheckProof {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = self.text()?;
        let keys = self.public_keys.iter().map(|file| public_key(file)).collect::<Result<Vec<_>, _>>()?;
        let mut saved = Saved::default();
        for file in &self.anchors {
            saved.merge(Saved::read(file)?);
        }
        let roots = saved.roots()?;
        let held = Held { keys, roots, heads: saved.heads };
        let checked = serde_json::from_str::<Proof>(&text)
            .map_err(|error| format!("it is no proof as reeve journal prove writes it: {error}"))
            .and_then(|proof| proof.check(&held).map_err(|error| error.to_string()));
        match checked {
            Ok(proved) => self.say_yes(proved),
            Err(error) => self.say_no(error),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        if self.file.as_os_str() != "-" {
            return std::fs::read_to_string(&self.file).map_err(Failure::reading(self.file.display()));
        }
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Failure::reading("standard input"))?;
        Ok(text)
    }

    fn say_yes(&self, proved: Proved) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => output::write(&words(&proved)),
            OutputFormat::Json | OutputFormat::Yaml => {
                output::value(self.output, &Answer { verified: true, proved: Some(proved), error: None })
            }
        }
    }

    fn say_no(&self, error: String) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => {}
            OutputFormat::Json | OutputFormat::Yaml => {
                output::value(self.output, &Answer { verified: false, proved: None, error: Some(error.clone()) })?;
            }
        }
        Err(Failure::no(format!("not proved: {error}")))
    }
}

fn words(proved: &Proved) -> String {
    let where_from = |saved: bool| {
        if saved { "which was saved elsewhere too" } else { "which was compared with nothing that was saved elsewhere" }
    };
    let advice = "note: whoever holds the key may have signed another history beside it: give --anchor\n";
    match proved {
        Proved::Inclusion { log, stream, seq, hash, index, size, root, key_id, root_saved } => format!(
            "proved: run {} stood at row {} with hash {hash} when the root was signed\n\
             root: {root} of {size} heads of log {log}, signed by {key_id}, {}; this head is leaf {index}, counted from 0\n{}",
            stream.as_str(),
            seq.0,
            where_from(*root_saved),
            if *root_saved { "" } else { advice }
        ),
        Proved::Consistency { log, from_size, from_root, from_saved, to_size, to_root, to_saved, key_id } => format!(
            "proved: the root of {to_size} heads extends the root of {from_size}: all that was signed by then is in it, in its place\n\
             from: {from_root} of {from_size} heads of log {log}, {}\n\
             to: {to_root} of {to_size} heads, signed by {key_id}, {}\n{}",
            where_from(*from_saved),
            where_from(*to_saved),
            if *from_saved || *to_saved { "" } else { advice }
        ),
    }
}
