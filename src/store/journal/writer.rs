//! The one writer. Appends that wait together share one transaction, and so one fsync.
//!
//! Each transaction reads the last row and the head of each stream from the database; nothing is believed from before. After any failure
//! the connection is thrown away, and the next group starts on a fresh one.
//!
//! Budgets move in the same transaction as the rows that say so: after a rollback neither is there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reeve_core::Digest;
use reeve_core::journal::{Epoch, Row, RowDraft, Seq, Stream};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::accounts::Books;
use super::ledger::Posting;
use super::place::{self, WriterLock};
use super::schema;
use crate::StoreError;

/// Appends that may wait for the writer before a caller has to wait to be heard.
pub(super) const INBOX: usize = 256;
/// Appends in one transaction: one fsync serves them all, more would only make the first of them wait.
const MAX_GROUP_APPENDS: usize = 128;
/// Bodies in one transaction, bytes: bounds what the log grows by in one step.
const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// How long SQLite waits for a reader of another process that is in the way.
pub(super) const BUSY: Duration = Duration::from_secs(5);

const APPENDING: &str = "appending to the journal";

pub(super) type Reply = oneshot::Sender<Result<Vec<Row>, StoreError>>;

/// Rows that belong together, checked as far as can be without the database.
pub(super) struct Append {
    pub(super) epoch: Epoch,
    pub(super) stream: Stream,
    pub(super) after: Option<Seq>,
    pub(super) drafts: Vec<RowDraft>,
    /// What the drafts do to budgets, each with the place of its draft, from 0.
    pub(super) postings: Vec<(u64, Posting)>,
    pub(super) reply: Reply,
}

/// What the writer is told.
pub(super) enum Order {
    Append(Append),
    Close(oneshot::Sender<()>),
}

/// Holds the lock and the only connection that writes.
pub(super) struct Writer {
    path: PathBuf,
    /// None after a failure.
    connection: Option<SqliteConnection>,
    _lock: WriterLock,
}

/// The last row of the database, as the transaction sees it.
struct Tail {
    gseq: u64,
    hash: Digest,
    epoch: Epoch,
}

impl Writer {
    /// Opens, migrates, and makes durable what the file shows.
    pub(super) async fn open(path: &Path, lock: WriterLock) -> Result<Writer, StoreError> {
        let mut connection = connect(path, true).await?;
        schema::inspect(&mut connection, path).await?;
        write_ahead(&mut connection, path).await?;
        schema::migrate(&mut connection).await?;
        make_durable(&mut connection).await?;
        place::sync_directory(path)?;
        Ok(Writer { path: path.to_owned(), connection: Some(connection), _lock: lock })
    }

    /// Serves until told to close, or until nobody can ask any more.
    pub(super) async fn serve(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut closing = None;
        while closing.is_none() {
            let Some(first) = inbox.recv().await else { break };
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut order = Some(first);
            while let Some(next) = order.take() {
                match next {
                    Order::Append(append) => {
                        bytes += append.drafts.iter().map(|draft| draft.body.len()).sum::<usize>();
                        group.push(append);
                    }
                    Order::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
                if group.len() < MAX_GROUP_APPENDS && bytes < MAX_GROUP_BYTES {
                    order = inbox.try_recv().ok();
                }
            }
            self.settle(group).await;
        }
        drop(inbox);
        self.disconnect().await;
        drop(self);
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// Answers each append of the group.
    async fn settle(&mut self, group: Vec<Append>) {
        match self.transact(&group).await {
            Ok(outcomes) => {
                for (append, outcome) in group.into_iter().zip(outcomes) {
                    let _ = append.reply.send(outcome);
                }
            }
            Err(error) => {
                tracing::warn!(%error, appends = group.len(), "a journal transaction failed");
                self.disconnect().await;
                // One that the schema refuses, or that does not fit the disk, must not take the others with it. If the failed transaction
                // became durable all the same, each finds its stream moved on.
                let alone = group.len() == 1;
                for append in group {
                    let outcome = if alone { Err(error.clone()) } else { self.transact_one(&append).await };
                    let _ = append.reply.send(outcome);
                }
            }
        }
    }

    async fn transact_one(&mut self, append: &Append) -> Result<Vec<Row>, StoreError> {
        let outcome = self.transact(std::slice::from_ref(append)).await;
        if outcome.is_err() {
            self.disconnect().await;
        }
        outcome?.pop().unwrap_or(Err(StoreError::Closed))
    }

    /// One transaction for all. The outer error means that none of it counts; each inner one is the answer to its append.
    async fn transact(&mut self, group: &[Append]) -> Result<Vec<Result<Vec<Row>, StoreError>>, StoreError> {
        let failed = |error: sqlx::Error| StoreError::of_sqlite(APPENDING, &error);
        let connection = self.connected().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let mut tail = Tail::read(&mut transaction).await?;
        let mut outcomes = Vec::with_capacity(group.len());
        for append in group {
            outcomes.push(tail.append(&mut transaction, append).await?);
        }
        transaction.commit().await.map_err(failed)?;
        Ok(outcomes)
    }

    async fn connected(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = connect(&self.path, false).await?;
                write_ahead(&mut connection, &self.path).await?;
                make_durable(&mut connection).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Ends the connection, its open transaction with it.
    async fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the journal's connection failed");
        }
    }
}

impl Tail {
    async fn read(connection: &mut SqliteConnection) -> Result<Tail, StoreError> {
        let last: Option<(i64, String, i64)> = sqlx::query_as("SELECT gseq, hash, epoch FROM journal ORDER BY gseq DESC LIMIT 1")
            .fetch_optional(connection)
            .await
            .map_err(|error| StoreError::of_sqlite(APPENDING, &error))?;
        let Some((gseq, hash, epoch)) = last else { return Ok(Tail { gseq: 0, hash: Digest::ZERO, epoch: Epoch(0) }) };
        let bad = |why: String| StoreError::BadRow { gseq, why };
        Ok(Tail {
            gseq: u64::try_from(gseq).map_err(|error| bad(error.to_string()))?,
            hash: hash.parse().map_err(|error: reeve_core::digest::InvalidDigest| bad(error.to_string()))?,
            epoch: Epoch(u64::try_from(epoch).map_err(|error| bad(error.to_string()))?),
        })
    }

    /// Judges one append, and inserts its rows if it may.
    async fn append(&mut self, connection: &mut SqliteConnection, append: &Append) -> Result<Result<Vec<Row>, StoreError>, StoreError> {
        let Append { epoch, stream, after, drafts, postings, reply: _ } = append;
        if *epoch < self.epoch {
            return Ok(Err(StoreError::Fenced { epoch: *epoch, highest: self.epoch }));
        }
        let head: Option<i64> = sqlx::query_scalar("SELECT seq FROM journal WHERE stream = ?1 ORDER BY seq DESC LIMIT 1")
            .bind(stream.as_str())
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| StoreError::of_sqlite(APPENDING, &error))?;
        let found = head.map(|seq| Seq(seq.unsigned_abs()));
        if found != *after {
            return Ok(Err(StoreError::StaleHead { stream: stream.as_str().to_owned(), expected: *after, found }));
        }
        // Judged before the first row is written, so that a refusal leaves nothing to take back: a savepoint would cost each append two
        // statements more.
        let books = match postings.as_slice() {
            [] => None,
            postings => match Books::post(connection, postings).await? {
                Ok(books) => Some(books),
                Err(refused) => return Ok(Err(refused)),
            },
        };
        let first = self.gseq + 1;
        let mut rows = Vec::with_capacity(drafts.len());
        let mut seq = found.unwrap_or(Seq(0));
        for draft in drafts {
            seq = seq.next();
            let row = draft
                .clone()
                .place(stream.clone(), self.gseq + 1, seq, *epoch, self.hash)
                .map_err(|error| StoreError::Malformed { why: error.to_string() })?;
            insert(connection, &row).await?;
            *self = Tail { gseq: row.gseq, hash: row.hash, epoch: row.epoch };
            rows.push(row);
        }
        if let Some(books) = books {
            books.write(connection, first, postings).await?;
        }
        Ok(Ok(rows))
    }
}

async fn insert(connection: &mut SqliteConnection, row: &Row) -> Result<(), StoreError> {
    let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash } = row;
    let too_large = |what: &str| StoreError::Malformed { why: format!("{what} is past what the database can count to") };
    sqlx::query(
        "INSERT INTO journal (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(i64::try_from(*gseq).map_err(|_| too_large("gseq"))?)
    .bind(stream.as_str())
    .bind(i64::try_from(seq.0).map_err(|_| too_large("seq"))?)
    .bind(time)
    .bind(i64::try_from(epoch.0).map_err(|_| too_large("epoch"))?)
    .bind(kind)
    .bind(actor)
    .bind(body)
    .bind(prev.to_string())
    .bind(hash.to_string())
    .execute(connection)
    .await
    .map_err(|error| StoreError::of_sqlite(APPENDING, &error))?;
    Ok(())
}

async fn connect(path: &Path, create: bool) -> Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| StoreError::of_sqlite("opening the journal", &error))
}

async fn write_ahead(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(connection)
        .await
        .map_err(|error| StoreError::of_sqlite("opening the journal's log", &error))?;
    if mode == "wal" {
        return Ok(());
    }
    Err(StoreError::Unusable { path: path.to_owned(), why: format!("SQLite could not set write-ahead logging there, only {mode}") })
}

/// Copies the log into the file and syncs both.
///
/// A process that was killed between a write and its fsync leaves rows that can be read but may not be on the disk. Whoever acts on what it
/// reads must know that it is there to stay, so nothing is read before this is done.
async fn make_durable(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const DOING: &str = "making the journal durable";
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(FULL)").fetch_one(connection).await.map_err(|error| StoreError::of_sqlite(DOING, &error))?;
    if busy == 0 {
        return Ok(());
    }
    Err(StoreError::Unavailable { doing: DOING, why: "another process holds the log".to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt as _;
    use jiff::Timestamp;
    use reeve_core::budget::{Amounts, Limits};
    use reeve_core::journal::{Actor, BudgetLimited, BudgetReserved, Event};
    use sqlx::AssertSqlSafe;

    use super::*;

    fn append(stream: &str, texts: &[&str]) -> (Append, oneshot::Receiver<Result<Vec<Row>, StoreError>>) {
        let (reply, outcome) = oneshot::channel();
        let draft =
            |text: &&str| RowDraft::of(&Event::ThoughtSummary { text: (*text).to_owned() }, &Actor::Model, Timestamp::UNIX_EPOCH).unwrap();
        let drafts = texts.iter().map(draft).collect();
        (Append { epoch: Epoch(1), stream: Stream::run(stream), after: None, drafts, postings: Vec::new(), reply }, outcome)
    }

    /// Limits an account and reserves one token of it, then a row with a text so long.
    fn reservation(stream: &str, padding: usize) -> (Append, oneshot::Receiver<Result<Vec<Row>, StoreError>>) {
        let (mut append, outcome) = append(stream, &[&"x".repeat(padding)]);
        let account = format!("team/{stream}");
        let limited = BudgetLimited { account: account.clone(), uid: "u".to_owned(), generation: 1, limits: Some(Limits::default()) };
        let reserved = BudgetReserved { account, key: stream.to_owned(), amounts: Amounts { tokens: 1, ..Amounts::default() } };
        append.postings = vec![(0, Posting::Limited(limited.clone())), (1, Posting::Reserved(reserved.clone()))];
        for (at, event) in [Event::BudgetLimited(limited), Event::BudgetReserved(reserved)].iter().enumerate() {
            append.drafts.insert(at, RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap());
        }
        (append, outcome)
    }

    async fn accounts(writer: &mut Writer) -> Vec<(String, i64)> {
        let connection = writer.connected().await.unwrap();
        sqlx::query_as("SELECT account, reserved_tokens FROM budget_account ORDER BY account").fetch_all(connection).await.unwrap()
    }

    async fn writer() -> (tempfile::TempDir, Writer) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let writer = Writer::open(&path, place::claim(&path).unwrap()).await.unwrap();
        (directory, writer)
    }

    #[tokio::test]
    async fn nothing_is_half_written_when_the_disk_is_full() {
        let (_directory, mut writer) = writer().await;
        let connection = writer.connection.as_mut().unwrap();
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
        let full = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 10));
        sqlx::query(full).execute(connection).await.unwrap();
        let (large, outcome) = append("a", &["fits", &"does not fit ".repeat(20_000)]);
        writer.settle(vec![large]).await;
        let refused = outcome.await.unwrap().unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
        // The connection is another one, without the bound: the disk has room again.
        let (small, outcome) = append("a", &["fits"]);
        writer.settle(vec![small]).await;
        assert_eq!(outcome.await.unwrap().unwrap()[0].gseq, 1);
    }

    #[tokio::test]
    async fn a_budget_moves_with_its_rows_or_not_at_all() {
        let (_directory, mut writer) = writer().await;
        let connection = writer.connection.as_mut().unwrap();
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
        let full = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 10));
        sqlx::query(full).execute(connection).await.unwrap();
        let (large, large_outcome) = reservation("large", 200_000);
        writer.settle(vec![large]).await;
        assert!(matches!(large_outcome.await.unwrap(), Err(StoreError::Unavailable { .. })));
        assert_eq!(accounts(&mut writer).await, []);
        // The schema refuses one of the group, so all of it is rolled back, and each is tried again alone.
        let (first, first_outcome) = reservation("first", 1);
        let (mut bad, bad_outcome) = reservation("bad", 1);
        bad.drafts[2].actor = String::new();
        let (last, last_outcome) = reservation("last", 1);
        writer.settle(vec![first, bad, last]).await;
        assert!(matches!(bad_outcome.await.unwrap(), Err(StoreError::Refused { .. })));
        let gseqs = [first_outcome, last_outcome].map(|outcome| outcome.now_or_never().unwrap().unwrap().unwrap()[0].gseq);
        assert_eq!(gseqs, [1, 4]);
        assert_eq!(accounts(&mut writer).await, [("team/first".to_owned(), 1), ("team/last".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn an_append_that_the_schema_refuses_takes_no_other_with_it() {
        let (_directory, mut writer) = writer().await;
        let (first, first_outcome) = append("a", &["one", "two"]);
        let (mut bad, bad_outcome) = append("b", &["x"]);
        bad.drafts[0].actor = String::new();
        let (last, last_outcome) = append("c", &["three"]);
        writer.settle(vec![first, bad, last]).await;
        assert_eq!(first_outcome.await.unwrap().unwrap().len(), 2);
        let refused = bad_outcome.await.unwrap().unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
        assert_eq!(last_outcome.await.unwrap().unwrap()[0].gseq, 3);
    }
}
