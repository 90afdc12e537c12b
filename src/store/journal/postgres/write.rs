//! Writing the database: one transaction for a group of appends, durable when it is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use reeve_core::Digest;
use reeve_core::budget::{Amounts, Balance, Limits};
use reeve_core::journal::{BudgetReserved, Row, Seq, Stream};
use sqlx::{Connection as _, PgConnection};

use super::DatabaseUrl;
use crate::StoreError;
use crate::journal::books::Moved;
use crate::journal::columns::{self, Columns as _, signed};
use crate::journal::judge::{Needs, Seen, Tail, Verdict, judge};
use crate::journal::known::Known;
use crate::journal::request::Request;
use crate::journal::sql;
use crate::journal::writer::{APPENDING, Database, Outcome};

const POSTING: &str = "posting to the budgets";

/// Every writing transaction takes the lock of its table before it reads what is last. The number is "REEV".
macro_rules! begin {
    () => {
        "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(1380271446, 'journal'::regclass::oid::integer)"
    };
}

macro_rules! insert {
    () => {
        "INSERT INTO journal (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) SELECT * FROM unnest(
            $1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])"
    };
}

macro_rules! last_hash {
    () => {
        "SELECT hash FROM journal ORDER BY gseq DESC LIMIT 1"
    };
}

/// What one transaction may take from end to end. Whether one that took longer was committed is unknown.
const TRANSACTION: Duration = Duration::from_secs(120);

/// What saying goodbye to the server may take.
const CLOSING: Duration = Duration::from_secs(2);

/// The connection that writes, for as long as none has failed.
pub(super) struct Writer {
    url: DatabaseUrl,
    connection: Option<(PgConnection, Known)>,
}

impl Writer {
    pub(super) fn new(url: DatabaseUrl, connection: PgConnection) -> Writer {
        Writer { url, connection: Some((connection, Known::default())) }
    }

    async fn attempt(&mut self, group: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => (connect(&self.url).await?, Known::default()),
        };
        let (connection, known) = self.connection.insert(connection);
        let needs = Needs::of(group);
        let mut transaction = connection.begin_with(begin!()).await.map_err(failed)?;
        let by_known = match known.of(&needs) {
            Some(seen) => {
                let last = seen.tail.hash;
                let verdict = weigh(&mut transaction, &needs, seen, group).await?;
                let written = verdict.takes_all() && insert(&mut transaction, &verdict, Some(last)).await?;
                written.then_some(verdict)
            }
            None => None,
        };
        let verdict = match by_known {
            Some(verdict) => verdict,
            None => {
                let seen = see(&mut transaction, &needs).await?;
                let verdict = weigh(&mut transaction, &needs, seen, group).await?;
                insert(&mut transaction, &verdict, None).await?;
                verdict
            }
        };
        write_budgets(&mut transaction, &verdict).await?;
        transaction.commit().await.map_err(failed)?;
        known.committed(&verdict);
        Ok(verdict.outcomes)
    }
}

impl Database for Writer {
    async fn transact(&mut self, group: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        let late = || StoreError::Unavailable { doing: APPENDING, why: format!("no answer within {} s", TRANSACTION.as_secs()) };
        tokio::time::timeout(TRANSACTION, self.attempt(group)).await.map_err(|_| late())?
    }

    async fn disconnect(&mut self) {
        let Some((connection, _)) = self.connection.take() else { return };
        match tokio::time::timeout(CLOSING, connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "closing the journal's connection failed"),
            Err(_) => tracing::warn!("closing the journal's connection took too long: it was dropped"),
        }
    }
}

/// Connects as the writer.
///
/// An operator that stands still inside a transaction holds the lock of all: the server ends it, after longer than the hashing of a full
/// group takes on a machine that has little time for it. Plans are made while the tables are empty
/// and kept, so that none but those along an index may be made.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<PgConnection, StoreError> {
    let options = super::options(url).options([
        ("statement_timeout", "60s"),
        ("lock_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
    ]);
    let mut connection = super::connect(url, options).await?;
    // `remote_apply` is more than is asked for, and stays.
    let durable = "SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";
    sqlx::query(durable).execute(&mut connection).await.map_err(failed)?;
    Ok(connection)
}

/// Reads what the group is about: a statement of its own after the lock, so that it sees what was committed before the lock was ours.
async fn see(connection: &mut PgConnection, needs: &Needs<'_>) -> Result<Seen, StoreError> {
    let streams: Vec<&str> = needs.streams.iter().copied().collect();
    let rows = sqlx::query(
        "SELECT last.gseq, last.hash, last.epoch, asked.stream,
            (SELECT seq FROM journal WHERE stream = asked.stream ORDER BY seq DESC LIMIT 1)
        FROM unnest($1::text[]) AS asked(stream)
        LEFT JOIN (SELECT gseq, hash, epoch FROM journal ORDER BY gseq DESC LIMIT 1) AS last ON true",
    )
    .bind(streams)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let mut seen = Seen { tail: Tail::NONE, heads: BTreeMap::new(), accounts: BTreeMap::new(), reservations: Vec::new() };
    for row in &rows {
        seen.tail = columns::tail(row)?;
        if let Some(seq) = row.integer_or_null(4).map_err(failed)? {
            seen.heads.insert(Stream::run(row.text(3).map_err(failed)?), Seq(seq.unsigned_abs()));
        }
    }
    Ok(seen)
}

/// Reads what stands in the budgets that the group moves, and judges it.
async fn weigh(connection: &mut PgConnection, needs: &Needs<'_>, mut seen: Seen, group: &[Request]) -> Result<Verdict, StoreError> {
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

/// After the journal's rows: the triggers of the budgets look for them.
async fn write_budgets(connection: &mut PgConnection, verdict: &Verdict) -> Result<(), StoreError> {
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
    Ok(())
}

/// All rows in one statement. Its trigger sees, at each row, those before it. Where a hash is given, it is none of them unless that is the
/// hash of the last row; answers whether they were inserted.
async fn insert(connection: &mut PgConnection, verdict: &Verdict, last: Option<Digest>) -> Result<bool, StoreError> {
    let rows: Vec<&Row> = verdict.rows().collect();
    if rows.is_empty() {
        return Ok(last.is_none());
    }
    let numbers = |number: fn(&Row) -> u64| rows.iter().map(|row| signed(number(row))).collect::<Result<Vec<i64>, StoreError>>();
    let texts = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row)).collect::<Vec<&str>>();
    let digests = |digest: fn(&Row) -> String| rows.iter().map(|row| digest(row)).collect::<Vec<String>>();
    let query = sqlx::query(if last.is_some() { concat!(insert!(), " WHERE (", last_hash!(), ") = $11") } else { insert!() })
        .bind(numbers(|row| row.gseq)?)
        .bind(texts(|row| row.stream.as_str()))
        .bind(numbers(|row| row.seq.0)?)
        .bind(texts(|row| &row.time))
        .bind(numbers(|row| row.epoch.0)?)
        .bind(texts(|row| &row.kind))
        .bind(texts(|row| &row.actor))
        .bind(texts(|row| &row.body))
        .bind(digests(|row| row.prev.to_string()))
        .bind(digests(|row| row.hash.to_string()));
    let query = match last {
        Some(last) => query.bind(last.to_string()),
        None => query,
    };
    let inserted = query.execute(connection).await.map_err(failed)?.rows_affected();
    match usize::try_from(inserted) {
        Ok(0) if last.is_some() => Ok(false),
        Ok(inserted) if inserted == rows.len() => Ok(true),
        Ok(_) | Err(_) => Err(StoreError::Refused { why: format!("of {} rows {inserted} were inserted", rows.len()) }),
    }
}

async fn write_account(connection: &mut PgConnection, moved: &Moved) -> Result<(), StoreError> {
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

async fn write_reservation(connection: &mut PgConnection, gseq: u64, reserved: &BudgetReserved) -> Result<(), StoreError> {
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
    StoreError::of_postgres(APPENDING, &error)
}

fn unposted(error: sqlx::Error) -> StoreError {
    StoreError::of_postgres(POSTING, &error)
}
