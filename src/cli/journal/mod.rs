//! `reeve journal`: what convinces someone who trusts neither the database nor the operator.

mod anchor;
mod archive;
mod branches;
mod check_proof;
mod key;
mod migrate;
mod prove;
mod replay;
mod rows;
mod show;
mod verify;
mod what_if;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reeve_store::{Artifacts, Journal, Place, StoreError};
use tokio::io::{AsyncBufRead, BufReader};

use crate::artifact_store::{self, ArtifactsArgument, S3Arguments};
use crate::database::DatabaseArgument;
use crate::exit::Failure;
pub(crate) use anchor::{RunHead, Saved, agent_runs, root_maps};
use archive::Archive;
pub(crate) use branches::Branches;
use check_proof::CheckProof;
use key::PublicKeyOf;
use migrate::Migrate;
use prove::Prove;
use replay::ReplayRuns;
pub(crate) use replay::Replays;
use show::Show;
use verify::Verify;
pub(crate) use verify::public_key;
use what_if::JudgeAgain;
pub(crate) use what_if::{Hypothesis, read as read_policy};

/// Where the operator's keys are mounted.
pub(crate) const KEY_DIR: &str = "/etc/reeve/journal-key";

/// Verifies, shows and exports the journal.
#[derive(Args, Debug)]
pub(crate) struct JournalCommand {
    #[command(subcommand)]
    command: JournalVerb,
}

#[derive(Subcommand, Debug)]
enum JournalVerb {
    /// Checks the whole chain, and that heads saved elsewhere are in it
    #[command(after_help = verify::EXAMPLES)]
    Verify(Box<Verify>),
    /// Shows rows as a timeline
    #[command(after_help = show::EXAMPLES)]
    Show(Show),
    /// Folds recorded runs through this version's code: the same commands come out, or the first divergence is shown
    #[command(after_help = replay::EXAMPLES)]
    Replay(ReplayRuns),
    /// Judges recorded tool calls again, under another PolicySet: what would change
    #[command(after_help = what_if::EXAMPLES)]
    WhatIf(JudgeAgain),
    /// Writes a proof that a run is in the journal as it was signed, or that a later root extends an earlier one
    #[command(after_help = prove::EXAMPLES)]
    Prove(Prove),
    /// Checks such a proof, with nothing but the public key and what was saved elsewhere
    #[command(after_help = check_proof::EXAMPLES)]
    CheckProof(CheckProof),
    /// Prints the public key that the journal is signed with, for who verifies it elsewhere
    #[command(after_help = key::EXAMPLES)]
    PublicKey(PublicKeyOf),
    /// Writes every row to standard output, one JSON object a line
    #[command(after_help = "Example:\n  reeve journal export >journal.jsonl && reeve journal verify --file journal.jsonl")]
    Export {
        #[command(flatten)]
        database: Database,
    },
    /// Moves the rows of runs that have ended into a file, from which the journal still verifies
    #[command(after_help = archive::EXAMPLES)]
    Archive(Archive),
    /// Makes the tables of a PostgreSQL database, or brings them up to date, as the role that owns them
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(Migrate),
}

impl JournalCommand {
    /// Runs it.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            JournalVerb::Verify(verify) => Box::pin((*verify).run()).await,
            JournalVerb::PublicKey(key) => key.run(),
            JournalVerb::Prove(prove) => prove.run().await,
            JournalVerb::CheckProof(check) => check.run(),
            JournalVerb::Show(show) => show.run().await,
            JournalVerb::Replay(replay) => replay.run().await,
            JournalVerb::WhatIf(what_if) => what_if.run().await,
            JournalVerb::Export { database } => export(&database).await,
            JournalVerb::Archive(archive) => archive.run().await,
            JournalVerb::Migrate(migrate) => migrate.run().await,
        }
    }
}

/// Where the database is.
#[derive(Args, Debug)]
pub(crate) struct Database {
    /// The database, a SQLite file or a postgres:// URL; it may be in use. REEVE_DATABASE says it too, and keeps a password off the
    /// command line
    #[arg(long, value_name = "FILE|URL")]
    database: Option<DatabaseArgument>,
    /// The directory that the database `journal.db` is in
    #[arg(long, env = "REEVE_DATA_DIR", value_name = "DIR", default_value = "/var/lib/reeve")]
    data_dir: PathBuf,
}

impl Database {
    /// Where the journal is, and the artifacts beside it.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Opens it to read.
    pub(crate) async fn open(&self) -> Result<Journal, Failure> {
        Journal::open_read_only_at(&self.place()?).await.map_err(of_store)
    }

    fn place(&self) -> Result<Place, Failure> {
        match self.database.clone().or_else(DatabaseArgument::of_environment) {
            Some(given) => given.place(),
            None => Ok(Place::File(self.data_dir.join("journal.db"))),
        }
    }
}

/// Where rows come from.
#[derive(Args, Debug)]
pub(crate) struct Source {
    #[command(flatten)]
    database: Database,
    /// An export instead of a database; `-` for standard input
    #[arg(long, value_name = "EXPORT.jsonl", conflicts_with = "database")]
    file: Option<PathBuf>,
}

impl Source {
    /// The artifacts that belong to the rows: those that are given, or for a database those that the environment names, or else those
    /// beside it.
    async fn artifacts(&self, given: &ArtifactsOf) -> Result<Option<Artifacts>, Failure> {
        let is_database = self.file.is_none();
        let given_or_named = given.artifacts.clone().or_else(|| ArtifactsArgument::of_environment().filter(|_| is_database));
        let beside = self.database.data_dir.join("artifacts");
        if given_or_named.is_none() && !(is_database && beside.is_dir()) {
            return Ok(None);
        }
        let place = given.s3.place(given_or_named.as_ref(), &beside)?;
        artifact_store::open_read_only(&place).await.map(Some)
    }
}

/// Where the bodies are that rows only name.
#[derive(Args, Debug)]
pub(crate) struct ArtifactsOf {
    /// The artifact store, a folder or s3://BUCKET[/PREFIX], with the bodies over 256 KiB, and policy texts that an early release kept only
    /// there; default for a database: REEVE_ARTIFACTS, or `artifacts` in --data-dir
    #[arg(long, value_name = "DIR|URL")]
    artifacts: Option<ArtifactsArgument>,
    #[command(flatten)]
    s3: S3Arguments,
}

type Lines = Box<dyn AsyncBufRead + Unpin + Send>;

async fn lines(file: &PathBuf) -> Result<Lines, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(tokio::io::stdin())));
    }
    let opened = tokio::fs::File::open(file).await.map_err(Failure::reading(file.display()))?;
    Ok(Box::new(BufReader::new(opened)))
}

async fn export(database: &Database) -> Result<(), Failure> {
    let journal = database.open().await?;
    let mut out = tokio::io::BufWriter::new(tokio::io::stdout());
    match journal.export(&mut out).await {
        Ok(_) => Ok(()),
        Err(error) if is_closed_output(&error) => Err(Failure::OutputClosed),
        Err(error) => Err(of_store(error)),
    }
}

/// A row that cannot be read is the answer no; a file that cannot be opened could not be tried.
pub(crate) fn of_store(error: StoreError) -> Failure {
    if is_an_answer(&error) { Failure::no(error) } else { Failure::unusable(error) }
}

/// Whether the rows were read and are wrong, rather than not readable at all.
fn is_an_answer(error: &StoreError) -> bool {
    matches!(error, StoreError::BadRow { .. } | StoreError::Damaged { .. })
}

/// Whether the reader of our output has left. The store keeps of an error what the system says, which is one text for each number.
fn is_closed_output(error: &StoreError) -> bool {
    const EPIPE: i32 = 32;
    matches!(error, StoreError::Unavailable { why, .. } if *why == std::io::Error::from_raw_os_error(EPIPE).to_string())
}
