//! What a run goes on from that was forked: its ancestors' rows, read and folded, the oldest first.

use std::collections::BTreeMap;

use reeve_core::Digest;
use reeve_core::journal::{ChainError, Event, ForkedFrom, Head, Place, Seq, Stream};
use reeve_core::limits::MAX_FORKS_DEEP;
use reeve_core::run::{Branch, NoFork, Trunk, Withered};

use super::Journal;
use crate::{Artifacts, StoreError};

/// Rows that are held at once.
const PAGE_ROWS: u32 = 256;

/// A row of a run that another one goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkPlace {
    /// UID of the parent.
    pub uid: String,
    /// The last row that belongs to both.
    pub head: Head,
}

impl From<&ForkedFrom> for ForkPlace {
    fn from(from: &ForkedFrom) -> ForkPlace {
        ForkPlace { uid: from.uid.clone(), head: Head { seq: from.seq, hash: from.hash } }
    }
}

/// Why a run cannot be forked at a place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ForkError {
    /// The journal does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such run.
    #[error("the journal has no run of UID {uid}")]
    NoRun {
        /// The UID.
        uid: String,
    },
    /// The run has fewer rows, or the place is before the first.
    #[error("expected a row from 1 to {last} of run {uid}, found {seq}")]
    NoRow {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// Its last row.
        last: u64,
    },
    /// The row is another one.
    #[error("row {seq} of run {uid} has hash {found}, not {named}")]
    Other {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// Hash that was named.
        named: Digest,
        /// Hash of the row.
        found: Digest,
    },
    /// Its rows are not what was written.
    #[error(transparent)]
    Withered(#[from] Withered),
    /// What lies between its rows is not what was written.
    #[error("{0}")]
    Chain(ChainError),
    /// The run is in the midst of something there.
    #[error("run {uid} cannot be forked after row {seq}: {why}{}", nearest(*.before))]
    NoFork {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// Why.
        why: NoFork,
        /// The nearest row before it at which it can.
        before: Option<u64>,
    },
}

fn nearest(before: Option<u64>) -> String {
    before.map_or_else(|| ". There is no row before it at which it can".to_owned(), |row| format!(". The nearest row before it is {row}"))
}

impl Journal {
    /// What a run takes with it that begins at this place, all of it read and folded. `artifacts` have the bodies that rows only name;
    /// without them a run that has such a row before this place is not read.
    ///
    /// Guarantees: every row that was taken in hashes to what it says, and the last is the one that was named.
    ///
    /// # Errors
    /// [`ForkError`].
    pub async fn branch(&self, artifacts: Option<&Artifacts>, place: &ForkPlace) -> Result<Branch, ForkError> {
        self.folded(artifacts, &self.lineage(place).await?).await
    }

    /// As [`Journal::branch`]; and the chain of all rows of the journal from each ancestor's first one up to the place in it is checked too,
    /// so that a row that was written anew, with a hash of its own, is found.
    ///
    /// # Errors
    /// [`ForkError`].
    pub async fn verified_branch(&self, artifacts: Option<&Artifacts>, place: &ForkPlace) -> Result<Branch, ForkError> {
        let places = self.lineage(place).await?;
        let branch = self.folded(artifacts, &places).await?;
        for ForkPlace { uid, head } in &places {
            let stream = Stream::run(uid);
            let first = self.read(&stream, Seq(1), 1).await?.pop();
            let last = self.read(&stream, head.seq, 1).await?.pop();
            if let (Some(first), Some(last)) = (first, last) {
                self.check_span(first.gseq, last.gseq).await?;
            }
        }
        Ok(branch)
    }

    /// The place, the one that its run was forked from, and so on.
    async fn lineage(&self, place: &ForkPlace) -> Result<Vec<ForkPlace>, ForkError> {
        let mut places = vec![place.clone()];
        while let Some(before) = self.parent_of(&places[places.len() - 1].uid).await? {
            places.push(before);
            if places.len() > MAX_FORKS_DEEP as usize {
                let (uid, seq) = (place.uid.clone(), place.head.seq.0);
                return Err(ForkError::NoFork { uid, seq, why: NoFork::TooDeep, before: None });
            }
        }
        Ok(places)
    }

    /// Folds what lies before each of these places, the last of them first.
    async fn folded(&self, artifacts: Option<&Artifacts>, places: &[ForkPlace]) -> Result<Branch, ForkError> {
        let mut branch = None;
        for place in places.iter().rev() {
            branch = Some(self.grown(artifacts, place, branch).await?);
        }
        branch.ok_or_else(|| ForkError::NoRun { uid: String::new() })
    }

    /// Where a run was forked from, if it was.
    async fn parent_of(&self, uid: &str) -> Result<Option<ForkPlace>, ForkError> {
        let Some(first) = self.read(&Stream::run(uid), Seq(1), 1).await?.pop() else {
            return Err(ForkError::NoRun { uid: uid.to_owned() });
        };
        let event = first.event().map_err(ForkError::Chain)?;
        let Event::RunStarted(started) = event else { return Err(ForkError::NoRun { uid: uid.to_owned() }) };
        Ok(started.forked_from.as_ref().map(ForkPlace::from))
    }

    async fn grown(&self, artifacts: Option<&Artifacts>, place: &ForkPlace, branch: Option<Branch>) -> Result<Branch, ForkError> {
        let ForkPlace { uid, head: Head { seq: wanted, hash: named } } = place.clone();
        let stream = Stream::run(&uid);
        let mut trunk = Trunk::new(&uid, branch);
        let mut before = None;
        loop {
            let from = trunk.head().map_or(Seq(1), |head| head.seq.next());
            let rows = if from <= wanted { self.read(&stream, from, PAGE_ROWS).await? } else { Vec::new() };
            if rows.is_empty() {
                break;
            }
            for row in rows.iter().filter(|row| row.seq <= wanted) {
                before = trunk.point().ok().map(|point| point.seq).or(before);
                match artifacts {
                    Some(artifacts) => trunk.row_with_body(row, &artifacts.with_body(row.clone()).await?)?,
                    None => trunk.row(row)?,
                }
            }
        }
        match trunk.head() {
            Some(head) if head.seq == wanted && head.hash == named => {}
            Some(head) if head.seq == wanted => return Err(ForkError::Other { uid, seq: wanted.0, named, found: head.hash }),
            last => return Err(ForkError::NoRow { uid, seq: wanted.0, last: last.map_or(0, |head| head.seq.0) }),
        }
        trunk.branch().map_err(|why| ForkError::NoFork { uid, seq: wanted.0, why, before })
    }

    /// Checks the hashes and links of the rows of the whole database between two. Rows may be missing that `run.archived` says are in a file,
    /// if what it says of them fits the rows on both sides.
    async fn check_span(&self, first: u64, last: u64) -> Result<(), ForkError> {
        let (mut next, mut prev) = (first, None);
        let mut missing = Vec::new();
        while next <= last {
            let rows = self.scan(next, PAGE_ROWS).await?;
            if rows.is_empty() {
                return Err(ForkError::Chain(ChainError::Gap { expected: next, found: last }));
            }
            for row in rows.iter().take_while(|row| row.gseq <= last) {
                if let Some(before) = prev.filter(|_| row.gseq > next) {
                    missing.push(Place { from: next, upto: row.gseq - 1, before, last: row.prev });
                    prev = Some(row.prev);
                }
                follows(row, prev).map_err(ForkError::Chain)?;
                (next, prev) = (row.gseq + 1, Some(row.hash));
            }
        }
        self.are_archived(&missing).await
    }

    async fn are_archived(&self, missing: &[Place]) -> Result<(), ForkError> {
        if missing.is_empty() {
            return Ok(());
        }
        let archived = self.archived_rows().await?;
        for gap in missing {
            let (mut next, mut prev) = (gap.from, gap.before);
            while next <= gap.upto {
                let fits =
                    |there: &&Place| there.before == prev && there.upto <= gap.upto && (there.upto < gap.upto || there.last == gap.last);
                let Some(there) = archived.get(&next).filter(fits) else {
                    return Err(ForkError::Chain(ChainError::Gap { expected: next, found: gap.upto + 1 }));
                };
                (next, prev) = (there.upto + 1, there.last);
            }
        }
        Ok(())
    }

    /// Where rows stood that were archived, by the first of them.
    async fn archived_rows(&self) -> Result<BTreeMap<u64, Place>, ForkError> {
        let (operator, mut from) = (Stream::operator(), Seq(1));
        let mut places = BTreeMap::new();
        loop {
            let rows = self.read(&operator, from, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(places) };
            from = last.seq.next();
            for row in rows.iter().filter(|row| row.kind == "run.archived") {
                let event = row.event().map_err(ForkError::Chain)?;
                let Event::RunArchived(said) = event else { continue };
                places.extend(said.places.iter().map(|place| (place.from, *place)));
            }
        }
    }
}

fn follows(row: &reeve_core::journal::Row, prev: Option<Digest>) -> Result<(), ChainError> {
    let unreadable = |error: serde_json::Error| ChainError::Unreadable { gseq: row.gseq, kind: row.kind.clone(), why: error.to_string() };
    let computed = row.computed_hash().map_err(unreadable)?;
    if computed != row.hash {
        let (stream, kind) = (row.stream.as_str().into(), row.kind.as_str().into());
        return Err(ChainError::Changed { gseq: row.gseq, stream, seq: row.seq.0, kind, stored: row.hash, computed });
    }
    match prev {
        Some(prev) if prev != row.prev => Err(ChainError::Broken { gseq: row.gseq, named: row.prev, found: prev }),
        Some(_) | None => Ok(()),
    }
}
