//! The journal in a SQLite file: embedded, one process that writes, a local disk.

mod file;
mod read;
mod schema;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, SqlitePool};

use crate::StoreError;
use schema::Schema;
use write::Writer;

/// Connections that read: a handful of reconcilers, and a verify.
const READERS: u32 = 4;

/// How long SQLite waits for a reader of another process that is in the way.
const BUSY: Duration = Duration::from_secs(5);

/// The file, to read.
#[derive(Clone, Debug)]
pub(super) struct Sqlite {
    path: Arc<Path>,
    reads: SqlitePool,
    /// Opened as a file that nobody changes.
    still: bool,
}

/// Opens the file to write, and makes it if there is none.
pub(super) async fn open(path: &Path) -> Result<(impl super::writer::Database + use<>, Sqlite), StoreError> {
    let lock = file::claim(path)?;
    file::looks_like_a_database(path)?;
    let writer = Writer::open(path, lock).await?;
    Ok((writer, Sqlite::new(path, false)))
}

/// Opens the file to read, beside a writer that lives or as a copy. Makes no file of its own for a copy.
pub(super) async fn open_read_only(path: &Path) -> Result<Sqlite, StoreError> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(StoreError::Unusable { place: path.display().to_string(), why: error.to_string() });
    }
    file::looks_like_a_database(path)?;
    // SQLite keeps the log for as long as a writer has the file open. Without one the file is whole by itself, and reading it as
    // immutable works in a directory that cannot be written.
    let database = Sqlite::new(path, !file::has_log(path));
    let failed = |error: sqlx::Error| StoreError::of_sqlite("opening the journal to read", &error);
    let mut connection = database.reads.acquire().await.map_err(failed)?;
    match schema::inspect(&mut connection, path).await? {
        Schema::Version(_) => Ok(database),
        Schema::Empty => Err(StoreError::NotAJournal { place: path.display().to_string(), why: "it is empty".to_owned() }),
    }
}

impl Sqlite {
    fn new(path: &Path, still: bool) -> Sqlite {
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).immutable(still).busy_timeout(BUSY).disable_statement_logging();
        let reads = SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false).connect_lazy_with(options);
        Sqlite { path: path.into(), reads, still }
    }

    /// Whether a writer has opened the file since it was opened as one that nobody changes.
    pub(super) fn moved_while_read(&self) -> bool {
        self.still && file::has_log(&self.path)
    }
}
