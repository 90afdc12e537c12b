//! Runs whose rows stand in a file and no more in the journal.
//!
//! Architecture invariant: what was chained stays chained. `run.archived` says where the rows stood and which hashes they link, so that a
//! check without the file still meets each row that is there; with the file it is as if they had never gone.
//! (`tests/store/archive.rs` verifies with and without, and with anything changed.)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chain::{Head, Row};
use super::{Event, Stream};
use crate::Digest;
use crate::budget::Amounts;
use crate::limits::MAX_ARCHIVED_PLACES;

/// Body of `run.archived`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunArchived {
    /// Stream of the run: its UID.
    pub run: Stream,
    /// Namespace of the AgentRun.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its last row.
    pub head: Head,
    /// The file that its rows are in, as it was named then.
    pub file: String,
    /// Digest of that file.
    pub digest: Digest,
    /// Size of that file.
    pub bytes: u64,
    /// Where its rows stood, in order.
    pub places: Vec<Place>,
    /// What it spent, by account: the sums of its `budget.settled`.
    pub spent: BTreeMap<String, Amounts>,
}

/// Rows of a run that stood one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Position in the database of the first.
    pub from: u64,
    /// Of the last.
    pub upto: u64,
    /// Hash that the first names as its predecessor's.
    pub before: Digest,
    /// Hash of the last.
    pub last: Digest,
}

impl RunArchived {
    /// Whether it says one thing: places in order, as many rows as the head counts, and the head as the last of them.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        if self.run == Stream::operator() {
            return Err("the operator's own stream is never archived".to_owned());
        }
        let mut rows = 0_u64;
        let mut after = 0;
        for Place { from, upto, .. } in &self.places {
            if *from <= after || upto < from {
                return Err(format!("its rows {from} to {upto} come after row {after}"));
            }
            rows = rows.saturating_add(upto - from + 1);
            after = *upto;
        }
        if rows != self.head.seq.0 {
            return Err(format!("its places have {rows} rows, its head is {}", self.head.seq.0));
        }
        match self.places.last() {
            Some(place) if place.last == self.head.hash => Ok(()),
            Some(place) => Err(format!("its last row is {}, its head {}", place.last, self.head.hash)),
            None => Err("it has no rows".to_owned()),
        }
    }
}

/// A run whose rows go by, to be archived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    name: Option<(String, String)>,
    head: Option<Head>,
    ended: bool,
    /// Time of the last row.
    time: String,
    places: Vec<Place>,
    spent: BTreeMap<String, Amounts>,
    held: BTreeMap<String, String>,
    /// The first thing that keeps it from being archived.
    wrong: Option<String>,
}

impl Gathered {
    /// Takes in the next row of the run.
    pub fn row(&mut self, row: &Row) {
        if self.wrong.is_none() {
            self.wrong = self.take(row).err();
        }
    }

    fn take(&mut self, row: &Row) -> Result<(), String> {
        let before = self.head.map_or(0, |head| head.seq.0);
        if row.seq.0 != before + 1 {
            return Err(format!("row {} of it follows row {before}", row.seq.0));
        }
        if row.computed_hash().map_err(|error| error.to_string())? != row.hash {
            return Err(format!("row {} was changed", row.gseq));
        }
        match self.places.last_mut() {
            Some(place) if place.upto + 1 == row.gseq && place.last == row.prev => (place.upto, place.last) = (row.gseq, row.hash),
            Some(place) if place.upto >= row.gseq => return Err(format!("row {} comes after row {}", row.gseq, place.upto)),
            Some(_) | None => self.places.push(Place { from: row.gseq, upto: row.gseq, before: row.prev, last: row.hash }),
        }
        self.head = Some(row.head());
        self.time.clone_from(&row.time);
        self.ended = row.kind == "run.finished";
        if row.kind == "run.started" || row.kind.starts_with("budget.") {
            self.read(&row.event().map_err(|error| error.to_string())?)?;
        }
        Ok(())
    }

    fn read(&mut self, event: &Event) -> Result<(), String> {
        if let Event::RunStarted(started) = event {
            self.name = Some((started.namespace.clone(), started.name.clone()));
        } else if let Event::BudgetReserved(reserved) = event {
            self.held.insert(reserved.key.clone(), reserved.account.clone());
        } else if let Event::BudgetSettled(settled) = event {
            if self.held.remove(&settled.key).as_ref() != Some(&settled.account) {
                return Err(format!("it settles {}, which it did not reserve", settled.key));
            }
            let spent = self.spent.entry(settled.account.clone()).or_default();
            *spent = spent.plus(&settled.used).ok_or_else(|| "what it spent cannot be counted".to_owned())?;
        } else {
            return Err("it has a row that belongs into the operator's stream".to_owned());
        }
        Ok(())
    }

    /// Time of its last row.
    pub fn time(&self) -> &str {
        &self.time
    }

    /// Its last row.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The body of its `run.archived`, for this file.
    ///
    /// # Errors
    /// Why it cannot be archived.
    pub fn archived(&self, run: &Stream, file: &str, digest: Digest, bytes: u64) -> Result<RunArchived, String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let (Some((namespace, name)), Some(head), true) = (self.name.clone(), self.head, self.ended) else {
            return Err("it has not ended, or is no run".to_owned());
        };
        if let Some(key) = self.held.keys().next() {
            return Err(format!("its reservation {key} is open"));
        }
        if self.places.len() > MAX_ARCHIVED_PLACES {
            let why = format!("its rows stand in {} places between those of others, the most is {MAX_ARCHIVED_PLACES}", self.places.len());
            return Err(why);
        }
        let (places, spent) = (self.places.clone(), self.spent.clone());
        let archived = RunArchived { run: run.clone(), namespace, name, head, file: file.to_owned(), digest, bytes, places, spent };
        archived.check().map(|()| archived)
    }
}
