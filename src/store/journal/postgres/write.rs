//! Writing the database: one transaction for a group of appends, durable when it is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use reeve_core::Digest;
use reeve_core::budget::{Amounts, Balance, Limits};
use reeve_core::journal::{BudgetReserved, Head, Row, Seq, Stream};
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

/// Waits until no other writer is in a transaction. The number is "REEV".
macro_rules! lock {
    () => {
        "pg_advisory_xact_lock(1380271446, 'journal'::regclass::oid::integer)"
    };
}

macro_rules! insert {
    () => {
        "INSERT INTO journal (gseq, stream, seq, time, epoch, kind, actor, body, prev, hash) SELECT * FROM unnest(
            $1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])"
    };
}

/// The lock before anything is read that is judged by.
const BEGIN: &str = concat!("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT ", lock!());

/// After the lock was waited for, the last row that this statement sees may be an older one: then another writer has put rows where these
/// were to go, and the keys refuse them. The first row of another leader, and of whoever archives, is in the operator's stream, of which no
/// row ever goes: so the place of these is not free again.
const INSERT_AFTER: &str =
    concat!(insert!(), " WHERE (SELECT ", lock!(), " IS NOT NULL) AND (SELECT hash FROM journal ORDER BY gseq DESC LIMIT 1) = $11");

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
        if let Some(seen) = known.of(&needs).filter(|_| group.iter().all(Request::is_rows_alone)) {
            let last = seen.tail.hash;
            let verdict = judge(seen, group);
            if verdict.takes_all() && insert_after(connection, &verdict, last).await? {
                known.committed(&verdict);
                return Ok(verdict.outcomes);
            }
            known.forget();
        }
        let mut transaction = connection.begin_with(BEGIN).await.map_err(failed)?;
        let seen = see(&mut transaction, &needs).await?;
        let verdict = weigh(&mut transaction, &needs, seen, group).await?;
        insert(&mut transaction, &verdict).await?;
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
        ("plan_cache_mode", "force_generic_plan"),
        // A statement alone is a transaction too, and its triggers must see what was committed while it waited for the lock.
        ("default_transaction_isolation", "read committed"),
        // A client that is gone with its machine holds the lock no longer than a minute.
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
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
    for (gseq, run, head) in &verdict.archived {
        remove(connection, *gseq, run, head).await?;
    }
    Ok(())
}

/// All rows in one statement, in the transaction of the lock.
async fn insert(connection: &mut PgConnection, verdict: &Verdict) -> Result<(), StoreError> {
    let rows: Vec<&Row> = verdict.rows().collect();
    if rows.is_empty() {
        return Ok(());
    }
    let inserted = bind(sqlx::query(insert!()), &rows)?.execute(connection).await.map_err(failed)?.rows_affected();
    all_of(&rows, inserted)
}

/// All rows in one statement that is a transaction of its own, and so one trip to the server: it locks, looks whether the last row is still
/// the one with this hash, inserts and commits. Answers false, and leaves nothing, where another writer was faster. An error after which it
/// may be committed all the same is one of those after which nobody believes anything; only a trigger of somebody else's brings about that of
/// [`all_of`].
async fn insert_after(connection: &mut PgConnection, verdict: &Verdict, last: Digest) -> Result<bool, StoreError> {
    let rows: Vec<&Row> = verdict.rows().collect();
    let inserted = match bind(sqlx::query(INSERT_AFTER), &rows)?.bind(last.to_string()).execute(connection).await {
        Ok(done) => done.rows_affected(),
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if inserted == 0 { Ok(false) } else { all_of(&rows, inserted).map(|()| true) }
}

fn all_of(rows: &[&Row], inserted: u64) -> Result<(), StoreError> {
    if usize::try_from(inserted) == Ok(rows.len()) {
        return Ok(());
    }
    Err(StoreError::Refused { why: format!("of {} rows {inserted} were inserted", rows.len()) })
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The first ten parameters of an insert: a column each.
fn bind<'q>(query: Query<'q>, rows: &[&'q Row]) -> Result<Query<'q>, StoreError> {
    let numbers = |number: fn(&Row) -> u64| rows.iter().map(|row| signed(number(row))).collect::<Result<Vec<i64>, StoreError>>();
    let texts = |text: fn(&'q Row) -> &'q str| rows.iter().map(|row| text(row)).collect::<Vec<&'q str>>();
    let digests = |digest: fn(&Row) -> String| rows.iter().map(|row| digest(row)).collect::<Vec<String>>();
    let query = query
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
    Ok(query)
}

/// Removes the rows of a run, which the row `gseq` says are archived; the triggers let no others go.
async fn remove(connection: &mut PgConnection, gseq: u64, run: &Stream, head: &Head) -> Result<(), StoreError> {
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
