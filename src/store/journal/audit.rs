//! Comparing the budgets with the rows that they are made of.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use reeve_core::budget::{Amounts, Balance, Dimension};
use reeve_core::journal::BudgetReserved;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::Journal;
use super::accounts::{self, amounts};
use super::ledger::{Ledger, Posting};
use crate::{BudgetError, StoreError, VerifyError};

const CHECKING: &str = "checking the budgets";

impl Journal {
    /// Adds up all rows of kind `budget.*`, and compares with what stands in the accounts and reservations. [`Journal::verify`] does it too;
    /// alone it believes the rows.
    ///
    /// Memory grows with the accounts and with what is open at one time, not with the rows. The writer may go on meanwhile.
    ///
    /// # Errors
    /// [`VerifyError::Budget`] with the first row that no writer lets in, or the first account that differs. [`VerifyError::Store`].
    pub async fn check_budgets(&self) -> Result<(), VerifyError> {
        let mut connection = self.reader().await?;
        // One transaction sees rows and tables of one instant.
        let mut snapshot = connection.begin().await.map_err(failed)?;
        if !accounts::are_there(&mut snapshot).await? {
            return no_rows_without_tables(&mut snapshot).await;
        }
        let audit = Audit::of_rows(&mut snapshot).await?;
        strange_reservation(&mut snapshot).await?;
        let found = accounts::all_balances(&mut snapshot).await?;
        snapshot.rollback().await.map_err(failed)?;
        Ok(audit.compare(found.into_iter().collect())?)
    }
}

/// A file from before there were budgets has none of their rows.
async fn no_rows_without_tables(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let row: Option<i64> = sqlx::query_scalar(
        "SELECT min(gseq) FROM journal NOT INDEXED WHERE kind IN ('budget.reserved', 'budget.settled', 'budget.limited')",
    )
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    match row {
        None => Ok(()),
        Some(gseq) => Err(BudgetError::Row { gseq: gseq.unsigned_abs(), why: "the database has no tables of budgets".to_owned() }.into()),
    }
}

/// A reservation that is made by no row. (That each row has its reservation is seen when the rows are read.)
async fn strange_reservation(connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    let strange: Option<(String, String)> = sqlx::query_as(
        "SELECT r.key, r.account FROM budget_reservation AS r LEFT JOIN journal AS j ON j.gseq = r.gseq
        WHERE j.kind IS NOT 'budget.reserved' OR iif(json_valid(j.body), json_extract(j.body, '$.key'), NULL) IS NOT r.key ORDER BY r.key LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    match strange {
        None => Ok(()),
        Some((key, account)) => Err(differs(&account, format!("reservation {key}"), "none", "one").into()),
    }
}

/// The rows added up, each compared with its reservation on the way.
#[derive(Default)]
struct Audit {
    ledger: Ledger,
    /// What the table says settled the reservations that are open as yet.
    settled: BTreeMap<String, i64>,
}

impl Audit {
    async fn of_rows(connection: &mut SqliteConnection) -> Result<Audit, VerifyError> {
        // Along the table itself: an index is one more thing that could have been tampered with.
        let mut rows = sqlx::query(
            "SELECT j.gseq, j.kind, j.body, r.key, r.account, r.gseq, r.settled_gseq, r.tokens, r.cost_micro_usd, r.tool_calls, r.runtime_ms
            FROM journal AS j NOT INDEXED LEFT JOIN budget_reservation AS r ON r.key = iif(json_valid(j.body), json_extract(j.body, '$.key'), NULL)
            WHERE j.kind IN ('budget.reserved', 'budget.settled', 'budget.limited') ORDER BY j.gseq",
        )
        .fetch(connection);
        let mut audit = Audit::default();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            audit.row(&row)?;
        }
        Ok(audit)
    }

    fn row(&mut self, row: &SqliteRow) -> Result<(), VerifyError> {
        let gseq: i64 = row.try_get(0).map_err(failed)?;
        let bad = |why: String| StoreError::BadRow { gseq, why };
        let (kind, body): (&str, &str) =
            row.try_get(1).and_then(|kind| Ok((kind, row.try_get(2)?))).map_err(|error: sqlx::Error| bad(error.to_string()))?;
        let Some(posting) = Posting::read(kind, body).map_err(|error| bad(error.to_string()))? else { return Ok(()) };
        self.ledger.post(&posting).map_err(|refusal| BudgetError::Row { gseq: gseq.unsigned_abs(), why: refusal.to_string() })?;
        match &posting {
            Posting::Reserved(reserved) => self.reserved(gseq, reserved, row),
            Posting::Settled(settled) => {
                let found = self.settled.remove(&settled.key);
                if found == Some(gseq) {
                    return Ok(());
                }
                let found = found.map_or_else(|| "open".to_owned(), settled_by);
                Err(differs(&settled.account, format!("reservation {}", settled.key), settled_by(gseq), found).into())
            }
            Posting::Limited(_) => Ok(()),
        }
    }

    fn reserved(&mut self, gseq: i64, reserved: &BudgetReserved, row: &SqliteRow) -> Result<(), VerifyError> {
        let BudgetReserved { account, key, amounts: expected } = reserved;
        let named: Option<String> = row.try_get(3).map_err(damaged)?;
        let what = format!("reservation {key}");
        if named.as_ref() != Some(key) {
            return Err(differs(account, what, "one", "none").into());
        }
        let (at, made): (String, i64) = row.try_get(4).and_then(|at| Ok((at, row.try_get(5)?))).map_err(damaged)?;
        if at != *account {
            return Err(differs(account, what, format!("in account {account}"), format!("in account {at}")).into());
        }
        if made != gseq {
            return Err(differs(account, what, format!("made by row {gseq}"), format!("made by row {made}")).into());
        }
        compare_amounts(account, &format!("{what} of"), expected, &amounts(row, 7)?)?;
        if let Some(settled) = row.try_get::<Option<i64>, _>(6).map_err(damaged)? {
            self.settled.insert(key.clone(), settled);
        }
        Ok(())
    }

    fn compare(self, found: BTreeMap<String, Balance>) -> Result<(), BudgetError> {
        let Audit { ledger: Ledger { accounts: expected, open }, settled } = self;
        if let Some((key, by)) = settled.into_iter().next() {
            let account = open.get(&key).map_or("", |held| held.account.as_str());
            return Err(differs(account, format!("reservation {key}"), "open", settled_by(by)));
        }
        if let Some(account) = found.keys().find(|account| !expected.contains_key(*account)) {
            return Err(differs(account, "the account".to_owned(), "not there", "there"));
        }
        for (account, expected) in &expected {
            let found = found.get(account).ok_or_else(|| differs(account, "the account".to_owned(), "there", "not there"))?;
            compare_balance(account, expected, found)?;
        }
        Ok(())
    }
}

fn compare_balance(account: &str, expected: &Balance, found: &Balance) -> Result<(), BudgetError> {
    if expected.limits.is_some() != found.limits.is_some() {
        let in_force = |balance: &Balance| if balance.limits.is_some() { "in force" } else { "not in force" };
        return Err(differs(account, "the set of limits".to_owned(), in_force(expected), in_force(found)));
    }
    for dimension in Dimension::ALL {
        let limit = |balance: &Balance| balance.limits.and_then(|limits| limits.of_dimension(dimension));
        if limit(expected) != limit(found) {
            let show = |balance: &Balance| limit(balance).map_or_else(|| "none".to_owned(), |limit| limit.to_string());
            return Err(differs(account, format!("the limit of {}", unit(dimension)), show(expected), show(found)));
        }
    }
    compare_amounts(account, "the sum of used", &expected.used, &found.used)?;
    compare_amounts(account, "the sum of reserved", &expected.reserved, &found.reserved)
}

fn compare_amounts(account: &str, what: &str, expected: &Amounts, found: &Amounts) -> Result<(), BudgetError> {
    for dimension in Dimension::ALL {
        let (expected, found) = (expected.of(dimension), found.of(dimension));
        if expected != found {
            return Err(differs(account, format!("{what} {}", unit(dimension)), expected.to_string(), found.to_string()));
        }
    }
    Ok(())
}

/// A dimension, as the columns name it.
const fn unit(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Tokens => "tokens",
        Dimension::CostMicroUsd => "cost_micro_usd",
        Dimension::ToolCalls => "tool_calls",
        Dimension::RuntimeMs => "runtime_ms",
    }
}

fn settled_by(gseq: i64) -> String {
    format!("settled by row {gseq}")
}

fn differs(account: &str, what: String, expected: impl Into<String>, found: impl Into<String>) -> BudgetError {
    BudgetError::Table { account: account.to_owned(), what, expected: expected.into(), found: found.into() }
}

fn damaged(error: sqlx::Error) -> StoreError {
    StoreError::Damaged { why: format!("a row of the budgets cannot be read: {error}") }
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::of_sqlite(CHECKING, &error)
}
