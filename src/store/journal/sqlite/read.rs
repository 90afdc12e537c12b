//! Reading the file.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use reeve_core::budget::Balance;
use reeve_core::journal::{Head, Row, Stream};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Sqlite as Driver, SqliteConnection};

use super::Sqlite;
use crate::journal::audit::{BudgetRow, CHECKING, Tables, budget_kinds, made_by_no_row};
use crate::journal::columns::{self, Columns as _};
use crate::journal::read::{Answer, FoundRun, OpenReservation, READING, Reads, StreamBrief};
use crate::journal::sql;
use crate::{BudgetError, StoreError, VerifyError};

impl Sqlite {
    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<Driver>, StoreError> {
        match self.reads.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolClosed) => Err(StoreError::Closed),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Reads for Sqlite {
    async fn head(&self, stream: &Stream) -> Result<Option<Head>, StoreError> {
        let mut connection = self.reader().await?;
        let row = sqlx::query(sql::HEAD).bind(stream.as_str()).fetch_optional(&mut *connection).await.map_err(failed)?;
        row.as_ref().map(columns::head).transpose()
    }

    async fn rows_of(&self, stream: &Stream, from: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        gather(sqlx::query(sql::ROWS_OF).bind(stream.as_str()).bind(from).bind(limit).fetch(&mut *connection)).await
    }

    async fn page(&self, from: i64, upto: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader().await?;
        gather(sqlx::query(sql::PAGE).bind(from).bind(upto).bind(limit).fetch(&mut *connection)).await
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
        collect(rows, columns::stream, READING).await
    }

    async fn find_runs(&self, namespace: &str, name: &str) -> Result<Vec<FoundRun>, StoreError> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query(
            "SELECT gseq, stream, time FROM journal
            WHERE kind = 'run.started' AND json_extract(body, '$.namespace') = $1 AND json_extract(body, '$.name') = $2 ORDER BY gseq",
        )
        .bind(namespace)
        .bind(name)
        .fetch(&mut *connection);
        collect(rows, columns::found_run, READING).await
    }

    async fn account(&self, account: &str) -> Result<Option<Balance>, StoreError> {
        let mut connection = self.reader().await?;
        if !has_budgets(&mut connection).await? {
            return Ok(None);
        }
        let row = sqlx::query(sql::ACCOUNT).bind(account).fetch_optional(&mut *connection).await.map_err(failed)?;
        Ok(row.as_ref().map(columns::account).transpose()?.map(|(_, balance)| balance))
    }

    async fn accounts(&self) -> Result<Vec<(String, Balance)>, StoreError> {
        let mut connection = self.reader().await?;
        if !has_budgets(&mut connection).await? {
            return Ok(Vec::new());
        }
        collect(sqlx::query(sql::ACCOUNTS).fetch(&mut *connection), columns::account, READING).await
    }

    async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError> {
        let mut connection = self.reader().await?;
        if !has_budgets(&mut connection).await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(sql::OPEN_RESERVATIONS).bind(account).fetch(&mut *connection);
        collect(rows, columns::open_reservation, READING).await
    }

    async fn tables(&self) -> Result<Tables, VerifyError> {
        let failed = |error: sqlx::Error| StoreError::of_sqlite(CHECKING, &error);
        let mut connection = self.reader().await?;
        // One transaction sees rows and tables of one instant.
        let mut snapshot = connection.begin().await.map_err(failed)?;
        if !has_budgets(&mut snapshot).await? {
            return no_rows_without_tables(&mut snapshot).await;
        }
        let tables = add_up(&mut snapshot).await?;
        strange_reservation(&mut snapshot).await?;
        let accounts = collect(sqlx::query(sql::ACCOUNTS).fetch(&mut *snapshot), columns::account, CHECKING).await?;
        snapshot.rollback().await.map_err(failed)?;
        Ok(tables.with_accounts(accounts))
    }

    async fn close(&self) {
        self.reads.close().await;
    }
}

/// Whether the file has the tables of budgets: a copy that is only read may be older than they are.
async fn has_budgets(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('budget_account', 'budget_reservation')";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(connection).await.map_err(failed)?;
    Ok(tables == 2)
}

/// A file from before there were budgets has none of their rows.
async fn no_rows_without_tables(connection: &mut SqliteConnection) -> Result<Tables, VerifyError> {
    let first = concat!("SELECT min(gseq) FROM journal NOT INDEXED WHERE kind IN ", budget_kinds!());
    let row: Option<i64> =
        sqlx::query_scalar(first).fetch_one(connection).await.map_err(|error| StoreError::of_sqlite(CHECKING, &error))?;
    match row {
        None => Ok(Tables::default()),
        Some(gseq) => Err(BudgetError::Row { gseq: gseq.unsigned_abs(), why: "the database has no tables of budgets".to_owned() }.into()),
    }
}

async fn add_up(connection: &mut SqliteConnection) -> Result<Tables, VerifyError> {
    // Along the table itself: an index is one more thing that could have been tampered with.
    let mut rows = sqlx::query(concat!(
        "SELECT j.gseq, j.kind, j.body, r.key, r.account, r.gseq, r.settled_gseq, r.tokens, r.cost_micro_usd, r.tool_calls, r.runtime_ms
        FROM journal AS j NOT INDEXED LEFT JOIN budget_reservation AS r ON r.key = iif(json_valid(j.body), json_extract(j.body, '$.key'), NULL)
        WHERE j.kind IN ",
        budget_kinds!(),
        " ORDER BY j.gseq"
    ))
    .fetch(connection);
    let mut tables = Tables::default();
    while let Some(row) = rows.try_next().await.map_err(|error| StoreError::of_sqlite(CHECKING, &error))? {
        let gseq = row.integer(0).map_err(failed)?;
        let text = |column| row.text(column).map_err(|error| StoreError::BadRow { gseq, why: error.to_string() });
        tables.row(&BudgetRow { gseq, kind: text(1)?, body: text(2)?, reservation: columns::reservation(&row, 3)? })?;
    }
    Ok(tables)
}

async fn strange_reservation(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let strange: Option<(String, String)> = sqlx::query_as(
        "SELECT r.key, r.account FROM budget_reservation AS r LEFT JOIN journal AS j ON j.gseq = r.gseq
        WHERE j.kind IS NOT 'budget.reserved' OR iif(json_valid(j.body), json_extract(j.body, '$.key'), NULL) IS NOT r.key ORDER BY r.key LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(|error| StoreError::of_sqlite(CHECKING, &error))?;
    strange.map_or(Ok(()), |(key, account)| Err(made_by_no_row(&key, &account)))
}

async fn gather(mut rows: BoxStream<'_, Result<SqliteRow, sqlx::Error>>) -> Result<Vec<Row>, StoreError> {
    let mut answer = Answer::default();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        if !answer.takes(columns::row(&row)?) {
            break;
        }
    }
    Ok(answer.rows())
}

async fn collect<T>(
    mut rows: BoxStream<'_, Result<SqliteRow, sqlx::Error>>,
    decode: fn(&SqliteRow) -> Result<T, StoreError>,
    doing: &'static str,
) -> Result<Vec<T>, StoreError> {
    let mut decoded = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(|error| StoreError::of_sqlite(doing, &error))? {
        decoded.push(decode(&row)?);
    }
    Ok(decoded)
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(READING, &error)
}
