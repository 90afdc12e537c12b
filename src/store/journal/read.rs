//! Reading rows and budgets, and finding streams.

use reeve_core::budget::{Amounts, Balance};
use reeve_core::journal::{Epoch, Head, Row, Seq, Stream};

use super::audit::Tables;
use super::{Journal, on_each};
use crate::{StoreError, VerifyError};

pub(super) const READING: &str = "reading the journal";

/// Bodies that one answer holds at most, bytes (one row more, at that): what keeps a long stream from filling the memory.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A stream in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamBrief {
    /// The stream.
    pub stream: Stream,
    /// Its last row.
    pub head: Head,
    /// Kind of its last row: `run.finished` says that a run is over.
    pub last_kind: String,
    /// Time of its first row.
    pub since: String,
    /// Namespace and name of the run, where the first row is `run.started`.
    pub run: Option<(String, String)>,
}

/// A run found by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRun {
    /// Its stream.
    pub stream: Stream,
    /// Time of its `run.started`.
    pub started: String,
}

/// A reservation that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReservation {
    /// Its name.
    pub key: String,
    /// What it holds.
    pub amounts: Amounts,
    /// Position in the database of its `budget.reserved`.
    pub gseq: u64,
}

/// What each database is asked. All of it is durable when it is answered.
pub(super) trait Reads {
    /// The last row of a stream.
    async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError>;
    /// Rows of a stream from `from` on: `limit` at most, fewer when [`Answer`] is full.
    async fn rows_of(&self, stream: &Stream, from: i64, limit: u32) -> Result<Vec<Row>, StoreError>;
    /// Rows from `from` up to `upto`, in order, from below 1 if need be: who tampers may count from anywhere.
    async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError>;
    /// The highest position; 0 when there is no row.
    async fn upto(&self) -> Result<i64, StoreError>;
    /// The last row of all.
    async fn last(&self) -> Result<Option<Row>, StoreError>;
    /// Every stream, by name; the cost grows with the streams, not with the rows.
    async fn streams(&self) -> Result<Vec<StreamBrief>, StoreError>;
    /// Runs of this name, oldest first.
    async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError>;
    /// One account, if it has a row.
    async fn account(&self, account: &str) -> Result<Option<Balance>, StoreError>;
    /// Every account, by name.
    async fn accounts(&self) -> Result<Vec<(String, Balance)>, StoreError>;
    /// What is open in an account, oldest first.
    async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError>;
    /// Rows and tables of one instant.
    async fn tables(&self) -> Result<Tables, VerifyError>;
    /// No more reads.
    async fn close(&self);
}

/// Rows until their bodies are enough for one answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    rows: Vec<Row>,
    bytes: usize,
}

impl Answer {
    /// Takes a row in. Whether there is room for another.
    pub(super) fn takes(&mut self, row: Row) -> bool {
        self.bytes += row.body.len();
        self.rows.push(row);
        self.bytes < MAX_ANSWER_BYTES
    }

    pub(super) fn rows(self) -> Vec<Row> {
        self.rows
    }
}

impl Journal {
    /// The last row of a stream in brief; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError> {
        on_each!(self, database => database.head(stream))
    }

    /// Rows of a stream from `from` on, in order: `limit` at most, fewer when their bodies are large. No rows: there are no more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn read(&self, stream: &Stream, from: Seq, limit: u32) -> Result<Vec<Row>, StoreError> {
        on_each!(self, database => database.rows_of(stream, position(from.0), limit))
    }

    /// Rows of the whole database from `from` on, in order: `limit` at most, fewer when their bodies are large. No rows: there are no more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn scan(&self, from: u64, limit: u32) -> Result<Vec<Row>, StoreError> {
        self.page(position(from), i64::MAX, limit).await
    }

    pub(super) async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        on_each!(self, database => database.page(from, upto, limit))
    }

    /// The last row of the whole database; `None` when it is empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn last(&self) -> Result<Option<Row>, StoreError> {
        on_each!(self, database => database.last())
    }

    /// The highest epoch that any row was written under; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn highest_epoch(&self) -> Result<Epoch, StoreError> {
        // Epochs never fall: the schema sees to it.
        Ok(self.last().await?.map_or(Epoch(0), |row| row.epoch))
    }

    /// Every stream in brief, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn streams(&self) -> Result<Vec<StreamBrief>, StoreError> {
        on_each!(self, database => database.streams())
    }

    /// The runs that had this name, oldest first: a name can be used again, a UID cannot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError> {
        on_each!(self, database => database.find_runs(namespace, name))
    }

    /// What stands in an account. One that nothing was ever said of has no limits in force: nothing may be spent from it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn balance(&self, account: &str) -> Result<Balance, StoreError> {
        let stored = on_each!(self, database => database.account(account))?;
        Ok(stored.unwrap_or_default())
    }

    /// What stands in every account, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn balances(&self) -> Result<Vec<(String, Balance)>, StoreError> {
        on_each!(self, database => database.accounts())
    }

    /// What is held in an account and not settled, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError> {
        on_each!(self, database => database.open_reservations(account))
    }
}

/// A position as the databases count; one past their range is past every row.
fn position(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
