//! What rows do to budgets: one rule, by which rows are let in and by which they are checked later. There is no database here.

use std::collections::BTreeMap;

use reeve_core::budget::{Amounts, Balance, Exceeded, Limits};
use reeve_core::journal::{BudgetLimited, BudgetReserved, BudgetSettled};

/// The most that a sum or a limit can be: up to here canonical JSON keeps integers as they are (RFC 8785, section 3.2.2.3), so what is added
/// up is what was meant. In micro-USD it is nine thousand million dollars.
const MAX_COUNT: u64 = (1 << 53) - 1;

/// A row that moves an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Posting {
    /// `budget.reserved`
    Reserved(BudgetReserved),
    /// `budget.settled`
    Settled(BudgetSettled),
    /// `budget.limited`
    Limited(BudgetLimited),
}

impl Posting {
    /// The posting that a row of this kind and body is; `None` for the many that are none.
    pub(super) fn read(kind: &str, body: &str) -> Result<Option<Posting>, serde_json::Error> {
        match kind {
            "budget.reserved" => Ok(Some(Posting::Reserved(serde_json::from_str(body)?))),
            "budget.settled" => Ok(Some(Posting::Settled(serde_json::from_str(body)?))),
            "budget.limited" => Ok(Some(Posting::Limited(serde_json::from_str(body)?))),
            _ => Ok(None),
        }
    }

    pub(super) fn account(&self) -> &str {
        match self {
            Posting::Reserved(BudgetReserved { account, .. })
            | Posting::Settled(BudgetSettled { account, .. })
            | Posting::Limited(BudgetLimited { account, .. }) => account,
        }
    }

    /// The reservation it makes or ends.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Posting::Reserved(BudgetReserved { key, .. }) | Posting::Settled(BudgetSettled { key, .. }) => Some(key),
            Posting::Limited(_) => None,
        }
    }
}

/// What a reservation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) account: String,
    pub(super) amounts: Amounts,
}

/// Why a posting cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It does not fit.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// Whoever made it does not know what was posted before.
    #[error("{0}")]
    Impossible(String),
    /// The account holds less than its reservations: it is not what its rows made it.
    #[error("{0}")]
    Short(String),
}

/// Accounts and open reservations, as postings leave them. Grows with what is open, not with what ever was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) accounts: BTreeMap<String, Balance>,
    pub(super) open: BTreeMap<String, Held>,
}

impl Ledger {
    /// Takes in a posting, or says why not and stays as it was.
    ///
    /// Whether a key was used and settled long ago is not known here: see [`super::books::Books`].
    pub(super) fn post(&mut self, posting: &Posting) -> Result<(), Refusal> {
        match posting {
            Posting::Reserved(reserved) => self.reserve(reserved),
            Posting::Settled(settled) => self.settle(settled),
            Posting::Limited(limited) => {
                let limits = limited.limits.as_ref().map(countable_limits);
                self.accounts.entry(limited.account.clone()).or_default().limits = limits;
                Ok(())
            }
        }
    }

    /// Takes in what a run spent whose rows are not there any more.
    pub(super) fn spent(&mut self, spent: &BTreeMap<String, Amounts>) -> Result<(), Refusal> {
        for (account, used) in spent {
            let balance = self.accounts.entry(account.clone()).or_default();
            balance.used = sum(account, &balance.used, used)?;
        }
        Ok(())
    }

    fn reserve(&mut self, reserved: &BudgetReserved) -> Result<(), Refusal> {
        let BudgetReserved { account, key, amounts } = reserved;
        if self.open.contains_key(key) {
            return Err(Refusal::Impossible(format!("{key} is reserved already")));
        }
        let mut balance = self.accounts.get(account).copied().unwrap_or_default();
        balance.fits(account, amounts)?;
        balance.reserved = sum(account, &balance.reserved, amounts)?;
        self.accounts.insert(account.clone(), balance);
        self.open.insert(key.clone(), Held { account: account.clone(), amounts: *amounts });
        Ok(())
    }

    fn settle(&mut self, settled: &BudgetSettled) -> Result<(), Refusal> {
        let BudgetSettled { account, key, used, in_full: _ } = settled;
        let held = self.open.get(key).ok_or_else(|| Refusal::Impossible(format!("{key} is not an open reservation")))?;
        if held.account != *account {
            return Err(Refusal::Impossible(format!("{key} is reserved in account {}, not in {account}", held.account)));
        }
        let mut balance = self.accounts.get(account).copied().unwrap_or_default();
        let short = || Refusal::Short(format!("budget account {account} has less reserved than {key} alone holds"));
        balance.reserved = balance.reserved.minus(&held.amounts).ok_or_else(short)?;
        balance.used = sum(account, &balance.used, used)?;
        self.accounts.insert(account.clone(), balance);
        self.open.remove(key);
        Ok(())
    }
}

fn sum(account: &str, before: &Amounts, more: &Amounts) -> Result<Amounts, Refusal> {
    let sum = before.plus(more).filter(|sum| {
        let Amounts { tokens, cost_micro_usd, tool_calls, runtime_ms } = *sum;
        [tokens, cost_micro_usd, tool_calls, runtime_ms].into_iter().all(|amount| amount <= MAX_COUNT)
    });
    sum.ok_or_else(|| Refusal::Impossible(format!("a sum of budget account {account} would be past what can be counted")))
}

/// A limit past what can be counted becomes just that: no sum gets there.
fn countable_limits(limits: &Limits) -> Limits {
    let Limits { tokens, cost_micro_usd, tool_calls, runtime_ms } = *limits;
    let countable = |limit: Option<u64>| limit.map(|limit| limit.min(MAX_COUNT));
    Limits {
        tokens: countable(tokens),
        cost_micro_usd: countable(cost_micro_usd),
        tool_calls: countable(tool_calls),
        runtime_ms: countable(runtime_ms),
    }
}

#[cfg(test)]
mod models;
