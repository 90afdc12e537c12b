//! The journal: opening it, appending to it, closing it.

mod accounts;
mod audit;
mod check;
mod ledger;
mod place;
mod read;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use reeve_core::Digest;
use reeve_core::journal::{Epoch, Row, RowDraft, Seq, Stream};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use ledger::Posting;
use schema::Schema;
use writer::{Append, Order, Writer};

pub use accounts::OpenReservation;
pub use check::verify_export;
pub use read::{FoundRun, StreamBrief};

/// Connections that read: a handful of reconcilers, and a verify.
const READERS: u32 = 4;

/// A handle to the journal; clones share it.
///
/// Needs a tokio runtime to live in. The writer ends, and its lock with it, at [`Journal::close`] or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    path: Arc<Path>,
    reads: SqlitePool,
    /// None when opened to read only.
    writer: Option<mpsc::Sender<Order>>,
    /// Opened as a file that nobody changes.
    still: bool,
}

impl Journal {
    /// Opens the journal to write, and makes it if there is none. What it shows from then on is durable.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], [`StoreError::NetworkFileSystem`], [`StoreError::InUse`], [`StoreError::NotAJournal`],
    /// [`StoreError::NewerSchema`]: nothing was changed. [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn open(path: &Path) -> Result<Journal, StoreError> {
        let lock = place::claim(path)?;
        place::looks_like_a_database(path)?;
        let writer = Writer::open(path, lock).await?;
        let (orders, inbox) = mpsc::channel(writer::INBOX);
        tokio::spawn(writer.serve(inbox));
        Ok(Journal { path: path.into(), reads: readers(path, false), writer: Some(orders), still: false })
    }

    /// Opens the journal to read, beside a writer that lives or as a copy (with or without its `-wal`). Makes no file of its own for a copy.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], [`StoreError::NotAJournal`], [`StoreError::NewerSchema`], [`StoreError::Unavailable`].
    pub async fn open_read_only(path: &Path) -> Result<Journal, StoreError> {
        if let Err(error) = std::fs::metadata(path) {
            return Err(StoreError::Unusable { path: path.to_owned(), why: error.to_string() });
        }
        place::looks_like_a_database(path)?;
        // SQLite keeps the log for as long as a writer has the file open. Without one the file is whole by itself, and reading it as
        // immutable works in a directory that cannot be written.
        let still = !place::has_log(path);
        let reads = readers(path, still);
        let failed = |error: sqlx::Error| StoreError::of_sqlite("opening the journal to read", &error);
        let mut connection = reads.acquire().await.map_err(failed)?;
        let found = schema::inspect(&mut connection, path).await?;
        drop(connection);
        match found {
            Schema::Version(_) => Ok(Journal { path: path.into(), reads, writer: None, still }),
            Schema::Empty => Err(StoreError::NotAJournal { path: path.to_owned(), why: "it is empty".to_owned() }),
        }
    }

    /// Appends rows to a stream, all or none. They are on the disk when this returns `Ok`.
    ///
    /// `after` is the head that the caller believes in, `None` for a stream without rows. No drafts, no rows, and nothing is checked.
    /// Appends that are made at the same time share a transaction; each has its own outcome. A caller that is dropped while it waits does
    /// not know whether its rows were written.
    ///
    /// Rows of kind `budget.reserved`, `budget.settled` and `budget.limited` move their accounts in the transaction that writes them, each
    /// judged by what the rows before it leave. A key is reserved once and settled once, for ever.
    ///
    /// # Errors
    /// [`StoreError::StaleHead`], [`StoreError::Fenced`], [`StoreError::TooLarge`], [`StoreError::Exceeded`] (a reservation that does not
    /// fit), [`StoreError::Malformed`] (also a key that was reserved before, or one settled that is not open), [`StoreError::Refused`]:
    /// nothing was written. After [`StoreError::Unavailable`] read the head again, it alone tells.
    pub async fn append(&self, epoch: Epoch, stream: &Stream, after: Option<Seq>, drafts: Vec<RowDraft>) -> Result<Vec<Row>, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        check_place(epoch, stream)?;
        let mut postings = Vec::new();
        for (draft, offset) in drafts.iter().zip(0..) {
            check_draft(epoch, stream, draft)?;
            postings.extend(posting(draft)?.map(|posting| (offset, posting)));
        }
        let (reply, outcome) = oneshot::channel();
        let append = Append { epoch, stream: stream.clone(), after, drafts, postings, reply };
        writer.send(Order::Append(append)).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Ends the writer after what it was given before, and gives up the lock. Other handles answer [`StoreError::Closed`] afterwards.
    pub async fn close(self) {
        self.reads.close().await;
        let Some(writer) = self.writer else { return };
        let (done, ended) = oneshot::channel();
        // A writer that has ended already cannot be told, and need not be.
        if writer.send(Order::Close(done)).await.is_ok() {
            let _ = ended.await;
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn readers(path: &Path, still: bool) -> SqlitePool {
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).immutable(still).busy_timeout(writer::BUSY).disable_statement_logging();
    SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false).connect_lazy_with(options)
}

fn check_place(epoch: Epoch, stream: &Stream) -> Result<(), StoreError> {
    if stream.as_str().is_empty() {
        return Err(StoreError::Malformed { why: "a stream has a name".to_owned() });
    }
    if i64::try_from(epoch.0).is_err() {
        return Err(StoreError::Malformed { why: format!("epoch {} is past what the database can count to", epoch.0) });
    }
    Ok(())
}

/// Nothing gets in that [`reeve_core::journal::Verifier`] would refuse: it could never be taken out again.
fn check_draft(epoch: Epoch, stream: &Stream, draft: &RowDraft) -> Result<(), StoreError> {
    let RowDraft { time, kind, actor, body } = draft;
    if body.len() > MAX_EVENT_BODY_BYTES {
        let (bytes, limit) = (body.len() as u64, MAX_EVENT_BODY_BYTES as u64);
        return Err(StoreError::TooLarge { what: format!("the body of a {kind} event"), bytes, limit });
    }
    if time.is_empty() || actor.is_empty() {
        return Err(StoreError::Malformed { why: format!("a {kind} event has no time or no actor") });
    }
    let row = Row {
        gseq: 0,
        stream: stream.clone(),
        seq: Seq(0),
        time: String::new(),
        epoch,
        kind: kind.clone(),
        actor: String::new(),
        body: body.clone(),
        prev: Digest::ZERO,
        hash: Digest::ZERO,
    };
    row.event().map_err(|error| StoreError::Malformed { why: error.to_string() })?;
    Ok(())
}

/// What a draft does to a budget, if anything.
fn posting(draft: &RowDraft) -> Result<Option<Posting>, StoreError> {
    let posting = Posting::read(&draft.kind, &draft.body).map_err(|error| StoreError::Malformed { why: error.to_string() })?;
    if let Some(posting) = &posting
        && !(is_name(posting.account()) && posting.key().is_none_or(is_name))
    {
        return Err(StoreError::Malformed { why: format!("a {} event has no name for its account or reservation", draft.kind) });
    }
    Ok(posting)
}

/// What SQLite's functions make of a text with a NUL in it cannot be relied on: https://www.sqlite.org/nulinstr.html
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0')
}
