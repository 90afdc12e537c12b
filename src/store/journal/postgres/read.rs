//! Reading the database.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use reeve_core::budget::Balance;
use reeve_core::journal::{Head, Row, Stream};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Postgres as Driver};

use super::{Postgres, unread};
use crate::journal::audit::{BudgetRow, CHECKING, Tables, budget_kinds, made_by_no_row};
use crate::journal::columns::{self, Columns as _};
use crate::journal::ledger::Posting;
use crate::journal::read::{Answer, FoundRun, OpenReservation, READING, Reads, StreamBrief};
use crate::journal::sql;
use crate::{StoreError, VerifyError};

/// Rows about budgets that are held at once.
const BUDGET_ROWS: i64 = 512;

impl Postgres {
    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<Driver>, StoreError> {
        match self.reads.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolClosed) => Err(StoreError::Closed),
            Err(error) => Err(StoreError::Unavailable { doing: READING, why: format!("{}: {error}", self.place) }),
        }
    }
}

impl Reads for Postgres {
    async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query(sql::HEAD).bind(stream.as_str()).fetch_optional(&mut *connection).await.map_err(failed)?;
        row.as_ref().map(columns::head).transpose()
    }

    async fn rows_of(&self, stream: &Stream, from: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        gather(sqlx::query(sql::ROWS_OF).bind(stream.as_str()).bind(from).bind(i64::from(limit)).fetch(&mut *connection)).await
    }

    async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        gather(sqlx::query(sql::PAGE).bind(from).bind(upto).bind(i64::from(limit)).fetch(&mut *connection)).await
    }

    async fn upto(&self) -> Result<i64, StoreError> {
        let mut connection = self.reader().await?;
        sqlx::query_scalar(sql::UPTO).fetch_one(&mut *connection).await.map_err(failed)
    }

    async fn last(&self) -> Result<Option<Row>, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query(sql::LAST).fetch_optional(&mut *connection).await.map_err(failed)?;
        row.as_ref().map(columns::row).transpose()
    }

    async fn streams(&self) -> Result<Vec<StreamBrief>, StoreError> {
        let mut connection = self.reader().await?;
        // Jumps from stream to stream along the index.
        let rows = sqlx::query(
            r"WITH RECURSIVE names(stream) AS (
                SELECT min(stream) FROM journal
                UNION ALL
                SELECT (SELECT min(stream) FROM journal WHERE stream > names.stream) FROM names WHERE names.stream IS NOT NULL
            )
            SELECT last.gseq, last.seq, last.hash, last.kind, first.time, first.stream,
                   CASE first.kind WHEN 'run.started' THEN replace(first.body, '\u0000', '\ufffd')::jsonb ->> 'namespace' END,
                   CASE first.kind WHEN 'run.started' THEN replace(first.body, '\u0000', '\ufffd')::jsonb ->> 'name' END
            FROM names
            JOIN journal AS first ON first.stream = names.stream AND first.seq = 1
            CROSS JOIN LATERAL (SELECT gseq, seq, hash, kind FROM journal WHERE stream = names.stream ORDER BY seq DESC LIMIT 1) AS last
            ORDER BY names.stream",
        )
        .fetch(&mut *connection);
        collect(rows, columns::stream, READING).await
    }

    async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query(
            r"SELECT gseq, stream, time FROM journal
            WHERE kind = 'run.started' AND replace(body, '\u0000', '\ufffd')::jsonb ->> 'namespace' = $1
                AND replace(body, '\u0000', '\ufffd')::jsonb ->> 'name' = $2 ORDER BY gseq",
        )
        .bind(namespace)
        .bind(name)
        .fetch(&mut *connection);
        collect(rows, columns::found_run, READING).await
    }

    async fn account(&self, account: &str) -> Result<Option<Balance>, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query(sql::ACCOUNT).bind(account).fetch_optional(&mut *connection).await.map_err(failed)?;
        Ok(row.as_ref().map(columns::account).transpose()?.map(|(_, balance)| balance))
    }

    async fn accounts(&self) -> Result<Vec<(String, Balance)>, StoreError> {
        let mut connection = self.reader().await?;
        collect(sqlx::query(sql::ACCOUNTS).fetch(&mut *connection), columns::account, READING).await
    }

    async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query(sql::OPEN_RESERVATIONS).bind(account).fetch(&mut *connection);
        collect(rows, columns::open_reservation, READING).await
    }

    async fn tables(&self) -> Result<Tables, VerifyError> {
        let mut connection = self.reader().await?;
        // One transaction sees rows and tables of one instant.
        let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(unchecked)?;
        let tables = add_up(&mut snapshot).await?;
        strange_reservation(&mut snapshot).await?;
        let accounts = collect(sqlx::query(sql::ACCOUNTS).fetch(&mut *snapshot), columns::account, CHECKING).await?;
        snapshot.rollback().await.map_err(unchecked)?;
        Ok(tables.with_accounts(accounts))
    }

    async fn close(&self) {
        self.reads.close().await;
    }
}

/// Keys are read from bodies here and not by the server, for which one that is no JSON would be an error and not an answer.
async fn add_up(connection: &mut PgConnection) -> Result<Tables, VerifyError> {
    let mut tables = Tables::default();
    let mut before = i64::MIN;
    loop {
        let rows = sqlx::query(concat!(
            "SELECT gseq, kind, body FROM journal WHERE gseq > $1 AND kind IN ",
            budget_kinds!(),
            " ORDER BY gseq LIMIT $2"
        ));
        let rows = rows.bind(before).bind(BUDGET_ROWS).fetch_all(&mut *connection).await.map_err(unchecked)?;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            let gseq = row.integer(0).map_err(unchecked)?;
            let text = |column| row.text(column).map_err(|error| StoreError::BadRow { gseq, why: error.to_string() });
            let (kind, body) = (text(1)?, text(2)?);
            let posting = Posting::read(kind, body).map_err(|error| StoreError::BadRow { gseq, why: error.to_string() })?;
            read.push((gseq, kind, body, posting.and_then(|posting| posting.key().map(str::to_owned))));
        }
        let Some((last, ..)) = read.last() else { return Ok(tables) };
        before = *last;
        let keys: Vec<&str> = read.iter().filter_map(|(.., key)| key.as_deref()).collect();
        let found = sqlx::query(
            "SELECT key, account, gseq, settled_gseq, tokens, cost_micro_usd, tool_calls, runtime_ms
            FROM budget_reservation WHERE key = ANY($1::text[])",
        );
        let found = collect(found.bind(keys).fetch(&mut *connection), |row| columns::reservation(row, 0), CHECKING).await?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        for (gseq, kind, body, key) in read {
            let reservation = key.and_then(|key| found.iter().find(|reservation| reservation.key == key)).cloned();
            tables.row(&BudgetRow { gseq, kind, body, reservation })?;
        }
    }
}

async fn strange_reservation(connection: &mut PgConnection) -> Result<(), VerifyError> {
    let mut rows = sqlx::query(
        "SELECT r.gseq, r.key, r.account, j.kind, j.body FROM budget_reservation AS r LEFT JOIN journal AS j ON j.gseq = r.gseq ORDER BY r.key",
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(unchecked)? {
        let (key, account) = (row.text(1).map_err(unchecked)?, row.text(2).map_err(unchecked)?);
        let (kind, body) = (row.text_or_null(3).map_err(unchecked)?, row.text_or_null(4).map_err(unchecked)?);
        let posting = kind.zip(body).and_then(|(kind, body)| Posting::read(kind, body).ok().flatten());
        if !matches!(&posting, Some(Posting::Reserved(reserved)) if reserved.key == key) {
            return Err(made_by_no_row(key, account));
        }
    }
    Ok(())
}

async fn gather(mut rows: BoxStream<'_, Result<PgRow, sqlx::Error>>) -> Result<Vec<Row>, StoreError> {
    let mut answer = Answer::default();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        if !answer.takes(columns::row(&row)?) {
            break;
        }
    }
    Ok(answer.rows())
}

async fn collect<T>(
    mut rows: BoxStream<'_, Result<PgRow, sqlx::Error>>,
    decode: fn(&PgRow) -> Result<T, StoreError>,
    doing: &'static str,
) -> Result<Vec<T>, StoreError> {
    let mut decoded = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(|error| unread(doing, &error))? {
        decoded.push(decode(&row)?);
    }
    Ok(decoded)
}

fn failed(error: sqlx::Error) -> StoreError {
    unread(READING, &error)
}

fn unchecked(error: sqlx::Error) -> StoreError {
    unread(CHECKING, &error)
}
