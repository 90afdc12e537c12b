//! `reeve journal verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use reeve_core::journal::sign::PublicKey;
use reeve_core::journal::{ArchivedRun, Expected, ForkLink, ForkLinks, Signed, Stream, Verified, Verifier};
use reeve_store::{Beside, VerifyError, verify_export_with, verify_links};
use serde::Serialize;

use super::anchor::Saved;
use super::{ArtifactsOf, Source, is_an_answer, lines, of_store};
use crate::cluster::Connection;
use crate::exit::Failure;
use crate::output::{self, OutputFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal verify
  reeve journal verify --database /backup/journal.db
  reeve journal export | reeve journal verify --file -

  # An outsider: an export and the public key, nothing else. Finds a rewrite of anything that was signed
  reeve journal verify --file journal.jsonl --public-key reeve.pub

  # With what the cluster shows: finds a tail that was cut, a run that was deleted, a journal that was exchanged
  reeve journal verify --database /backup/journal.db --status from-cluster --public-key reeve.pub

  # The same from files, on a machine without the cluster
  kubectl get agentruns -A -o json >runs.json
  kubectl get configmaps -A -l reeve.dev/journal-anchors -o json >roots.json
  reeve journal verify --file journal.jsonl --public-key reeve.pub --status runs.json --anchor roots.json

  # Rows that were archived, where they stood; without the file it is said which runs they are of
  reeve journal verify --archive runs-2026-q3.jsonl

  # Saved last month where nobody here can write: finds a chain that was signed anew by the holder of the operator's key
  reeve journal verify --database /backup/journal.db --anchor roots-of-last-month.json";

/// Checks the whole chain.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    source: Source,
    /// Only say how this run stands: NAMESPACE/NAME or UID. The whole chain is checked all the same
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// A public key (PEM) that you trust; repeatable. The journal must be signed by one of them, or by keys that follow from it
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// Heads in the status of AgentRuns, each of which must be met: `from-cluster` (with --namespace only those there: say it where another
    /// operator has AgentRuns too), or a file of `kubectl get agentruns -A -o json`
    #[arg(long, value_name = "from-cluster|FILE")]
    status: Option<PathBuf>,
    /// Heads or roots saved elsewhere, each of which must be met; repeatable. A list of {stream, seq, hash}, AgentRuns, ConfigMaps, or the
    /// lines of a witness
    #[arg(long = "anchor", value_name = "FILE")]
    anchors: Vec<PathBuf>,
    /// A file of runs that were archived; repeatable. Its rows are checked where they stood. Without it the journal says which runs are there
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    /// Each body that is kept there must be there, and be what its row names
    #[command(flatten)]
    artifacts: ArtifactsOf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    anchors_met: u64,
    /// Bodies that are kept in the artifact store.
    kept_bodies: u64,
    /// Whether they were read and compared.
    kept_bodies_checked: bool,
    /// Runs whose rows stand in archives.
    archived: Vec<ArchivedRun>,
    /// Roots of other logs: of journals that were there before this one, or of other operators.
    roots_of_others: u64,
    /// Runs that go on from a row of another, and whether it is there.
    forks: ForkLinks,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<Signed>,
    /// Whether a key that the caller trusts was given, and signs it.
    signed_by_trusted_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut saved = Saved::default();
        match self.status.as_deref() {
            Some(status) if status.as_os_str() == "from-cluster" => {
                let (client, _) = self.connection.connect().await?;
                saved = Saved::from_cluster(&client, self.connection.given_namespace()).await?;
            }
            Some(file) => saved = Saved::read(file)?,
            None => {}
        }
        for file in &self.anchors {
            saved.merge(Saved::read(file)?);
        }
        let roots = saved.roots()?;
        let keys = self.public_keys.iter().map(|file| public_key(file)).collect::<Result<Vec<_>, _>>()?;
        let verifier = Verifier::expecting(Expected { heads: saved.heads, roots, keys, run: self.run.clone() });
        let beside = Beside { artifacts: self.source.artifacts(&self.artifacts).await?, archives: self.archives.clone() };
        let checked = match &self.source.file {
            Some(file) => match verify_export_with(lines(file).await?, verifier, &beside).await {
                // What came through a pipe is gone: what of it was not compared is said.
                Ok(verified) if !verified.links.far.is_empty() && file.as_os_str() != "-" => {
                    verify_links(lines(file).await?, verified).await
                }
                checked => checked,
            },
            None => self.source.database.open().await?.verify_with(verifier, &beside).await,
        };
        match checked {
            Ok(verified) => self.say_yes(verified, beside.artifacts.is_some()),
            Err(
                error @ (VerifyError::Chain(_)
                | VerifyError::Budget(_)
                | VerifyError::Kept { .. }
                | VerifyError::Archive { .. }
                | VerifyError::Line { .. }),
            ) => self.say_no(&error),
            Err(VerifyError::Store(error)) if is_an_answer(&error) => self.say_no(&error.into()),
            Err(VerifyError::Store(error)) => Err(of_store(error)),
        }
    }

    fn say_yes(&self, verified: Verified, has_artifacts: bool) -> Result<(), Failure> {
        let is_chosen = |archived: &ArchivedRun| {
            let wanted = self.run.as_deref().unwrap_or_default();
            archived.run.as_str() == wanted || wanted.split_once('/') == Some((archived.namespace.as_str(), archived.name.as_str()))
        };
        if let (Some(run), []) = (&self.run, verified.chosen.as_slice())
            && !verified.archived.iter().any(is_chosen)
        {
            return Err(Failure::no(format!("the journal verifies, but has no run {run}: give NAMESPACE/NAME or a UID")));
        }
        let runs = verified.heads.keys().filter(|stream| **stream != Stream::operator()).count();
        match self.output {
            OutputFormat::Table => self.say_lines(&verified, runs, has_artifacts),
            OutputFormat::Json | OutputFormat::Yaml => {
                let answer = Answer {
                    verified: true,
                    rows: Some(verified.rows),
                    runs: Some(runs),
                    head: Some(verified.hash.to_string()),
                    anchors_met: verified.met,
                    kept_bodies: verified.kept,
                    kept_bodies_checked: has_artifacts,
                    archived: verified.archived,
                    roots_of_others: verified.of_others,
                    forks: verified.links,
                    signed: verified.signed,
                    signed_by_trusted_key: !self.public_keys.is_empty(),
                    error: None,
                };
                output::value(self.output, &answer)
            }
        }
    }

    fn say_lines(&self, verified: &Verified, runs: usize, has_artifacts: bool) -> Result<(), Failure> {
        let anchors = if verified.met == 0 { String::new() } else { format!(", {} met", output::count(verified.met, "anchor")) };
        let (rows, runs) = (output::count(verified.rows, "row"), output::count(runs as u64, "run"));
        output::line(&format!("verified: {rows}, {runs}, head {}{anchors}", verified.hash))?;
        if verified.kept > 0 {
            let bodies = if verified.kept == 1 { "1 body".to_owned() } else { format!("{} bodies", verified.kept) };
            let said = if has_artifacts { "each is there, and what its row names" } else { "which were not looked at: give --artifacts" };
            output::line(&format!("kept: {bodies} in the artifact store, {said}"))?;
        }
        self.say_archived(verified)?;
        match &verified.signed {
            None => output::line("signed: no, the journal has no key")?,
            Some(signed) => {
                let trusted = if self.public_keys.is_empty() {
                    "which nobody vouched for: give --public-key"
                } else {
                    "which follows from the key given"
                };
                let left = match verified.last.saturating_sub(signed.upto) {
                    0 => String::new(),
                    left => format!(", the {} after it chained only", output::count(left, "row")),
                };
                let Signed { key_id, heads, upto, .. } = signed;
                output::line(&format!("signed: by {key_id}, {trusted}; {} signed, up to row {upto}{left}", output::count(*heads, "head")))?;
            }
        }
        for stream in &verified.chosen {
            if let Some(head) = verified.heads.get(stream) {
                output::line(&format!("run {}: {}, head {}", stream.as_str(), output::count(head.seq.0, "row"), head.hash))?;
            }
        }
        let ForkLinks { met, far, absent } = &verified.links;
        if *met > 0 {
            output::line(&format!(
                "forks: {} from the very row that the parent has",
                if *met == 1 { "1 goes on".to_owned() } else { format!("{met} go on") }
            ))?;
        }
        for link in absent {
            output::line(&unlinked(link, "is not in what was read"))?;
        }
        for link in far {
            output::line(&unlinked(link, "was read too long before to be remembered: give a file, which is read twice"))?;
        }
        if verified.of_others > 0 {
            let roots = output::count(verified.of_others, "root");
            output::line(&format!("note: {roots} of other journals, before this one or of other operators, cannot be compared with it"))?;
        }
        Ok(())
    }

    fn say_archived(&self, verified: &Verified) -> Result<(), Failure> {
        for ArchivedRun { run, namespace, name, head, file, digest, checked, signed, by } in &verified.archived {
            let rows = output::count(head.seq.0, "row");
            let said =
                if *checked { "checked with the others".to_owned() } else { format!("not checked: give --archive {file} ({digest})") };
            output::line(&format!("archived: {namespace}/{name} ({}), {rows}, head {}: {said}", run.as_str(), head.hash))?;
            if verified.signed.is_some() && !signed {
                output::line(&format!(
                    "note: row {by}, which says so, is not signed yet; whoever holds the database could have written it"
                ))?;
            }
        }
        Ok(())
    }

    fn say_no(&self, error: &VerifyError) -> Result<(), Failure> {
        match self.output {
            OutputFormat::Table => {}
            OutputFormat::Json | OutputFormat::Yaml => {
                output::value(self.output, &Answer { error: Some(error.to_string()), ..Answer::default() })?;
            }
        }
        Err(Failure::no(format!("not verified: {error}")))
    }
}

fn unlinked(link: &ForkLink, why: &str) -> String {
    let ForkLink { fork, parent, seq, .. } = link;
    format!(
        "note: run {} goes on from row {} of run {}, which {why}: whether it is that row is not known",
        fork.as_str(),
        seq.0,
        parent.as_str()
    )
}

/// The public key in this file.
pub(crate) fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::reading(file.display()))?;
    PublicKey::from_pem(&text).map_err(|error| Failure::unusable(format!("{}: {error}", file.display())))
}
