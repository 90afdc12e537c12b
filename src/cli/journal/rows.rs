//! The rows of one run or of all, and the policy texts that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use reeve_core::Digest;
use reeve_core::journal::{Event, PolicyActivated, Row, Seq, Stream};
use reeve_core::policy::Texts;
use reeve_store::{Artifacts, Journal};
use tokio::io::AsyncBufReadExt as _;

use super::branches::{self, Branches};
use super::show::{Chosen, PAGE_ROWS};
use super::{ArtifactsOf, Source, lines, of_store};
use crate::exit::Failure;

/// As many of a UID as tell runs of one name apart.
const UID_DIGITS: usize = 8;

/// Which runs, and from where.
#[derive(Args, Debug)]
#[group(id = "which", required = true, multiple = false, args = ["run", "all"])]
pub(super) struct Runs {
    #[command(flatten)]
    source: Source,
    /// The run: NAMESPACE/NAME or UID. A name that was used again stands for each of its runs
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Every run
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    artifacts: ArtifactsOf,
}

impl Runs {
    /// The texts of every policy set that was ever in force, as far as they are kept.
    pub(super) async fn texts(&self) -> Result<Texts, Failure> {
        let mut kept = Kept { texts: Texts::default(), missing: Vec::new() };
        match &self.source.file {
            // It can be read once only: texts are taken in as they come, before what was judged by them.
            Some(file) if file.as_os_str() == "-" => {}
            Some(file) => {
                let mut rows = Exported::open(file).await?;
                while let Some(row) = rows.next().await? {
                    kept.take(&row)?;
                }
            }
            None => each_of(&self.source.database.open().await?, &Stream::operator(), None, |row| kept.take(row)).await?,
        }
        let Some(artifacts) = self.source.artifacts(&self.artifacts).await? else { return Ok(kept.texts) };
        for digest in std::mem::take(&mut kept.missing) {
            // One that is not there is said where a decision names it.
            if let Ok(text) = artifacts.get(&digest).await {
                kept.texts.add(digest, &text);
            }
        }
        Ok(kept.texts)
    }

    /// Every row of the runs asked for, in order within a run; those of an export come interleaved.
    ///
    /// # Errors
    /// [`Failure::Unusable`] when there is no such run.
    pub(super) async fn each(&self, mut texts: Texts, mut take: impl FnMut(&Texts, &Row) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut any = false;
        let artifacts = self.source.artifacts(&self.artifacts).await?;
        match &self.source.file {
            Some(file) => {
                let mut chosen = Chosen::new(self.run.as_deref());
                let one_look = file.as_os_str() == "-";
                let mut rows = Exported::open(file).await?;
                while let Some(row) = rows.next().await? {
                    if one_look && let Some(activated) = activated(&row)? {
                        texts.activated(&activated);
                    }
                    if row.stream == Stream::operator() || !chosen.has(&row) {
                        continue;
                    }
                    any = true;
                    take(&texts, &whole(artifacts.as_ref(), row).await?)?;
                }
            }
            None => {
                let journal = self.source.database.open().await?;
                for stream in self.streams(&journal).await?.into_iter().filter(|stream| *stream != Stream::operator()) {
                    each_of(&journal, &stream, artifacts.as_ref(), |row| {
                        any = true;
                        take(&texts, row)
                    })
                    .await?;
                }
            }
        }
        if any {
            return Ok(());
        }
        Err(Failure::unusable(match &self.run {
            Some(run) => format!("the journal has no run {run}: give NAMESPACE/NAME or a UID"),
            None => "the journal has no run".to_owned(),
        }))
    }

    /// What the forks among them go on from.
    ///
    /// # Errors
    /// [`Failure::No`] where a parent's rows are not what its fork names.
    pub(super) async fn branches(&self) -> Result<Branches, Failure> {
        let artifacts = self.source.artifacts(&self.artifacts).await?;
        match &self.source.file {
            // It can be read once only: a fork's first row then says that its parent's rows were not read.
            Some(file) if file.as_os_str() == "-" => Ok(Branches::new()),
            Some(file) => branches::of_export(file, artifacts.as_ref()).await,
            None => {
                let journal = self.source.database.open().await?;
                branches::of_database(&journal, artifacts.as_ref(), &self.streams(&journal).await?).await
            }
        }
    }

    async fn streams(&self, journal: &Journal) -> Result<Vec<Stream>, Failure> {
        let Some(run) = &self.run else {
            return Ok(journal.streams().await.map_err(of_store)?.into_iter().map(|brief| brief.stream).collect());
        };
        Ok(match run.split_once('/') {
            Some((namespace, name)) => {
                journal.find_runs(namespace, name).await.map_err(of_store)?.into_iter().map(|found| found.stream).collect()
            }
            None => vec![Stream::run(run)],
        })
    }
}

/// The names of runs, in the order in which they began.
#[derive(Default)]
pub(super) struct Named {
    runs: Vec<(Stream, String)>,
    seen: BTreeSet<Stream>,
}

impl Named {
    /// Takes a row in. A run whose first row is not `run.started` goes by its UID.
    pub(super) fn see(&mut self, row: &Row) {
        if !self.seen.insert(row.stream.clone()) {
            return;
        }
        let name = match row.event() {
            Ok(Event::RunStarted(started)) => format!("{}/{}", started.namespace, started.name),
            Ok(_) | Err(_) => row.stream.as_str().to_owned(),
        };
        self.runs.push((row.stream.clone(), name));
    }

    /// Streams and names; a name that several runs had comes with the first digits of the UID.
    pub(super) fn in_order(self) -> Vec<(Stream, String)> {
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        self.runs.iter().for_each(|(_, name)| *times.entry(name).or_default() += 1);
        let told = |(stream, name): &(Stream, String)| {
            let short: String = stream.as_str().chars().take(UID_DIGITS).collect();
            (stream.clone(), if times.get(name.as_str()) > Some(&1) { format!("{name} ({short})") } else { name.clone() })
        };
        self.runs.iter().map(told).collect()
    }
}

struct Kept {
    texts: Texts,
    missing: Vec<Digest>,
}

impl Kept {
    fn take(&mut self, row: &Row) -> Result<(), Failure> {
        if let Some(activated) = activated(row)? {
            self.texts.activated(&activated);
            if !self.texts.has(&activated.digest) {
                self.missing.push(activated.digest);
            }
        }
        Ok(())
    }
}

/// The activation that a row tells of.
fn activated(row: &Row) -> Result<Option<PolicyActivated>, Failure> {
    if row.kind != "policy.activated" {
        return Ok(None);
    }
    let event = row.event().map_err(Failure::unusable)?;
    Ok(if let Event::PolicyActivated(activated) = event { Some(activated) } else { None })
}

/// The rows of an export, one after the other.
pub(super) struct Exported<'a> {
    file: &'a PathBuf,
    lines: tokio::io::Lines<super::Lines>,
    number: u64,
}

impl Exported<'_> {
    pub(super) async fn open(file: &PathBuf) -> Result<Exported<'_>, Failure> {
        Ok(Exported { file, lines: lines(file).await?.lines(), number: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Row>, Failure> {
        let Some(line) = self.lines.next_line().await.map_err(Failure::reading(self.file.display()))? else { return Ok(None) };
        self.number += 1;
        let no_row = |error| Failure::unusable(format!("line {} of {} is no row: {error}", self.number, self.file.display()));
        serde_json::from_str(&line).map(Some).map_err(no_row)
    }
}

/// The row with its body, if that is kept in the artifact store.
pub(super) async fn whole(artifacts: Option<&Artifacts>, row: Row) -> Result<Row, Failure> {
    let Some(kept) = row.kept().map_err(Failure::unusable)? else { return Ok(row) };
    let at = format!("row {} of run {}", row.seq.0, row.stream.as_str());
    let Some(artifacts) = artifacts else {
        let why = format!("{at} has {} bytes, which are kept in the artifact store: give --artifacts DIR", kept.bytes);
        return Err(Failure::unusable(why));
    };
    artifacts.with_body(row).await.map_err(|error| Failure::unusable(format!("{at}: {error}")))
}

/// Each row of a stream, in order.
pub(super) async fn each_of(
    journal: &Journal,
    stream: &Stream,
    artifacts: Option<&Artifacts>,
    mut take: impl FnMut(&Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut from = Seq(1);
    loop {
        let rows = journal.read(stream, from, PAGE_ROWS).await.map_err(of_store)?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.seq.next();
        for row in rows {
            take(&whole(artifacts, row).await?)?;
        }
    }
}
