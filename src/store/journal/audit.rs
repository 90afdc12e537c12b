//! Comparing the budgets with the rows that they are made of.

use std::collections::BTreeMap;

use reeve_core::budget::{Amounts, Balance, Dimension};
use reeve_core::journal::{BudgetReserved, RunArchived};

use super::books::Reservation;
use super::ledger::{Ledger, Posting};
use super::{Journal, on_each};
use crate::{BudgetError, StoreError, VerifyError};

pub(super) const CHECKING: &str = "checking the budgets";

/// Kinds of the rows that move budgets, or stand for rows that did, as SQL lists them.
macro_rules! budget_kinds {
    () => {
        "('budget.reserved', 'budget.settled', 'budget.limited', 'run.archived')"
    };
}
pub(super) use budget_kinds;

impl Journal {
    /// Adds up all rows of kind `budget.*`, and compares with what stands in the accounts and reservations. [`Journal::verify`] does it too;
    /// alone it believes the rows.
    ///
    /// Memory grows with the accounts and with what is open at one time, not with the rows. The writer may go on meanwhile.
    ///
    /// # Errors
    /// [`VerifyError::Budget`] with the first row that no writer lets in, or the first account that differs. [`VerifyError::Store`].
    pub async fn check_budgets(&self) -> Result<(), VerifyError> {
        let tables = on_each!(self, database => database.tables())?;
        Ok(tables.compare()?)
    }
}

/// The rows added up, each compared with its reservation on the way; then what stands in the accounts.
#[derive(Debug, Default)]
pub(super) struct Tables {
    ledger: Ledger,
    /// What the table says settled the reservations that are open as yet.
    settled: BTreeMap<String, i64>,
    /// What the table of accounts says.
    accounts: BTreeMap<String, Balance>,
}

/// A row about a budget, and what the table of reservations has by its key.
#[derive(Debug)]
pub(super) struct BudgetRow<'a> {
    pub(super) gseq: i64,
    pub(super) kind: &'a str,
    pub(super) body: &'a str,
    pub(super) reservation: Option<Reservation>,
}

impl Tables {
    /// Takes in the next row.
    ///
    /// # Errors
    /// When it cannot follow those before it, or its reservation says other than it does.
    pub(super) fn row(&mut self, row: &BudgetRow<'_>) -> Result<(), VerifyError> {
        let BudgetRow { gseq, kind, body, reservation } = row;
        if *kind == "run.archived" {
            // Its rows went in the transaction that wrote this one.
            let archived: RunArchived =
                serde_json::from_str(body).map_err(|error| StoreError::BadRow { gseq: *gseq, why: error.to_string() })?;
            let spent = self.ledger.spent(&archived.spent);
            return Ok(spent.map_err(|refusal| BudgetError::Row { gseq: gseq.unsigned_abs(), why: refusal.to_string() })?);
        }
        let posting = Posting::read(kind, body).map_err(|error| StoreError::BadRow { gseq: *gseq, why: error.to_string() })?;
        let Some(posting) = posting else { return Ok(()) };
        self.ledger.post(&posting).map_err(|refusal| BudgetError::Row { gseq: gseq.unsigned_abs(), why: refusal.to_string() })?;
        match &posting {
            Posting::Reserved(reserved) => self.reserved(*gseq, reserved, reservation.as_ref()),
            Posting::Settled(settled) => {
                let found = self.settled.remove(&settled.key);
                if found == Some(*gseq) {
                    return Ok(());
                }
                let found = found.map_or_else(|| "open".to_owned(), settled_by);
                Err(differs(&settled.account, format!("reservation {}", settled.key), settled_by(*gseq), found).into())
            }
            Posting::Limited(_) => Ok(()),
        }
    }

    fn reserved(&mut self, gseq: i64, reserved: &BudgetReserved, found: Option<&Reservation>) -> Result<(), VerifyError> {
        let BudgetReserved { account, key, amounts } = reserved;
        let what = format!("reservation {key}");
        let Some(found) = found.filter(|found| found.key == *key) else { return Err(differs(account, what, "one", "none").into()) };
        if found.account != *account {
            return Err(differs(account, what, format!("in account {account}"), format!("in account {}", found.account)).into());
        }
        if found.gseq != gseq {
            return Err(differs(account, what, format!("made by row {gseq}"), format!("made by row {}", found.gseq)).into());
        }
        compare_amounts(account, &format!("{what} of"), amounts, &found.amounts)?;
        self.settled.extend(found.settled_gseq.map(|settled| (key.clone(), settled)));
        Ok(())
    }

    /// After the last row: what the table of accounts says.
    pub(super) fn with_accounts(self, accounts: impl IntoIterator<Item = (String, Balance)>) -> Tables {
        Tables { accounts: accounts.into_iter().collect(), ..self }
    }

    fn compare(self) -> Result<(), BudgetError> {
        let Tables { ledger: Ledger { accounts: expected, open }, settled, accounts: found } = self;
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

/// A reservation that no row made. (That each row has its reservation is seen when the rows are read.)
pub(super) fn made_by_no_row(key: &str, account: &str) -> VerifyError {
    differs(account, format!("reservation {key}"), "none", "one").into()
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
