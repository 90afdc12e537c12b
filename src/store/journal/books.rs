//! The accounts and keys that a group of appends is about. There is no database here.

use std::collections::{BTreeMap, BTreeSet};

use reeve_core::budget::{Amounts, Balance};

use super::ledger::{Held, Ledger, Posting, Refusal};
use crate::StoreError;

/// A reservation as its table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) key: String,
    pub(super) account: String,
    pub(super) amounts: Amounts,
    /// The row that made it.
    pub(super) gseq: i64,
    /// The row that settled it; None: it is open.
    pub(super) settled_gseq: Option<i64>,
}

/// Starts as the transaction sees them, and takes in one append after the other.
#[derive(Debug, Default)]
pub(super) struct Books {
    ledger: Ledger,
    /// Accounts that have a row.
    stored: BTreeSet<String>,
    /// Keys that were ever reserved.
    keys: BTreeSet<String>,
    /// Accounts that a posting moved.
    moved: BTreeSet<String>,
}

impl Books {
    /// What the transaction sees.
    pub(super) fn new(accounts: BTreeMap<String, Balance>, reservations: impl IntoIterator<Item = Reservation>) -> Books {
        let stored = accounts.keys().cloned().collect();
        let mut books = Books { ledger: Ledger { accounts, open: BTreeMap::new() }, stored, ..Books::default() };
        for Reservation { key, account, amounts, gseq: _, settled_gseq } in reservations {
            if settled_gseq.is_none() {
                books.ledger.open.insert(key.clone(), Held { account, amounts });
            }
            books.keys.insert(key);
        }
        books
    }

    /// Takes in all postings of an append, or none.
    ///
    /// # Errors
    /// [`StoreError::Exceeded`], [`StoreError::Malformed`], [`StoreError::Damaged`].
    pub(super) fn post(&mut self, postings: &[(u64, Posting)]) -> Result<(), StoreError> {
        let mut trial = self.about(postings);
        for (_, posting) in postings {
            trial.take_in(posting)?;
        }
        for key in postings.iter().filter_map(|(_, posting)| posting.key()).collect::<BTreeSet<&str>>() {
            match trial.ledger.open.remove_entry(key) {
                Some((key, held)) => self.ledger.open.insert(key, held),
                None => self.ledger.open.remove(key),
            };
        }
        self.moved.extend(trial.ledger.accounts.keys().cloned());
        self.ledger.accounts.append(&mut trial.ledger.accounts);
        self.keys.append(&mut trial.keys);
        Ok(())
    }

    /// A copy of what these postings are about.
    fn about(&self, postings: &[(u64, Posting)]) -> Trial {
        let mut trial = Trial::default();
        for (_, posting) in postings {
            if let Some((account, balance)) = self.ledger.accounts.get_key_value(posting.account()) {
                trial.ledger.accounts.insert(account.clone(), *balance);
            }
            let Some(key) = posting.key() else { continue };
            if let Some((key, held)) = self.ledger.open.get_key_value(key) {
                trial.ledger.open.insert(key.clone(), held.clone());
            }
            if self.keys.contains(key) {
                trial.keys.insert(key.to_owned());
            }
        }
        trial
    }

    /// What stands in each account that was moved, and whether it has a row already.
    pub(super) fn into_moved(self) -> Vec<Moved> {
        let Books { mut ledger, stored, keys: _, moved } = self;
        let moved = moved.into_iter().filter_map(|account| {
            let (account, balance) = ledger.accounts.remove_entry(&account)?;
            Some(Moved { exists: stored.contains(&account), account, balance })
        });
        moved.collect()
    }
}

/// An account that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) account: String,
    pub(super) balance: Balance,
    /// Whether it has a row.
    pub(super) exists: bool,
}

/// What one append would make of the books.
#[derive(Default)]
struct Trial {
    ledger: Ledger,
    keys: BTreeSet<String>,
}

impl Trial {
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
}
