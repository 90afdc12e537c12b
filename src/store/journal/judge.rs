//! Which appends of a group may be written, and what that comes to: one rule for every database. There is none here; each one reads what
//! [`Needs`] names in a transaction that no other writer is in, or takes what it knows to be so unless the database says otherwise, asks
//! [`judge`], and writes the answer.

use std::collections::{BTreeMap, BTreeSet};

use reeve_core::Digest;
use reeve_core::budget::Balance;
use reeve_core::journal::{BudgetReserved, Epoch, Head, Row, Seq, Stream};

use super::books::{Books, Moved, Reservation};
use super::ledger::Posting;
use super::request::Request;
use crate::StoreError;

/// What a group is about.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    pub(super) streams: BTreeSet<&'a str>,
    pub(super) accounts: BTreeSet<&'a str>,
    pub(super) keys: BTreeSet<&'a str>,
}

/// What the transaction sees of it.
#[derive(Debug)]
pub(super) struct Seen {
    /// Of the whole database.
    pub(super) tail: Tail,
    /// Last position of each stream that has rows.
    pub(super) heads: BTreeMap<Stream, Seq>,
    /// Accounts that have a row.
    pub(super) accounts: BTreeMap<String, Balance>,
    /// Open or settled.
    pub(super) reservations: Vec<Reservation>,
}

/// The last row of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) gseq: u64,
    pub(super) hash: Digest,
    pub(super) epoch: Epoch,
}

/// The answer to each append, and what is to be written of those that may. Nothing of one that may not.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) outcomes: Vec<Result<Vec<Row>, StoreError>>,
    pub(super) accounts: Vec<Moved>,
    /// Each with the position of its row.
    pub(super) reserved: Vec<(u64, BudgetReserved)>,
    /// Keys, each with the position of the row that settles it.
    pub(super) settled: Vec<(u64, String)>,
    /// Runs whose rows go, each with the position of its `run.archived`.
    pub(super) archived: Vec<(u64, Stream, Head)>,
}

impl<'a> Needs<'a> {
    pub(super) fn of(group: &'a [Request]) -> Needs<'a> {
        let postings = || group.iter().flat_map(|request| &request.postings).map(|(_, posting)| posting);
        Needs {
            streams: group.iter().map(|request| request.stream.as_str()).collect(),
            accounts: postings().map(Posting::account).collect(),
            keys: postings().filter_map(Posting::key).collect(),
        }
    }
}

impl Tail {
    /// Before the first row.
    pub(super) const NONE: Tail = Tail { gseq: 0, hash: Digest::ZERO, epoch: Epoch(0) };

    /// After this row.
    pub(super) fn of(row: &Row) -> Tail {
        Tail { gseq: row.gseq, hash: row.hash, epoch: row.epoch }
    }
}

impl Verdict {
    /// All rows, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.outcomes.iter().flatten().flatten()
    }

    /// Whether no append is refused.
    pub(super) fn takes_all(&self) -> bool {
        self.outcomes.iter().all(Result::is_ok)
    }
}

/// Judges the appends one after the other, each by what those before it leave.
pub(super) fn judge(seen: Seen, group: &[Request]) -> Verdict {
    let Seen { mut tail, mut heads, accounts, reservations } = seen;
    let mut books = Books::new(accounts, reservations);
    let mut verdict = Verdict::default();
    for request in group {
        let outcome = one(&mut tail, &mut heads, &mut books, request);
        if let Ok(rows) = &outcome {
            verdict.moves(request, rows);
        }
        verdict.outcomes.push(outcome);
    }
    verdict.accounts = books.into_moved();
    verdict
}

impl Verdict {
    fn moves(&mut self, request: &Request, rows: &[Row]) {
        let Some(first) = rows.first() else { return };
        self.archived.extend(request.archives.iter().map(|(offset, run, head)| (first.gseq + offset, run.clone(), *head)));
        for (offset, posting) in &request.postings {
            let gseq = first.gseq + offset;
            match posting {
                Posting::Reserved(reserved) => self.reserved.push((gseq, reserved.clone())),
                Posting::Settled(settled) => self.settled.push((gseq, settled.key.clone())),
                Posting::Limited(_) => {}
            }
        }
    }
}

fn one(tail: &mut Tail, heads: &mut BTreeMap<Stream, Seq>, books: &mut Books, request: &Request) -> Result<Vec<Row>, StoreError> {
    let Request { epoch, stream, after, drafts, postings, archives: _ } = request;
    if epoch.is_fenced_by(tail.epoch) {
        return Err(StoreError::Fenced { epoch: *epoch, highest: tail.epoch });
    }
    let found = heads.get(stream).copied();
    if found != *after {
        return Err(StoreError::StaleHead { stream: stream.as_str().to_owned(), expected: *after, found });
    }
    let mut next = *tail;
    let mut seq = found.unwrap_or(Seq(0));
    let mut rows = Vec::with_capacity(drafts.len());
    for draft in drafts {
        seq = seq.next();
        let row = draft
            .clone()
            .place(stream.clone(), next.gseq + 1, seq, *epoch, next.hash)
            .map_err(|error| StoreError::Malformed { why: error.to_string() })?;
        next = Tail::of(&row);
        rows.push(row);
    }
    books.post(postings)?;
    *tail = next;
    heads.insert(stream.clone(), seq);
    Ok(rows)
}
