//! What can go wrong between Reeve and its disk.

use std::path::PathBuf;

use reeve_core::Digest;
use reeve_core::budget::Exceeded;
use reeve_core::class::Class;
use reeve_core::journal::{ChainError, Epoch, Seq};

/// Why the journal or the artifacts could not do what was asked. Cheap to clone: one failure answers a whole group of appends.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another writer moved the stream.
    #[error("stream {stream} was expected to end at {}, but ends at {}: read it again and decide anew", at(.expected), at(.found))]
    StaleHead {
        /// The stream.
        stream: String,
        /// What the caller believed.
        expected: Option<Seq>,
        /// What is there.
        found: Option<Seq>,
    },
    /// A writer with a newer lease has been here.
    #[error("fenced: epoch {} may not write, the journal has seen epoch {}: this process is no longer the leader", .epoch.0, .highest.0)]
    Fenced {
        /// Epoch of the writer.
        epoch: Epoch,
        /// Highest epoch in the journal.
        highest: Epoch,
    },
    /// Over a size that is bounded.
    #[error("{what} has {bytes} bytes, the most is {limit}: keep what is large in the artifact store and name its digest")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A draft that `verify` would refuse once it is a row. Nothing was written.
    #[error("refused to journal what could not be read back: {why}")]
    Malformed {
        /// Why.
        why: String,
    },
    /// A reservation that does not fit its budget. Nothing was written.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The disk or the database did not do it. Whether a write is durable is unknown until the head is read again.
    #[error("{doing}: {why}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        why: String,
    },
    /// [`crate::Journal::close`] was called.
    #[error("the journal was closed: the process is ending")]
    Closed,
    /// Opened by [`crate::Journal::open_read_only`].
    #[error("the journal was opened to read only")]
    ReadOnly,
    /// The schema refused a row that the writer held to be right.
    #[error("the schema refused an append: {why}")]
    Refused {
        /// The trigger's or the check's message.
        why: String,
    },
    /// Written by a newer Reeve.
    #[error("{place} has schema version {found}, this binary knows {known}: run the newer Reeve that wrote it")]
    NewerSchema {
        /// The file, or the URL without its password.
        place: String,
        /// Its version.
        found: i64,
        /// The binary's.
        known: i64,
    },
    /// A file system that does not keep the promises that SQLite's log needs.
    #[error(
        "{} lies on {kind}: its locks and shared memory do not hold between machines, so a journal there can lose rows. \
         Use a local disk (hostPath, local or block volume)", path.display()
    )]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Which file system.
        kind: &'static str,
    },
    /// Some other file or database.
    #[error("{place} is not a journal of Reeve: {why}")]
    NotAJournal {
        /// The file, or the URL without its password.
        place: String,
        /// How it can be told.
        why: String,
    },
    /// A database that would lose what it is given, or whose role may not do what is needed.
    #[error("{place} cannot hold a journal: {why}")]
    Unfit {
        /// The URL without its password.
        place: String,
        /// What is in the way, and what to do.
        why: String,
    },
    /// Cannot be written, or not be reached at all.
    #[error("{place} cannot be used: {why}")]
    Unusable {
        /// File, directory or bucket.
        place: String,
        /// What the system says.
        why: String,
    },
    /// Another process writes it.
    #[error("{} is written by another process ({holder}): there can be one writer, wait for it to end", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// What the lock file says about it.
        holder: String,
    },
    /// The database finds itself damaged.
    #[error("the database is damaged: {why}. Keep the file, and restore from an export that verifies")]
    Damaged {
        /// What it says.
        why: String,
    },
    /// A row whose columns are no [`reeve_core::journal::Row`].
    #[error("row {gseq} cannot be read: {why}")]
    BadRow {
        /// Position in the database.
        gseq: i64,
        /// Why.
        why: String,
    },
    /// An artifact that is not what its name says.
    #[error("artifact {digest} is corrupt: {why}")]
    Corrupt {
        /// Its name.
        digest: Digest,
        /// How it can be told.
        why: String,
    },
    /// No such artifact.
    #[error("artifact {digest} is not in the store")]
    Missing {
        /// Its name.
        digest: Digest,
    },
}

impl StoreError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            StoreError::StaleHead { .. } | StoreError::Fenced { .. } | StoreError::InUse { .. } => Class::Conflict,
            StoreError::Exceeded(_) => Class::Throttled,
            StoreError::Unavailable { .. } | StoreError::Closed => Class::Transient,
            StoreError::Malformed { .. } | StoreError::Refused { .. } | StoreError::ReadOnly => Class::Bug,
            StoreError::TooLarge { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NetworkFileSystem { .. }
            | StoreError::NotAJournal { .. }
            | StoreError::Unfit { .. }
            | StoreError::Unusable { .. }
            | StoreError::Damaged { .. }
            | StoreError::BadRow { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Missing { .. } => Class::Invalid,
        }
    }

    /// What this database error means while `doing` something.
    pub(crate) fn of_sqlite(doing: &'static str, error: &sqlx::Error) -> StoreError {
        let why = error.to_string();
        let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
        // The low byte is the primary code, the rest says more of it: https://www.sqlite.org/rescode.html
        match code.map(|code| code & 0xff) {
            Some(SQLITE_CONSTRAINT | SQLITE_ERROR) => StoreError::Refused { why },
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::Damaged { why },
            Some(_) | None => StoreError::Unavailable { doing, why },
        }
    }

    /// What this database error means while `doing` something.
    pub(crate) fn of_postgres(doing: &'static str, error: &sqlx::Error) -> StoreError {
        let why = error.to_string();
        let code = error.as_database_error().and_then(|error| error.code());
        // The first two say which class: https://www.postgresql.org/docs/15/errcodes-appendix.html
        match code.as_deref().and_then(|code| code.get(..2)) {
            // Data, constraints, privileges and statements that do not fit; what a trigger raises.
            Some("22" | "23" | "42" | "P0") => StoreError::Refused { why },
            // Data or an index corrupted.
            Some("XX") if code.as_deref() != Some("XX000") => StoreError::Damaged { why },
            Some(_) | None => StoreError::Unavailable { doing, why },
        }
    }

    /// What this file error means while `doing` something.
    pub(crate) fn of_io(doing: &'static str, error: &std::io::Error) -> StoreError {
        StoreError::Unavailable { doing, why: error.to_string() }
    }
}

const SQLITE_ERROR: i32 = 1;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;

/// Why a journal does not verify.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The chain is not whole.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The rows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows are whole, but budgets are not what they make of them.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// A body that is kept in the artifact store is not there, or not what its row names.
    #[error("row {gseq} ({kind}) names a body that the artifacts do not have: {why}")]
    Kept {
        /// Position in the database.
        gseq: u64,
        /// Kind of the row.
        kind: Box<str>,
        /// Why.
        why: String,
    },
    /// A file of archived runs that is not what the journal names, or cannot be read as one.
    #[error("archive {}: {why}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A line of an export that is no row.
    #[error("line {line} of the export is no row: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// Why.
        why: String,
    },
}

/// What is wrong with budgets, at the first row or account.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BudgetError {
    /// A row that no writer of Reeve lets in after those before it.
    #[error("row {gseq} cannot follow the rows before it: {why}")]
    Row {
        /// Position in the database.
        gseq: u64,
        /// Why.
        why: String,
    },
    /// A table that says other than the rows.
    #[error(
        "budget account {account}: by the journal's rows, {what} is {expected}, but the table says {found}: it was changed past the \
         journal. Believe the rows; restore a copy that verifies"
    )]
    Table {
        /// `<namespace>/<name>`.
        account: String,
        /// Limit, used or reserved of which dimension, or what of which reservation.
        what: String,
        /// By the rows.
        expected: String,
        /// In the table.
        found: String,
    },
}

impl VerifyError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            VerifyError::Chain(_)
            | VerifyError::Budget(_)
            | VerifyError::Kept { .. }
            | VerifyError::Archive { .. }
            | VerifyError::Line { .. } => Class::Invalid,
            VerifyError::Store(error) => error.class(),
        }
    }
}

fn at(seq: &Option<Seq>) -> String {
    seq.map_or_else(|| "no row".to_owned(), |seq| seq.0.to_string())
}
