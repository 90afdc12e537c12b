//! The tables of budgets: what stands in them, and moving them in the transaction of the rows that say so.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use reeve_core::budget::{Amounts, Balance, Limits};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Journal;
use super::ledger::{Held, Ledger, Posting, Refusal};
use crate::StoreError;

const READING: &str = "reading the budgets";
const POSTING: &str = "posting to the budgets";

/// A reservation that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReservation {
    /// Its name.
    pub key: String,
    /// What it holds.
    pub amounts: Amounts,
    /// Position in the database of its `budget.reserved`.
    pub gseq: u64,
}

impl Journal {
    /// What stands in an account. One that nothing was ever said of has no limits in force: nothing may be spent from it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn balance(&self, account: &str) -> Result<Balance, StoreError> {
        let mut connection = self.reader().await?;
        if !are_there(&mut connection).await? {
            return Ok(Balance::default());
        }
        Ok(balance_of(&mut connection, account).await?.unwrap_or_default())
    }

    /// What stands in every account, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn balances(&self) -> Result<Vec<(String, Balance)>, StoreError> {
        let mut connection = self.reader().await?;
        if !are_there(&mut connection).await? {
            return Ok(Vec::new());
        }
        all_balances(&mut connection).await
    }

    /// What is held in an account and not settled, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub async fn open_reservations(&self, account: &str) -> Result<Vec<OpenReservation>, StoreError> {
        let mut connection = self.reader().await?;
        if !are_there(&mut connection).await? {
            return Ok(Vec::new());
        }
        let mut rows = sqlx::query(
            "SELECT key, tokens, cost_micro_usd, tool_calls, runtime_ms, gseq FROM budget_reservation
            WHERE account = ?1 AND settled_gseq IS NULL ORDER BY gseq",
        )
        .bind(account)
        .fetch(&mut *connection);
        let mut open = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(unread)? {
            let key: String = row.try_get(0).map_err(damaged)?;
            open.push(OpenReservation { key, amounts: amounts(&row, 1)?, gseq: count(&row, 5)? });
        }
        Ok(open)
    }
}

/// Whether the file has the tables: a copy that is only read may be older than they are.
pub(super) async fn are_there(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('budget_account', 'budget_reservation')";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(connection).await.map_err(unread)?;
    Ok(tables == 2)
}

/// The accounts and keys that the postings of one append are about, as the transaction sees them.
pub(super) struct Books {
    ledger: Ledger,
    /// Accounts that have a row.
    accounts: BTreeSet<String>,
    /// Keys that were ever reserved.
    keys: BTreeSet<String>,
}

impl Books {
    /// Reads them and takes in the postings. The outer error means that the database failed, the inner one that a posting is refused: then
    /// nothing was written.
    ///
    /// # Errors
    /// Inner: [`StoreError::Exceeded`], [`StoreError::Malformed`], [`StoreError::Damaged`].
    pub(super) async fn post(
        connection: &mut SqliteConnection,
        postings: &[(u64, Posting)],
    ) -> Result<Result<Books, StoreError>, StoreError> {
        let mut books = Books { ledger: Ledger::default(), accounts: BTreeSet::new(), keys: BTreeSet::new() };
        for (_, posting) in postings {
            books.open(connection, posting).await?;
        }
        for (_, posting) in postings {
            if let Err(refused) = books.take_in(posting) {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(books))
    }

    /// Reads what a posting is about, unless that is done.
    async fn open(&mut self, connection: &mut SqliteConnection, posting: &Posting) -> Result<(), StoreError> {
        let account = posting.account();
        if !self.accounts.contains(account)
            && let Some(balance) = balance_of(connection, account).await?
        {
            self.accounts.insert(account.to_owned());
            self.ledger.accounts.insert(account.to_owned(), balance);
        }
        let Some(key) = posting.key() else { return Ok(()) };
        if self.keys.contains(key) {
            return Ok(());
        }
        let row = sqlx::query(
            "SELECT account, settled_gseq, tokens, cost_micro_usd, tool_calls, runtime_ms FROM budget_reservation WHERE key = ?1",
        )
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
        let Some(row) = row else { return Ok(()) };
        self.keys.insert(key.to_owned());
        let settled: Option<i64> = row.try_get(1).map_err(damaged)?;
        if settled.is_none() {
            let held = Held { account: row.try_get(0).map_err(damaged)?, amounts: amounts(&row, 2)? };
            self.ledger.open.insert(key.to_owned(), held);
        }
        Ok(())
    }

    fn take_in(&mut self, posting: &Posting) -> Result<(), StoreError> {
        if let Posting::Reserved(reserved) = posting
            && !self.keys.insert(reserved.key.clone())
        {
            return Err(StoreError::Malformed {
                why: format!("{} was reserved before: a key names one reservation for ever", reserved.key),
            });
        }
        self.ledger.post(posting).map_err(|refusal| match refusal {
            Refusal::Exceeded(exceeded) => StoreError::Exceeded(exceeded),
            Refusal::Impossible(why) => StoreError::Malformed { why },
            Refusal::Short(why) => StoreError::Damaged { why },
        })
    }

    /// Writes what the postings made of them. The rows stand in the journal: the first of the append at `first`.
    pub(super) async fn write(self, connection: &mut SqliteConnection, first: u64, postings: &[(u64, Posting)]) -> Result<(), StoreError> {
        for (account, balance) in &self.ledger.accounts {
            write_account(connection, account, balance, self.accounts.contains(account)).await?;
        }
        for (offset, posting) in postings {
            write_reservation(connection, signed(first + offset)?, posting).await?;
        }
        Ok(())
    }
}

async fn write_account(connection: &mut SqliteConnection, account: &str, balance: &Balance, exists: bool) -> Result<(), StoreError> {
    let statement = if exists {
        "UPDATE budget_account SET limited = ?2, limit_tokens = ?3, limit_cost_micro_usd = ?4, limit_tool_calls = ?5, limit_runtime_ms = ?6,
            used_tokens = ?7, used_cost_micro_usd = ?8, used_tool_calls = ?9, used_runtime_ms = ?10,
            reserved_tokens = ?11, reserved_cost_micro_usd = ?12, reserved_tool_calls = ?13, reserved_runtime_ms = ?14
        WHERE account = ?1"
    } else {
        "INSERT INTO budget_account (account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
            used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
            reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    };
    let Balance { limits, used, reserved } = balance;
    let Limits { tokens, cost_micro_usd, tool_calls, runtime_ms } = limits.unwrap_or_default();
    let mut query = sqlx::query(statement).bind(account).bind(limits.is_some());
    for limit in [tokens, cost_micro_usd, tool_calls, runtime_ms] {
        query = query.bind(limit.map(signed).transpose()?);
    }
    for amounts in [used, reserved] {
        let Amounts { tokens, cost_micro_usd, tool_calls, runtime_ms } = *amounts;
        for amount in [tokens, cost_micro_usd, tool_calls, runtime_ms] {
            query = query.bind(signed(amount)?);
        }
    }
    one_row(query.execute(connection).await.map_err(failed)?.rows_affected())
}

async fn write_reservation(connection: &mut SqliteConnection, gseq: i64, posting: &Posting) -> Result<(), StoreError> {
    let query = match posting {
        Posting::Reserved(reserved) => {
            let Amounts { tokens, cost_micro_usd, tool_calls, runtime_ms } = reserved.amounts;
            sqlx::query(
                "INSERT INTO budget_reservation (key, account, tokens, cost_micro_usd, tool_calls, runtime_ms, gseq)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .bind(&reserved.key)
            .bind(&reserved.account)
            .bind(signed(tokens)?)
            .bind(signed(cost_micro_usd)?)
            .bind(signed(tool_calls)?)
            .bind(signed(runtime_ms)?)
            .bind(gseq)
        }
        Posting::Settled(settled) => sqlx::query("UPDATE budget_reservation SET settled_gseq = ?2 WHERE key = ?1 AND settled_gseq IS NULL")
            .bind(&settled.key)
            .bind(gseq),
        Posting::Limited(_) => return Ok(()),
    };
    one_row(query.execute(connection).await.map_err(failed)?.rows_affected())
}

/// A write that moved nothing, or too much, would part the tables from the rows.
fn one_row(affected: u64) -> Result<(), StoreError> {
    if affected == 1 { Ok(()) } else { Err(StoreError::Refused { why: format!("a posting to a budget changed {affected} rows, not one") }) }
}

/// What stands in an account; `None` when it has no row.
async fn balance_of(connection: &mut SqliteConnection, account: &str) -> Result<Option<Balance>, StoreError> {
    let row = sqlx::query(
        "SELECT account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
            used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
            reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms
        FROM budget_account WHERE account = ?1",
    )
    .bind(account)
    .fetch_optional(connection)
    .await
    .map_err(unread)?;
    row.map(|row| balance(&row)).transpose()
}

pub(super) async fn all_balances(connection: &mut SqliteConnection) -> Result<Vec<(String, Balance)>, StoreError> {
    let mut rows = sqlx::query(
        "SELECT account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
            used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
            reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms
        FROM budget_account ORDER BY account",
    )
    .fetch(connection);
    let mut balances = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(unread)? {
        balances.push((row.try_get(0).map_err(damaged)?, balance(&row)?));
    }
    Ok(balances)
}

fn balance(row: &SqliteRow) -> Result<Balance, StoreError> {
    let limited: bool = row.try_get(1).map_err(damaged)?;
    let limits = Limits { tokens: limit(row, 2)?, cost_micro_usd: limit(row, 3)?, tool_calls: limit(row, 4)?, runtime_ms: limit(row, 5)? };
    Ok(Balance { limits: limited.then_some(limits), used: amounts(row, 6)?, reserved: amounts(row, 10)? })
}

/// Four columns from this one on.
pub(super) fn amounts(row: &SqliteRow, from: usize) -> Result<Amounts, StoreError> {
    Ok(Amounts {
        tokens: count(row, from)?,
        cost_micro_usd: count(row, from + 1)?,
        tool_calls: count(row, from + 2)?,
        runtime_ms: count(row, from + 3)?,
    })
}

fn count(row: &SqliteRow, column: usize) -> Result<u64, StoreError> {
    unsigned(row.try_get(column).map_err(damaged)?)
}

fn limit(row: &SqliteRow, column: usize) -> Result<Option<u64>, StoreError> {
    let limit: Option<i64> = row.try_get(column).map_err(damaged)?;
    limit.map(unsigned).transpose()
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged { why: format!("a budget counts {number}") })
}

/// The ledger keeps what it counts within reach.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Malformed { why: format!("{number} is past what the database can count to") })
}

fn damaged(error: sqlx::Error) -> StoreError {
    StoreError::Damaged { why: format!("a row of the budgets cannot be read: {error}") }
}

fn unread(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(READING, &error)
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(POSTING, &error)
}
