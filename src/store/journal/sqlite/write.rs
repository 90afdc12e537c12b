//! Writing the file: one transaction for a group of appends, durable when it is committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use reeve_core::budget::{Amounts, Balance, Limits};
use reeve_core::journal::{BudgetReserved, Head, Row, Seq, Stream};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::file::{self, WriterLock};
use super::{BUSY, schema};
use crate::StoreError;
use crate::journal::books::Moved;
use crate::journal::columns::{self, Columns as _, signed};
use crate::journal::judge::{Needs, Seen, Tail, Verdict, judge};
use crate::journal::known::Known;
use crate::journal::request::Request;
use crate::journal::sql;
use crate::journal::writer::{APPENDING, Database, Outcome};

const POSTING: &str = "posting to the budgets";

/// Holds the lock and the only connection that writes.
pub(super) struct Writer {
    path: PathBuf,
    /// None after a failure.
    connection: Option<(SqliteConnection, Known)>,
    _lock: WriterLock,
}

impl Writer {
    /// Opens, migrates, and makes durable what the file shows.
    pub(super) async fn open(path: &Path, lock: WriterLock) -> Result<Writer, StoreError> {
        let mut connection = connect(path, true).await?;
        schema::inspect(&mut connection, path).await?;
        write_ahead(&mut connection, path).await?;
        schema::migrate(&mut connection).await?;
        make_durable(&mut connection).await?;
        file::sync_directory(path)?;
        Ok(Writer { path: path.to_owned(), connection: Some((connection, Known::default())), _lock: lock })
    }

    async fn connected(&mut self) -> Result<&mut (SqliteConnection, Known), StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = connect(&self.path, false).await?;
                write_ahead(&mut connection, &self.path).await?;
                make_durable(&mut connection).await?;
                (connection, Known::default())
            }
        };
        Ok(self.connection.insert(connection))
    }

    async fn attempt(&mut self, group: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        let (connection, known) = self.connected().await?;
        let needs = Needs::of(group);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let by_known = match known.of(&needs) {
            Some(seen) => Some(weigh(&mut transaction, &needs, seen, group).await?).filter(Verdict::takes_all),
            None => None,
        };
        let verdict = match by_known {
            Some(verdict) => verdict,
            None => {
                let seen = see(&mut transaction, &needs).await?;
                weigh(&mut transaction, &needs, seen, group).await?
            }
        };
        write(&mut transaction, &verdict).await?;
        transaction.commit().await.map_err(failed)?;
        known.committed(&verdict);
        Ok(verdict.outcomes)
    }

    /// Whether anything was known until then.
    fn forget(&mut self) -> bool {
        self.connection.as_mut().is_some_and(|(_, known)| known.forget())
    }
}

impl Database for Writer {
    async fn transact(&mut self, group: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        match self.attempt(group).await {
            // It was written by what is known, and the schema takes only the row that is next.
            Err(StoreError::Refused { .. }) if self.forget() => self.attempt(group).await,
            answered => answered,
        }
    }

    async fn disconnect(&mut self) {
        if let Some((connection, _)) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the journal's connection failed");
        }
    }
}

/// Reads what the group is about.
async fn see(connection: &mut SqliteConnection, needs: &Needs<'_>) -> Result<Seen, StoreError> {
    let last = sqlx::query(sql::TAIL).fetch_optional(&mut *connection).await.map_err(failed)?;
    let tail = last.as_ref().map_or(Ok(Tail::NONE), columns::tail)?;
    let mut heads = BTreeMap::new();
    let streams = serde_json::to_string(&needs.streams).map_err(|error| StoreError::Malformed { why: error.to_string() })?;
    let found = sqlx::query("SELECT value, (SELECT seq FROM journal WHERE stream = value ORDER BY seq DESC LIMIT 1) FROM json_each($1)");
    for row in found.bind(streams).fetch_all(&mut *connection).await.map_err(failed)? {
        if let Some(seq) = row.integer_or_null(1).map_err(failed)? {
            heads.insert(Stream::run(row.text(0).map_err(failed)?), Seq(seq.unsigned_abs()));
        }
    }
    Ok(Seen { tail, heads, accounts: BTreeMap::new(), reservations: Vec::new() })
}

/// Reads what stands in the budgets that the group moves, and judges it.
async fn weigh(connection: &mut SqliteConnection, needs: &Needs<'_>, mut seen: Seen, group: &[Request]) -> Result<Verdict, StoreError> {
    for account in &needs.accounts {
        let row = sqlx::query(sql::ACCOUNT).bind(*account).fetch_optional(&mut *connection).await.map_err(unposted)?;
        seen.accounts.extend(row.as_ref().map(columns::account).transpose()?);
    }
    for key in &needs.keys {
        let row = sqlx::query(sql::RESERVATION).bind(*key).fetch_optional(&mut *connection).await.map_err(unposted)?;
        seen.reservations.extend(row.map(|row| columns::reservation(&row, 0)).transpose()?.flatten());
    }
    Ok(judge(seen, group))
}

/// Writes what was judged. The journal first: the triggers of the budgets look for the rows there.
async fn write(connection: &mut SqliteConnection, verdict: &Verdict) -> Result<(), StoreError> {
    let rows: Vec<&Row> = verdict.rows().collect();
    let mut left = rows.as_slice();
    for (size, statement) in INSERTS.iter() {
        while let Some((some, rest)) = left.split_at_checked(*size) {
            insert(connection, statement, some).await?;
            left = rest;
        }
    }
    for moved in &verdict.accounts {
        write_account(connection, moved).await?;
    }
    for (gseq, reserved) in &verdict.reserved {
        write_reservation(connection, *gseq, reserved).await?;
    }
    for (gseq, key) in &verdict.settled {
        let query = sqlx::query(sql::SETTLE_RESERVATION).bind(key).bind(signed(*gseq)?);
        one_row(query.execute(&mut *connection).await.map_err(unposted)?.rows_affected())?;
    }
    for (gseq, run, head) in &verdict.archived {
        remove(connection, *gseq, run, head).await?;
    }
    Ok(())
}

/// Statements that insert so many rows at once, the largest first. Each is compiled once; what they take is bounded.
static INSERTS: LazyLock<Vec<(usize, String)>> = LazyLock::new(|| {
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let into = "INSERT INTO journal (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) VALUES";
    let sizes = std::iter::once(64).chain((1..=32).rev());
    sizes.map(|size| (size, format!("{into} {}", vec![row; size].join(", ")))).collect()
});

async fn insert(connection: &mut SqliteConnection, statement: &'static str, rows: &[&Row]) -> Result<(), StoreError> {
    let mut query = sqlx::query(statement);
    for row in rows {
        let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash } = *row;
        query = query
            .bind(signed(*gseq)?)
            .bind(stream.as_str())
            .bind(signed(seq.0)?)
            .bind(time)
            .bind(signed(epoch.0)?)
            .bind(kind)
            .bind(actor)
            .bind(body)
            .bind(prev.to_string())
            .bind(hash.to_string());
    }
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Removes the rows of a run, which the row `gseq` says are archived; the triggers let no others go.
async fn remove(connection: &mut SqliteConnection, gseq: u64, run: &Stream, head: &Head) -> Result<(), StoreError> {
    let closes =
        sqlx::query(sql::INSERT_ARCHIVED).bind(run.as_str()).bind(signed(head.seq.0)?).bind(head.hash.to_string()).bind(signed(gseq)?);
    closes.execute(&mut *connection).await.map_err(failed)?;
    sqlx::query(sql::DELETE_RESERVATIONS).bind(run.as_str()).execute(&mut *connection).await.map_err(failed)?;
    let removed = sqlx::query(sql::DELETE_RUN).bind(run.as_str()).execute(&mut *connection).await.map_err(failed)?.rows_affected();
    if removed == head.seq.0 {
        return Ok(());
    }
    let why = format!("run {} had {removed} rows, not {}: none of them was removed", run.as_str(), head.seq.0);
    Err(StoreError::Refused { why })
}

async fn write_account(connection: &mut SqliteConnection, moved: &Moved) -> Result<(), StoreError> {
    let Moved { account, balance: Balance { limits, used, reserved }, exists } = moved;
    let Limits { tokens, cost_micro_usd, tool_calls, runtime_ms } = limits.unwrap_or_default();
    let mut query = sqlx::query(if *exists { sql::UPDATE_ACCOUNT } else { sql::INSERT_ACCOUNT }).bind(account).bind(limits.is_some());
    for limit in [tokens, cost_micro_usd, tool_calls, runtime_ms] {
        query = query.bind(limit.map(signed).transpose()?);
    }
    for amounts in [used, reserved] {
        let Amounts { tokens, cost_micro_usd, tool_calls, runtime_ms } = *amounts;
        for amount in [tokens, cost_micro_usd, tool_calls, runtime_ms] {
            query = query.bind(signed(amount)?);
        }
    }
    one_row(query.execute(connection).await.map_err(unposted)?.rows_affected())
}

async fn write_reservation(connection: &mut SqliteConnection, gseq: u64, reserved: &BudgetReserved) -> Result<(), StoreError> {
    let BudgetReserved { account, key, amounts: Amounts { tokens, cost_micro_usd, tool_calls, runtime_ms } } = reserved;
    let mut query = sqlx::query(sql::INSERT_RESERVATION).bind(key).bind(account);
    for number in [*tokens, *cost_micro_usd, *tool_calls, *runtime_ms, gseq] {
        query = query.bind(signed(number)?);
    }
    one_row(query.execute(connection).await.map_err(unposted)?.rows_affected())
}

/// A write that moved nothing, or too much, would part the tables from the rows.
fn one_row(affected: u64) -> Result<(), StoreError> {
    if affected == 1 { Ok(()) } else { Err(StoreError::Refused { why: format!("a posting to a budget changed {affected} rows, not one") }) }
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(APPENDING, &error)
}

fn unposted(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(POSTING, &error)
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
    Err(StoreError::Unusable {
        place: path.display().to_string(),
        why: format!("SQLite could not set write-ahead logging there, only {mode}"),
    })
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
mod tests;
