//! `reeve journal prove`.

use std::collections::BTreeSet;

use clap::Args;
use reeve_core::journal::proof::{Held, Proof, Prover};
use reeve_core::journal::{Event, Row, Seq, Stream};

use super::rows::{Exported, each_of};
use super::{Source, of_store};
use crate::exit::Failure;
use crate::output::{self, OutputFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  # The run's last signed head, under the last signed root
  reeve journal prove --run default/say-hello >proof.json
  reeve journal check-proof proof.json --public-key reeve.pub --anchor roots.json

  # An earlier row of it that was signed, under a root that somebody saved
  reeve journal prove --run default/say-hello --seq 18 --tree-size 9 --file journal.jsonl >proof.json

  # That the root of today took nothing back that the root of 9 heads had
  reeve journal prove --from 9 >extends.json

The proof is JSON (RFC 9162 inclusion or consistency, SHA-256): the log, its keys, the signed head with its leaf, the signed root with the
size of its tree, and the path. It shows who reads it no other run. Who checks it needs the public key, and should have the root from
elsewhere: a ConfigMap, a line of the log, a witness.

Exit codes: 0 it is written; 1 the journal's own signatures do not hold; 2 it could not be tried: no such run or root, nothing is signed.";

/// Writes a proof.
#[derive(Args, Debug)]
#[group(id = "what", required = true, multiple = false, args = ["run", "from"])]
pub(super) struct Prove {
    #[command(flatten)]
    source: Source,
    /// The run whose head is proved to be under a root: NAMESPACE/NAME or UID
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Which of the run's signed heads; default the last under that root
    #[arg(long, value_name = "SEQ", requires = "run")]
    seq: Option<u64>,
    /// Under the root of so many heads, as a ConfigMap or witness has it; default the last
    #[arg(long, value_name = "HEADS", requires = "run")]
    tree_size: Option<u64>,
    /// The root of so many heads, which a later one is proved to extend
    #[arg(long, value_name = "HEADS")]
    from: Option<u64>,
    /// The later root; default the last
    #[arg(long, value_name = "HEADS", requires = "from")]
    to: Option<u64>,
}

/// What was read: the signatures, and the runs of the name that was asked for.
#[derive(Default)]
struct Read {
    prover: Prover,
    named: BTreeSet<Stream>,
}

impl Read {
    fn row(&mut self, row: &Row, name: Option<(&str, &str)>) -> Result<(), Failure> {
        let broken = |why: String| Failure::no(format!("row {} ({}): {why}: run reeve journal verify", row.gseq, row.kind));
        if row.stream == Stream::operator() {
            self.prover.row(row).map_err(broken)?;
        }
        if name.is_none() || !matches!(row.kind.as_str(), "run.started" | "run.archived") {
            return Ok(());
        }
        let event = row.event().map_err(|error| broken(error.to_string()))?;
        if let Event::RunStarted(started) = &event
            && name == Some((&started.namespace, &started.name))
        {
            self.named.insert(row.stream.clone());
        } else if let Event::RunArchived(archived) = &event
            && name == Some((&archived.namespace, &archived.name))
        {
            self.named.insert(archived.run.clone());
        }
        Ok(())
    }
}

impl Prove {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let name = self.run.as_deref().and_then(|run| run.split_once('/'));
        let mut read = Read::default();
        match &self.source.file {
            Some(file) => {
                let mut rows = Exported::open(file).await?;
                while let Some(row) = rows.next().await? {
                    read.row(&row, name)?;
                }
            }
            None => {
                let journal = self.source.database.open().await?;
                each_of(&journal, &Stream::operator(), None, |row| read.row(row, name)).await?;
                if let Some((namespace, name)) = name {
                    let found = journal.find_runs(namespace, name).await.map_err(of_store)?;
                    read.named.extend(found.into_iter().map(|found| found.stream));
                }
            }
        }
        let proof = self.prove(&read)?;
        // What is handed on must convince: the signatures in it were only read so far.
        let keys = vec![match &proof {
            Proof::Inclusion(inclusion) => inclusion.keys.introduced.public_key,
            Proof::Consistency(consistency) => consistency.keys.introduced.public_key,
        }];
        let checked = proof.check(&Held { keys, ..Held::default() });
        checked.map_err(|error| Failure::no(format!("the journal's own signatures do not hold: {error}: run reeve journal verify")))?;
        output::value(OutputFormat::Json, &proof)
    }

    fn prove(&self, read: &Read) -> Result<Proof, Failure> {
        let Read { prover, named } = read;
        let proof = match (&self.run, self.from) {
            (Some(run), _) => {
                let one = if run.contains('/') { one_of(run, named)? } else { Stream::run(run) };
                prover.inclusion(&one, self.seq.map(Seq), self.tree_size)
            }
            (None, Some(from)) => prover.consistency(from, self.to),
            (None, None) => return Err(Failure::unusable("give --run or --from")),
        };
        proof.map_err(Failure::unusable)
    }
}

fn one_of(run: &str, named: &BTreeSet<Stream>) -> Result<Stream, Failure> {
    let mut streams = named.iter();
    match (streams.next(), streams.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(Failure::unusable(format!("the journal has no run {run}: give NAMESPACE/NAME or a UID"))),
        (Some(_), Some(_)) => {
            let all: Vec<&str> = named.iter().map(Stream::as_str).collect();
            Err(Failure::unusable(format!("{} runs had the name {run}: give a UID, one of {}", all.len(), all.join(", "))))
        }
    }
}
