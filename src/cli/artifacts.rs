//! `reeve artifacts`: what is kept beside the journal.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use reeve_store::{Collected, Collection, MIN_COLLECTED_AGE};
use serde::Serialize;

use crate::artifact_store::{self, ArtifactsArgument, S3Arguments};
use crate::exit::Failure;
use crate::journal::{Database, of_store};
use crate::output::{self, OutputFormat};

const EXAMPLES: &str = "\
Examples:
  reeve artifacts gc --dry-run
  kubectl -n reeve-system exec deploy/reeve -- /reeve artifacts gc --older-than 30d
  reeve artifacts gc --archive runs-2026-h1.jsonl
  reeve artifacts gc --artifacts s3://team-artifacts/reeve --artifacts-region eu-central-1

An artifact stays while any row of the journal names it, or a name such as that of a merge points at it. It may run beside the operator: what is
put again meanwhile is young, and stays.

Exit codes: 0 done; 2 it could not be tried, and nothing more was removed: a row that cannot be read may name anything.";

/// Looks after the artifact store.
#[derive(Args, Debug)]
pub(crate) struct ArtifactsCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Removes the artifacts that no row of the journal names
    #[command(after_help = EXAMPLES)]
    Gc(Collect),
}

#[derive(Args, Debug)]
struct Collect {
    #[command(flatten)]
    database: Database,
    /// The artifact store: a folder, or s3://BUCKET[/PREFIX]; default `artifacts` in --data-dir. REEVE_ARTIFACTS says it too
    #[arg(long, value_name = "DIR|URL")]
    artifacts: Option<ArtifactsArgument>,
    /// Only artifacts that nobody put, or named anew, for so long: days, at least 1, such as 14d
    #[arg(long, value_name = "DAYS", default_value = "14d", value_parser = days)]
    older_than: Duration,
    /// A file of runs that were archived; repeatable. What their rows name stays. Each that the journal names must be given
    #[arg(long = "archive", value_name = "FILE")]
    archives: Vec<PathBuf>,
    /// Let go what only archived runs name: their large bodies, workspaces and patches
    #[arg(long)]
    forget_archived: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    s3: S3Arguments,
}

/// What was collected.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    dry_run: bool,
    old: u64,
    removed: Vec<Removed>,
    removed_bytes: u64,
    put_again: u64,
}

#[derive(Serialize)]
struct Removed {
    digest: String,
    bytes: u64,
}

impl ArtifactsCommand {
    /// Runs it.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Verb::Gc(collect) => collect.run().await,
        }
    }
}

impl Collect {
    async fn run(self) -> Result<(), Failure> {
        let given = self.artifacts.clone().or_else(ArtifactsArgument::of_environment);
        let place = self.s3.place(given.as_ref(), &self.database.data_dir().join("artifacts"))?;
        // Nothing is swept: the operator may be writing there.
        let artifacts = artifact_store::open_read_only(&place).await?;
        let journal = self.database.open().await?;
        let before =
            SystemTime::now().checked_sub(self.older_than).ok_or_else(|| Failure::unusable("--older-than reaches too far back"))?;
        let mut collection = Collection::of(&artifacts, before).await.map_err(of_store)?;
        let unread = |error| Failure::unusable(format!("nothing was removed, since what cannot be read may name anything: {error}"));
        collection.look_through(&journal, &artifacts).await.map_err(unread)?;
        for file in &self.archives {
            let unread = |error| Failure::unusable(format!("nothing was removed: {error}"));
            collection.look_through_archive(file, &artifacts).await.map_err(unread)?;
        }
        let left: Vec<&str> = collection.unread_archives().collect();
        if let (false, [_, ..]) = (self.forget_archived, left.as_slice()) {
            let why = format!("nothing was removed: runs that are archived in {} may name anything", left.join(", "));
            return Err(Failure::unusable(format!("{why}. Give --archive for each, or --forget-archived")));
        }
        let collected = collection.end(&artifacts, self.dry_run).await.map_err(of_store)?;
        self.say(collected)
    }

    fn say(&self, collected: Collected) -> Result<(), Failure> {
        let Collected { old, unnamed, renewed } = collected;
        let removed_bytes = unnamed.iter().map(|artifact| artifact.bytes).sum();
        if self.output != OutputFormat::Table {
            let removed = unnamed.iter().map(|artifact| Removed { digest: artifact.digest.to_string(), bytes: artifact.bytes }).collect();
            return output::value(self.output, &Answer { dry_run: self.dry_run, old, removed, removed_bytes, put_again: renewed });
        }
        let verb = if self.dry_run { "would remove" } else { "removed" };
        for artifact in &unnamed {
            output::line(&format!("{verb} {}, {}", artifact.digest, output::count(artifact.bytes, "byte")))?;
        }
        let stayed = if renewed == 0 { String::new() } else { format!(", {renewed} put again meanwhile") };
        let (removed, bytes) = (output::count(unnamed.len() as u64, "artifact"), output::count(removed_bytes, "byte"));
        output::line(&format!("{verb} {removed} of {old} old enough, {bytes}{stayed}"))
    }
}

/// Days, with their unit: `14d`.
fn days(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('d').filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let age = number.and_then(|number| number.parse::<u32>().ok()).map(|days| Duration::from_hours(24 * u64::from(days)));
    let least = MIN_COLLECTED_AGE.as_secs() / 86_400;
    age.filter(|age| *age >= MIN_COLLECTED_AGE)
        .ok_or_else(|| format!("expected days, at least {least}, such as 14d: a younger artifact may be one whose row is yet to come"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_whole_days_and_at_least_one() {
        assert_eq!(days("14d"), Ok(Duration::from_secs(14 * 86_400)));
        for text in ["", "d", "14", "0d", "1h", "-1d", "+1d", "1.5d", "99999999999d"] {
            assert!(days(text).is_err_and(|why| why.contains("expected days")), "{text}");
        }
    }
}
