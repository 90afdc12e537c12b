//! The journal: opening it, appending to it, closing it.

mod archive;
mod archives;
mod audit;
mod books;
mod check;
mod columns;
mod judge;
mod known;
mod ledger;
mod lineage;
mod memory;
mod place;
mod postgres;
mod read;
mod request;
mod sql;
mod sqlite;
mod writer;

use std::path::Path;

use reeve_core::journal::{Epoch, Row, RowDraft, Seq, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use memory::Memory;
use postgres::Postgres;
use request::Request;
use sqlite::Sqlite;
use writer::Order;

pub use archive::{ArchiveError, NotArchived};
pub use archives::Beside;
pub(crate) use archives::{ArchiveRows, digest_of};
pub use check::{verify_export, verify_export_against, verify_export_with, verify_links};
pub use lineage::{ForkError, ForkPlace};
pub use memory::{Gate, Lost, MemoryDatabase, Trust};
pub use place::{DatabaseUrl, InvalidPlace, Place};
pub use read::{FoundRun, OpenReservation, StreamBrief};

/// Asks whichever database it is.
macro_rules! on_each {
    ($journal:expr, $database:ident => $answer:expr) => {{
        use $crate::journal::read::Reads as _;
        match &$journal.backing {
            $crate::journal::Backing::Sqlite($database) => $answer.await,
            // The largest of the three: on the heap, where it costs nothing beside the way to the server.
            $crate::journal::Backing::Postgres($database) => Box::pin($answer).await,
            $crate::journal::Backing::Memory($database) => $answer.await,
        }
    }};
}
use on_each;

/// A handle to the journal; clones share it.
///
/// Needs a tokio runtime to live in. The writer ends, and its lock with it, at [`Journal::close`] or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    backing: Backing,
    /// None when opened to read only, and in memory, where there is nothing to wait for.
    writer: Option<mpsc::Sender<Order>>,
}

/// Where the rows lie.
#[derive(Clone, Debug)]
enum Backing {
    Sqlite(Sqlite),
    Postgres(Postgres),
    Memory(Memory),
}

/// How an append gets there.
enum Way<'a> {
    /// At once.
    Memory(&'a Memory),
    /// Through the one writer.
    Writer(&'a mpsc::Sender<Order>),
}

impl Journal {
    /// Opens the journal to write, and makes it if there is none. What it shows from then on is durable.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], [`StoreError::NetworkFileSystem`], [`StoreError::InUse`], [`StoreError::NotAJournal`],
    /// [`StoreError::NewerSchema`]: nothing was changed. [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn open(path: &Path) -> Result<Journal, StoreError> {
        let (writer, reads) = sqlite::open(path).await?;
        Ok(Journal::writing(writer, Backing::Sqlite(reads)))
    }

    /// Opens the journal to read, beside a writer that lives or as a copy (with or without its `-wal`). Makes no file of its own for a copy.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], [`StoreError::NotAJournal`], [`StoreError::NewerSchema`], [`StoreError::Unavailable`].
    pub async fn open_read_only(path: &Path) -> Result<Journal, StoreError> {
        Ok(Journal { backing: Backing::Sqlite(sqlite::open_read_only(path).await?), writer: None })
    }

    /// As [`Journal::open`], wherever it lies. A PostgreSQL database may be open in more than one process at a time: what they append is
    /// one chain, and an epoch lower than the last is refused.
    ///
    /// # Errors
    /// As [`Journal::open`]; also [`StoreError::Unfit`], where a database loses what it is given, or its role may not do what is needed.
    pub async fn open_at(place: &Place) -> Result<Journal, StoreError> {
        match place {
            Place::File(path) => Journal::open(path).await,
            Place::Postgres(url) => {
                let (writer, reads) = postgres::open(url).await?;
                Ok(Journal::writing(writer, Backing::Postgres(reads)))
            }
        }
    }

    /// As [`Journal::open_read_only`], wherever it lies.
    ///
    /// # Errors
    /// As [`Journal::open_read_only`].
    pub async fn open_read_only_at(place: &Place) -> Result<Journal, StoreError> {
        match place {
            Place::File(path) => Journal::open_read_only(path).await,
            Place::Postgres(url) => Ok(Journal { backing: Backing::Postgres(postgres::open_read_only(url).await?), writer: None }),
        }
    }

    /// Brings a PostgreSQL database to this binary's schema, as the role that owns its tables or is to own them, and gives the role
    /// `writer` what an operator needs: to insert and select, and to update the sums of budgets. Answers the version. Safe to repeat.
    ///
    /// # Errors
    /// [`StoreError::Unfit`], [`StoreError::NotAJournal`], [`StoreError::NewerSchema`]: nothing was changed. [`StoreError::Unavailable`].
    pub async fn migrate(url: &DatabaseUrl, writer: Option<&str>) -> Result<i64, StoreError> {
        postgres::migrate_for(url, writer).await
    }

    /// An empty journal in memory, gone with its last handle: for a simulation. It needs no runtime, starts no thread, and every call is done
    /// when it is first polled. [`MemoryDatabase`] keeps the rows across restarts.
    #[must_use]
    pub fn in_memory() -> Journal {
        MemoryDatabase::new().open()
    }

    fn writing(writer: impl writer::Database, backing: Backing) -> Journal {
        let (orders, inbox) = mpsc::channel(writer::INBOX);
        tokio::spawn(writer::serve(writer, inbox));
        Journal { backing, writer: Some(orders) }
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
        let way = self.way()?;
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let request = Request::checked(epoch, stream, after, drafts)?;
        match way {
            Way::Memory(memory) => memory.append(request).await,
            Way::Writer(writer) => {
                let (reply, outcome) = oneshot::channel();
                writer.send(Order::Append(request, reply)).await.map_err(|_| StoreError::Closed)?;
                outcome.await.map_err(|_| StoreError::Closed)?
            }
        }
    }

    fn way(&self) -> Result<Way<'_>, StoreError> {
        if let Backing::Memory(memory) = &self.backing {
            return Ok(Way::Memory(memory));
        }
        self.writer.as_ref().map(Way::Writer).ok_or(StoreError::ReadOnly)
    }

    /// Ends the writer after what it was given before, and gives up the lock. Other handles answer [`StoreError::Closed`] afterwards.
    pub async fn close(self) {
        on_each!(self, database => database.close());
        let Some(writer) = self.writer else { return };
        let (done, ended) = oneshot::channel();
        // A writer that has ended already cannot be told, and need not be.
        if writer.send(Order::Close(done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}
