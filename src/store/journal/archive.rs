//! Taking the rows of runs that have ended out of the journal, into a file.
//!
//! The order is what makes it safe: the file is written, made durable and read back; then one transaction writes `run.archived` for each run
//! and removes its rows, and the triggers let no other rows go. A crash before it leaves a file too many, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::journal::{Actor, ChainError, Event, Gathered, Head, Row, RowDraft, RunArchived, Stream};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use tokio::sync::oneshot;

use super::archives::{ArchiveRows, digest_of};
use super::request::Request;
use super::writer::Order;
use super::{Backing, Journal};
use crate::{StoreError, VerifyError};

/// Rows that are held at once.
const PAGE_ROWS: u32 = 512;

/// A file name that stands for none, while it is only looked at whether a run can be archived.
const NO_FILE: &str = "";

/// A run that was asked for and stays, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotArchived {
    /// Its stream.
    pub run: Stream,
    /// Why.
    pub why: String,
}

/// Why nothing was archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be made.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What was read back is not what was written.
    #[error("the archive does not read back as it was written, so nothing was removed: {0}")]
    ReadBack(String),
}

impl Journal {
    /// Looks through the whole journal for runs that can be archived: ended before that time, or of these streams. Answers what their rows
    /// come to, and which of those that are old enough, or were named, must stay.
    ///
    /// # Errors
    /// Whatever keeps a row from being read.
    pub async fn archivable(
        &self,
        ended_before: Option<Timestamp>,
        named: &[Stream],
    ) -> Result<(BTreeMap<Stream, Gathered>, Vec<NotArchived>), StoreError> {
        let mut survey = Survey::default();
        let mut from = 1;
        loop {
            let rows = self.scan(from, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { break };
            from = last.gseq.saturating_add(1);
            for row in &rows {
                survey.row(row)?;
            }
        }
        Ok(survey.end(ended_before, named))
    }

    /// Writes the rows of these runs into a new file, reads it back, and then removes them from the journal in the transaction that says so.
    /// `name` is what the journal calls the file.
    ///
    /// # Errors
    /// [`ArchiveError`]: nothing was removed. After [`StoreError::Unavailable`] it may have been: whether `run.archived` is there tells, and
    /// the file stays in any case.
    pub async fn archive(
        &self,
        runs: &BTreeMap<Stream, Gathered>,
        file: &Path,
        name: &str,
        at: Timestamp,
    ) -> Result<Vec<RunArchived>, ArchiveError> {
        let Some(writer) = self.writer.as_ref() else {
            let memory = matches!(self.backing, Backing::Memory(_));
            let why = "a journal in memory ends with its process: there is nothing to archive".to_owned();
            return Err(if memory { StoreError::Malformed { why } } else { StoreError::ReadOnly }.into());
        };
        self.write_rows(runs, file).await?;
        let archived = read_back(runs, file, name).await?;
        let mut drafts = Vec::with_capacity(archived.len());
        for run in &archived {
            let draft = RowDraft::of(&Event::RunArchived(Box::new(run.clone())), &Actor::Operator, at);
            let draft = draft.map_err(|error| StoreError::Malformed { why: error.to_string() })?;
            drafts.push((draft, run.run.clone(), run.head));
        }
        if drafts.is_empty() {
            return Ok(archived);
        }
        let after = self.head(&Stream::operator()).await?.map(|head| head.seq);
        let request = Request::archiving(self.highest_epoch().await?, after, drafts)?;
        let (reply, outcome) = oneshot::channel();
        writer.send(Order::Append(request, reply)).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)??;
        Ok(archived)
    }

    async fn write_rows(&self, runs: &BTreeMap<Stream, Gathered>, file: &Path) -> Result<(), ArchiveError> {
        let failed = |error: std::io::Error| ArchiveError::File { path: file.to_owned(), why: error.to_string() };
        let created = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(file).await.map_err(failed)?;
        let mut out = BufWriter::new(created);
        let mut from = 1;
        loop {
            let rows = self.scan(from, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { break };
            from = last.gseq.saturating_add(1);
            for row in rows.iter().filter(|row| runs.contains_key(&row.stream)) {
                let mut line = serde_json::to_vec(row).map_err(|error| StoreError::Malformed { why: error.to_string() })?;
                line.push(b'\n');
                out.write_all(&line).await.map_err(failed)?;
            }
        }
        out.flush().await.map_err(failed)?;
        out.into_inner().sync_all().await.map_err(failed)?;
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        tokio::fs::File::open(folder).await.map_err(failed)?.sync_all().await.map_err(failed)
    }
}

/// What the file has of each run must be what the journal had. Forks come before what they go on from.
async fn read_back(runs: &BTreeMap<Stream, Gathered>, file: &Path, name: &str) -> Result<Vec<RunArchived>, ArchiveError> {
    let lost = |error: VerifyError| ArchiveError::ReadBack(error.to_string());
    let mut found: BTreeMap<Stream, Gathered> = BTreeMap::new();
    let mut parents = BTreeMap::new();
    let mut rows = ArchiveRows::open(file).await.map_err(lost)?;
    while let Some(row) = rows.next().await.map_err(lost)? {
        parents.extend(parent(&row)?.map(|parent| (row.stream.clone(), parent)));
        found.entry(row.stream.clone()).or_default().row(&row);
    }
    if found != *runs {
        return Err(ArchiveError::ReadBack("it has other rows than the journal".to_owned()));
    }
    let (digest, bytes) = digest_of(file).await.map_err(lost)?;
    let said = found.iter().map(|(run, gathered)| gathered.archived(run, name, digest, bytes));
    let mut archived = said.collect::<Result<Vec<_>, _>>().map_err(ArchiveError::ReadBack)?;
    // The tables let no run go that another one, still there, goes on from.
    let ancestors = |run: &Stream| std::iter::successors(parents.get(run), |run| parents.get(run)).take(parents.len()).count();
    archived.sort_by_key(|archived| std::cmp::Reverse(ancestors(&archived.run)));
    Ok(archived)
}

/// What the run goes on from whose first row this is, if it is a fork's.
fn parent(row: &Row) -> Result<Option<Stream>, StoreError> {
    if row.kind != "run.started" {
        return Ok(None);
    }
    let Event::RunStarted(started) = row.event().map_err(|error| unread(row, &error))? else { return Ok(None) };
    Ok(started.forked_from.map(|from| Stream::run(&from.uid)))
}

fn unread(row: &Row, error: &ChainError) -> StoreError {
    StoreError::BadRow { gseq: i64::try_from(row.gseq).unwrap_or(i64::MAX), why: error.to_string() }
}

/// Every run, and what is signed.
#[derive(Default)]
struct Survey {
    runs: BTreeMap<Stream, Gathered>,
    has_key: bool,
    /// The last head of each stream that is in the tree.
    anchored: BTreeMap<Stream, Head>,
    /// What each fork goes on from.
    parents: BTreeMap<Stream, Stream>,
}

impl Survey {
    fn row(&mut self, row: &Row) -> Result<(), StoreError> {
        if row.stream != Stream::operator() {
            self.parents.extend(parent(row)?.map(|parent| (row.stream.clone(), parent)));
            self.runs.entry(row.stream.clone()).or_default().row(row);
            return Ok(());
        }
        if !matches!(row.kind.as_str(), "key.introduced" | "journal.anchored") {
            return Ok(());
        }
        self.has_key = true;
        if let Event::JournalAnchored(anchored) = row.event().map_err(|error| unread(row, &error))? {
            self.anchored.extend(anchored.heads.iter().map(|head| (head.stream.clone(), head.head())));
        }
        Ok(())
    }

    fn end(self, ended_before: Option<Timestamp>, named: &[Stream]) -> (BTreeMap<Stream, Gathered>, Vec<NotArchived>) {
        let (mut fit, mut stay) = (BTreeMap::new(), Vec::new());
        let absent = named.iter().filter(|run| !self.runs.contains_key(*run));
        stay.extend(absent.map(|run| NotArchived { run: run.clone(), why: "the journal has no such run".to_owned() }));
        for (run, gathered) in self.runs {
            let old = |before: Timestamp| gathered.time().parse::<Timestamp>().is_ok_and(|time| time < before);
            if !named.contains(&run) && !ended_before.is_some_and(old) {
                continue;
            }
            let anchored = !self.has_key || self.anchored.get(&run).copied() == gathered.head();
            match gathered.archived(&run, NO_FILE, Digest::ZERO, 0) {
                Ok(_) if anchored => drop(fit.insert(run, gathered)),
                Ok(_) => stay.push(NotArchived { run, why: "its last row is not signed yet: let the operator run until it is".to_owned() }),
                Err(why) => stay.push(NotArchived { run, why }),
            }
        }
        keep_parents(&mut fit, &mut stay, &self.parents);
        (fit, stay)
    }
}

/// A fork reads its ancestors' rows each time it is gone on with: while it stays, they stay.
fn keep_parents(fit: &mut BTreeMap<Stream, Gathered>, stay: &mut Vec<NotArchived>, parents: &BTreeMap<Stream, Stream>) {
    while let Some((fork, parent)) = parents.iter().find(|(fork, parent)| !fit.contains_key(*fork) && fit.contains_key(*parent)) {
        fit.remove(parent);
        let why = format!("run {} goes on from it, which stays: archive both at once", fork.as_str());
        stay.push(NotArchived { run: parent.clone(), why });
    }
}
