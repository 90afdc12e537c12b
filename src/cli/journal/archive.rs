//! `reeve journal archive`.

use std::path::PathBuf;

use clap::Args;
use jiff::{Span, Timestamp, ToSpan as _};
use reeve_core::journal::Stream;
use reeve_store::{ArchiveError, Journal, NotArchived, Place, StoreError};
use serde::Serialize;

use super::{Database, of_store};
use crate::exit::Failure;
use crate::output::{self, OutputFormat};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal archive --before 180d --to runs-2026-h1.jsonl
  reeve journal archive --run default/say-hello --to say-hello.jsonl
  reeve journal verify --archive runs-2026-h1.jsonl
  reeve journal replay --all --file runs-2026-h1.jsonl

The file is written, made durable and read back before a row goes. The journal keeps a row `run.archived` for each run: which run, its head, where
its rows stood and the file's digest. Keep the file: nothing else has those rows. Bodies over 256 KiB stay in the artifact store; the file names
their digests, as an export does.

A SQLite journal has one writer: stop the operator first. On PostgreSQL it may go on; give the URL of the role that owns the tables, since the
operator's may delete nothing.

Exit codes: 0 done, or nothing to do; 1 a run that was named must stay; 2 it could not be tried, and no row was removed.";

/// The least age of a run that goes by its age: a Goal that still works reads the rows of its runs.
const MIN_DAYS: i64 = 7;

/// Moves the rows of runs that have ended into a file.
#[derive(Args, Debug)]
#[group(id = "which", required = true, multiple = true, args = ["before", "run"])]
pub(super) struct Archive {
    #[command(flatten)]
    database: Database,
    /// Runs that ended so long ago: days, at least 7, such as 180d
    #[arg(long, value_name = "DAYS", value_parser = days)]
    before: Option<i64>,
    /// This run, however young; repeatable. NAMESPACE/NAME (each of that name) or UID. Its Goal should have ended
    #[arg(long, value_name = "RUN")]
    run: Vec<String>,
    /// The file to write, which must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Say what would be archived, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    archived: Vec<Moved>,
    stay: Vec<Stays>,
}

#[derive(Serialize)]
struct Moved {
    run: String,
    rows: u64,
}

#[derive(Serialize)]
struct Stays {
    run: String,
    why: String,
}

impl Archive {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let now = Timestamp::now();
        let before = self.before.map(|days| earlier(now, days)).transpose()?;
        let journal = self.open().await?;
        let named = self.streams(&journal).await?;
        let (fit, stay) = journal.archivable(before, &named).await.map_err(of_store)?;
        let mut moved: Vec<Moved> = Vec::new();
        for (run, gathered) in &fit {
            moved.push(Moved { run: run.as_str().to_owned(), rows: gathered.head().map_or(0, |head| head.seq.0) });
        }
        let file = std::path::absolute(&self.to).map_err(Failure::reading(self.to.display()))?.display().to_string();
        let mut digest = None;
        if !self.dry_run && !fit.is_empty() {
            let archived = journal.archive(&fit, &self.to, &file, now).await.map_err(said)?;
            digest = archived.first().map(|run| run.digest.to_string());
        }
        journal.close().await;
        self.say(moved, &stay, &file, digest)?;
        let refused = stay.iter().filter(|stays| named.contains(&stays.run)).count() as u64;
        if refused == 0 {
            Ok(())
        } else {
            Err(Failure::no(format!(
                "{} that {} named must stay",
                output::count(refused, "run"),
                if refused == 1 { "was" } else { "were" }
            )))
        }
    }

    async fn open(&self) -> Result<Journal, Failure> {
        let place = self.database.place()?;
        if self.dry_run {
            return Journal::open_read_only_at(&place).await.map_err(of_store);
        }
        if let Place::File(path) = &place
            && !path.exists()
        {
            return Err(Failure::unusable(format!("{}: there is no such journal", path.display())));
        }
        Journal::open_at(&place).await.map_err(|error| {
            if matches!(error, StoreError::InUse { .. }) {
                let how = "Stop the operator (kubectl scale --replicas=0), archive, and start it again";
                return Failure::unusable(format!("{error}. {how}"));
            }
            of_store(error)
        })
    }

    async fn streams(&self, journal: &Journal) -> Result<Vec<Stream>, Failure> {
        let mut streams = Vec::new();
        for run in &self.run {
            let Some((namespace, name)) = run.split_once('/') else {
                streams.push(Stream::run(run));
                continue;
            };
            let found = journal.find_runs(namespace, name).await.map_err(of_store)?;
            if found.is_empty() {
                return Err(Failure::no(format!("the journal has no run {run}: give NAMESPACE/NAME or a UID")));
            }
            streams.extend(found.into_iter().map(|found| found.stream));
        }
        Ok(streams)
    }

    fn say(&self, archived: Vec<Moved>, stay: &[NotArchived], file: &str, digest: Option<String>) -> Result<(), Failure> {
        if self.output != OutputFormat::Table {
            let stay = stay.iter().map(|stays| Stays { run: stays.run.as_str().to_owned(), why: stays.why.clone() }).collect();
            let file = digest.is_some().then(|| file.to_owned());
            return output::value(self.output, &Answer { dry_run: self.dry_run, file, digest, archived, stay });
        }
        for NotArchived { run, why } in stay {
            output::line(&format!("stays: {}: {why}", run.as_str()))?;
        }
        let verb = if self.dry_run { "would archive" } else { "archived" };
        for Moved { run, rows } in &archived {
            output::line(&format!("{verb}: {run}, {}", output::count(*rows, "row")))?;
        }
        let (runs, rows) = (output::count(archived.len() as u64, "run"), output::count(archived.iter().map(|run| run.rows).sum(), "row"));
        let to = digest.map_or_else(String::new, |digest| format!(" into {file}, {digest}: keep it, nothing else has these rows"));
        output::line(&format!("{verb} {runs}, {rows}{to}"))
    }
}

fn said(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Store(error @ StoreError::Refused { .. }) => {
            Failure::unusable(format!("no row was removed: {error}. On PostgreSQL give the URL of the role that owns the tables"))
        }
        ArchiveError::Store(error @ StoreError::StaleHead { .. }) => {
            Failure::unusable(format!("no row was removed: {error}. An operator wrote meanwhile: remove the file and try again"))
        }
        ArchiveError::Store(error) => of_store(error),
        error @ (ArchiveError::File { .. } | ArchiveError::ReadBack(_)) => Failure::unusable(format!("no row was removed: {error}")),
    }
}

fn earlier(now: Timestamp, days: i64) -> Result<Timestamp, Failure> {
    let span: Span = days.saturating_mul(24).hours();
    now.checked_sub(span).map_err(|error| Failure::unusable(format!("--before reaches too far back: {error}")))
}

/// Days, with their unit: `180d`.
fn days(text: &str) -> Result<i64, String> {
    let number = text.strip_suffix('d').filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let days = number.and_then(|number| number.parse::<i64>().ok()).filter(|days| (MIN_DAYS..=36_500).contains(days));
    days.ok_or_else(|| format!("expected days, at least {MIN_DAYS}, such as 180d: a Goal that still works reads the rows of its runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_whole_days_and_at_least_a_week() {
        assert_eq!(days("180d"), Ok(180));
        for text in ["", "d", "180", "6d", "-7d", "7h", "99999d"] {
            assert!(days(text).is_err_and(|why| why.contains("expected days")), "{text}");
        }
    }
}
