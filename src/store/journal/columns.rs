//! What the columns of a row say, whichever database they come from.

use reeve_core::budget::{Amounts, Balance, Limits};
use reeve_core::digest::InvalidDigest;
use reeve_core::journal::{Epoch, Head, Row, Seq, Stream};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::books::Reservation;
use super::judge::Tail;
use super::read::{FoundRun, OpenReservation, StreamBrief};
use crate::StoreError;

/// A row of a result, by position.
pub(super) trait Columns {
    fn integer(&self, column: usize) -> Result<i64, sqlx::Error>;
    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, column: usize) -> Result<&str, sqlx::Error>;
    fn text_or_null(&self, column: usize) -> Result<Option<&str>, sqlx::Error>;
    fn flag(&self, column: usize) -> Result<bool, sqlx::Error>;
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn integer(&self, column: usize) -> Result<i64, sqlx::Error> {
                self.try_get(column)
            }
            fn integer_or_null(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }
            fn text(&self, column: usize) -> Result<&str, sqlx::Error> {
                self.try_get(column)
            }
            fn text_or_null(&self, column: usize) -> Result<Option<&str>, sqlx::Error> {
                self.try_get(column)
            }
            fn flag(&self, column: usize) -> Result<bool, sqlx::Error> {
                self.try_get(column)
            }
        }
    };
}

columns_of!(SqliteRow);
columns_of!(PgRow);

/// Columns `gseq, stream, seq, time, epoch, kind, actor, body, prev, hash`.
pub(super) fn row(columns: &impl Columns) -> Result<Row, StoreError> {
    let gseq = position(columns)?;
    let text = |column| text(columns, gseq, column);
    Ok(Row {
        gseq: count(columns, gseq, 0)?,
        stream: Stream::run(&text(1)?),
        seq: Seq(count(columns, gseq, 2)?),
        time: text(3)?,
        epoch: Epoch(count(columns, gseq, 4)?),
        kind: text(5)?,
        actor: text(6)?,
        body: text(7)?,
        prev: digest(columns, gseq, 8)?,
        hash: digest(columns, gseq, 9)?,
    })
}

/// Columns `gseq, seq, hash`.
pub(super) fn head(columns: &impl Columns) -> Result<Head, StoreError> {
    let gseq = position(columns)?;
    Ok(Head { seq: Seq(count(columns, gseq, 1)?), hash: digest(columns, gseq, 2)? })
}

/// Columns `gseq, hash, epoch`, all null where there is no row.
pub(super) fn tail(columns: &impl Columns) -> Result<Tail, StoreError> {
    let Some(gseq) = columns.integer_or_null(0).map_err(no_position)? else { return Ok(Tail::NONE) };
    Ok(Tail { gseq: count(columns, gseq, 0)?, hash: digest(columns, gseq, 1)?, epoch: Epoch(count(columns, gseq, 2)?) })
}

/// Columns `gseq, seq, hash, kind` of the last row, `time, stream` of the first, and the run's namespace and name.
pub(super) fn stream(columns: &impl Columns) -> Result<StreamBrief, StoreError> {
    let head = head(columns)?;
    let gseq = position(columns)?;
    let name = |column| columns.text_or_null(column).map_err(|error| bad(gseq, &error));
    Ok(StreamBrief {
        stream: Stream::run(&text(columns, gseq, 5)?),
        head,
        last_kind: text(columns, gseq, 3)?,
        since: text(columns, gseq, 4)?,
        run: name(6)?.zip(name(7)?).map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
    })
}

/// Columns `gseq, stream, time`.
pub(super) fn found_run(columns: &impl Columns) -> Result<FoundRun, StoreError> {
    let gseq = position(columns)?;
    Ok(FoundRun { stream: Stream::run(&text(columns, gseq, 1)?), started: text(columns, gseq, 2)? })
}

/// Columns `account, limited`, four limits, four used, four reserved.
pub(super) fn account(columns: &impl Columns) -> Result<(String, Balance), StoreError> {
    let limit = |column| columns.integer_or_null(column).map_err(|error| damaged(&error))?.map(unsigned).transpose();
    let limits = Limits { tokens: limit(2)?, cost_micro_usd: limit(3)?, tool_calls: limit(4)?, runtime_ms: limit(5)? };
    let limited = columns.flag(1).map_err(|error| damaged(&error))?;
    let account = columns.text(0).map_err(|error| damaged(&error))?.to_owned();
    Ok((account, Balance { limits: limited.then_some(limits), used: amounts(columns, 6)?, reserved: amounts(columns, 10)? }))
}

/// Columns `key, account, gseq, settled_gseq` and four amounts from this one on; None where the key is null.
pub(super) fn reservation(columns: &impl Columns, from: usize) -> Result<Option<Reservation>, StoreError> {
    let Some(key) = columns.text_or_null(from).map_err(|error| damaged(&error))? else { return Ok(None) };
    Ok(Some(Reservation {
        key: key.to_owned(),
        account: columns.text(from + 1).map_err(|error| damaged(&error))?.to_owned(),
        gseq: columns.integer(from + 2).map_err(|error| damaged(&error))?,
        settled_gseq: columns.integer_or_null(from + 3).map_err(|error| damaged(&error))?,
        amounts: amounts(columns, from + 4)?,
    }))
}

/// Columns `key, account, gseq, settled_gseq` and four amounts.
pub(super) fn open_reservation(columns: &impl Columns) -> Result<OpenReservation, StoreError> {
    let Some(Reservation { key, account: _, amounts, gseq, settled_gseq: _ }) = reservation(columns, 0)? else {
        return Err(StoreError::Damaged { why: "a reservation has no key".to_owned() });
    };
    Ok(OpenReservation { key, amounts, gseq: unsigned(gseq)? })
}

fn amounts(columns: &impl Columns, from: usize) -> Result<Amounts, StoreError> {
    let amount = |column| unsigned(columns.integer(column).map_err(|error| damaged(&error))?);
    Ok(Amounts { tokens: amount(from)?, cost_micro_usd: amount(from + 1)?, tool_calls: amount(from + 2)?, runtime_ms: amount(from + 3)? })
}

/// The first column of a row of the journal: what all else is said of.
fn position(columns: &impl Columns) -> Result<i64, StoreError> {
    columns.integer(0).map_err(no_position)
}

fn no_position(error: sqlx::Error) -> StoreError {
    StoreError::Damaged { why: format!("a row of the journal has no position: {error}") }
}

fn text(columns: &impl Columns, gseq: i64, column: usize) -> Result<String, StoreError> {
    columns.text(column).map(str::to_owned).map_err(|error| bad(gseq, &error))
}

fn count(columns: &impl Columns, gseq: i64, column: usize) -> Result<u64, StoreError> {
    let number = columns.integer(column).map_err(|error| bad(gseq, &error))?;
    u64::try_from(number).map_err(|_| StoreError::BadRow { gseq, why: format!("it counts {number}") })
}

fn digest(columns: &impl Columns, gseq: i64, column: usize) -> Result<reeve_core::Digest, StoreError> {
    let text = columns.text(column).map_err(|error| bad(gseq, &error))?;
    text.parse().map_err(|error: InvalidDigest| StoreError::BadRow { gseq, why: error.to_string() })
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged { why: format!("a budget counts {number}") })
}

/// As the databases count. The ledger keeps what it counts within reach, and no journal has so many rows.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Malformed { why: format!("{number} is past what the database can count to") })
}

fn bad(gseq: i64, error: &sqlx::Error) -> StoreError {
    StoreError::BadRow { gseq, why: error.to_string() }
}

fn damaged(error: &sqlx::Error) -> StoreError {
    StoreError::Damaged { why: format!("a row of the budgets cannot be read: {error}") }
}
