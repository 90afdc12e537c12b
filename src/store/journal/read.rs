//! Reading rows, and finding streams.

use futures::TryStreamExt as _;
use reeve_core::digest::InvalidDigest;
use reeve_core::journal::{Epoch, Head, Row, Seq, Stream};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Journal;
use crate::StoreError;

const READING: &str = "reading the journal";

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

impl Journal {
    /// The last row of a stream in brief; `None` when it has none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError> {
        let mut connection = self.reader().await?;
        head_of(&mut connection, stream).await
    }

    /// Rows of a stream from `from` on, in order: `limit` at most, fewer when their bodies are large. No rows: there are no more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn read(&self, stream: &Stream, from: Seq, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        let query = sqlx::query(
            "SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal WHERE stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
        );
        gather(query.bind(stream.as_str()).bind(position(from.0)).bind(limit).fetch(&mut *connection)).await
    }

    /// Rows of the whole database from `from` on, in order: `limit` at most, fewer when their bodies are large. No rows: there are no more.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn scan(&self, from: u64, limit: u32) -> Result<Vec<Row>, StoreError> {
        self.page(position(from), i64::MAX, limit).await
    }

    /// As [`Journal::scan`], up to a row, and from below 1 if need be: who tampers may count from anywhere.
    pub(super) async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        let query = sqlx::query(
            "SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal WHERE gseq BETWEEN ?1 AND ?2 ORDER BY gseq LIMIT ?3",
        );
        gather(query.bind(from).bind(upto).bind(limit).fetch(&mut *connection)).await
    }

    /// Position and hash of the last row of the whole database; `None` when it is empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn last(&self) -> Result<Option<Row>, StoreError> {
        let mut connection = self.reader().await?;
        let query =
            sqlx::query("SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal ORDER BY gseq DESC LIMIT 1");
        Ok(gather(query.fetch(&mut *connection)).await?.pop())
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
        let mut connection = self.reader().await?;
        // Jumps from stream to stream along the index, so its cost grows with the streams, not with the rows.
        let mut rows = sqlx::query(
            "WITH RECURSIVE names(stream) AS (
                SELECT min(stream) FROM journal
                UNION ALL
                SELECT (SELECT min(stream) FROM journal WHERE stream > names.stream) FROM names WHERE names.stream IS NOT NULL
            )
            SELECT last.gseq, last.seq, last.hash, last.kind, first.time, first.stream,
                   iif(first.kind = 'run.started', json_extract(first.body, '$.namespace'), NULL),
                   iif(first.kind = 'run.started', json_extract(first.body, '$.name'), NULL)
            FROM names
            CROSS JOIN journal AS first ON first.stream = names.stream AND first.seq = 1
            CROSS JOIN journal AS last ON last.stream = names.stream
                AND last.seq = (SELECT max(seq) FROM journal WHERE stream = names.stream)",
        )
        .fetch(&mut *connection);
        let mut streams = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let gseq: i64 = row.try_get(0).map_err(failed)?;
            let cell = |column: usize| row.try_get::<Option<String>, _>(column).map_err(|error| bad(gseq, error));
            let run = cell(6)?.zip(cell(7)?);
            streams.push(StreamBrief {
                stream: Stream::run(&text(&row, gseq, 5)?),
                head: Head { seq: Seq(count(&row, gseq, 1)?), hash: digest(&row, gseq, 2)? },
                last_kind: text(&row, gseq, 3)?,
                since: text(&row, gseq, 4)?,
                run,
            });
        }
        Ok(streams)
    }

    /// The runs that had this name, oldest first: a name can be used again, a UID cannot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::BadRow`].
    pub async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError> {
        let mut connection = self.reader().await?;
        let mut rows = sqlx::query(
            "SELECT gseq, stream, time FROM journal
            WHERE kind = 'run.started' AND json_extract(body, '$.namespace') = ?1 AND json_extract(body, '$.name') = ?2 ORDER BY gseq",
        )
        .bind(namespace)
        .bind(name)
        .fetch(&mut *connection);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let gseq: i64 = row.try_get(0).map_err(failed)?;
            found.push(FoundRun { stream: Stream::run(&text(&row, gseq, 1)?), started: text(&row, gseq, 2)? });
        }
        Ok(found)
    }

    pub(super) async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, StoreError> {
        match self.reads.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolClosed) => Err(StoreError::Closed),
            Err(error) => Err(failed(error)),
        }
    }
}

async fn head_of(connection: &mut SqliteConnection, stream: &Stream) -> Result<Option<Head>, StoreError> {
    let row = sqlx::query("SELECT gseq, seq, hash FROM journal WHERE stream = ?1 ORDER BY seq DESC LIMIT 1")
        .bind(stream.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let gseq: i64 = row.try_get(0).map_err(failed)?;
    Ok(Some(Head { seq: Seq(count(&row, gseq, 1)?), hash: digest(&row, gseq, 2)? }))
}

/// Rows until there are no more, or their bodies are enough for one answer.
async fn gather(mut rows: futures::stream::BoxStream<'_, Result<SqliteRow, sqlx::Error>>) -> Result<Vec<Row>, StoreError> {
    let mut gathered = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let row = decode(&row)?;
        bytes += row.body.len();
        gathered.push(row);
        if bytes >= MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(gathered)
}

fn decode(row: &SqliteRow) -> Result<Row, StoreError> {
    let gseq: i64 = row.try_get(0).map_err(failed)?;
    Ok(Row {
        gseq: count(row, gseq, 0)?,
        stream: Stream::run(&text(row, gseq, 1)?),
        seq: Seq(count(row, gseq, 2)?),
        time: text(row, gseq, 3)?,
        epoch: Epoch(count(row, gseq, 4)?),
        kind: text(row, gseq, 5)?,
        actor: text(row, gseq, 6)?,
        body: text(row, gseq, 7)?,
        prev: digest(row, gseq, 8)?,
        hash: digest(row, gseq, 9)?,
    })
}

fn text(row: &SqliteRow, gseq: i64, column: usize) -> Result<String, StoreError> {
    row.try_get(column).map_err(|error| bad(gseq, error))
}

fn count(row: &SqliteRow, gseq: i64, column: usize) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column).map_err(|error| bad(gseq, error))?;
    u64::try_from(number).map_err(|_| StoreError::BadRow { gseq, why: format!("it counts {number}") })
}

fn digest(row: &SqliteRow, gseq: i64, column: usize) -> Result<reeve_core::Digest, StoreError> {
    let text: &str = row.try_get(column).map_err(|error| bad(gseq, error))?;
    text.parse().map_err(|error: InvalidDigest| StoreError::BadRow { gseq, why: error.to_string() })
}

fn bad(gseq: i64, error: sqlx::Error) -> StoreError {
    StoreError::BadRow { gseq, why: error.to_string() }
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(READING, &error)
}

/// A position as SQLite counts; one past its range is past every row.
fn position(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
