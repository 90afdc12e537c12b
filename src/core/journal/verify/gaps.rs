//! Rows that are not there, until it is said why.
//!
//! A gap is no error before the last row: a later `run.archived` may say that its rows stand in a file. What it says must fit the rows on
//! both sides of the gap. A gap of which nothing says that is the first thing that is wrong.

use std::collections::BTreeMap;

use super::error::ChainError;
use crate::Digest;
use crate::journal::anchored::AnchoredHead;
use crate::journal::archived::{Place, RunArchived};
use crate::journal::{Head, Stream};

/// A run that was archived, and whether its rows were among those that were checked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedRun {
    /// Its stream.
    pub run: Stream,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its last row.
    pub head: Head,
    /// The file that its rows are in, as it was named then.
    pub file: String,
    /// Digest of the file.
    pub digest: Digest,
    /// Whether its rows were checked too.
    pub checked: bool,
    /// Whether a signature covers the row that says so. Without one, whoever holds the database could have written it.
    pub signed: bool,
    /// The row that says so.
    pub by: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    upto: u64,
    before: Digest,
    last: Digest,
}

#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// By the first row that is missing.
    open: BTreeMap<u64, Gap>,
    archived: BTreeMap<Stream, ArchivedRun>,
    /// Heads that were signed, of streams that are not there. Each with the row that signs it.
    unfound: Vec<(u64, AnchoredHead)>,
    /// What was wrong while gaps were open: whether it or a gap is the first thing that is wrong, the rows after it say.
    failed: Option<ChainError>,
}

impl Gaps {
    /// Whether a later row may say why something is missing.
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn open(&mut self, from: u64, upto: u64, before: Digest, last: Digest) {
        self.open.insert(from, Gap { upto, before, last });
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Keeps what is wrong for the end.
    pub(super) fn fail(&mut self, error: ChainError) {
        self.failed = Some(error);
    }

    pub(super) fn unfound(&mut self, gseq: u64, head: AnchoredHead) {
        self.unfound.push((gseq, head));
    }

    pub(super) fn archived(&self, stream: &Stream) -> Option<&ArchivedRun> {
        self.archived.get(stream)
    }

    /// Takes in what row `gseq` says of a run, of which `tip` is the last row that was there.
    pub(super) fn explain(&mut self, gseq: u64, said: &RunArchived, tip: Option<Head>) -> Result<(), ChainError> {
        let wrong = |why: String| ChainError::Archived { gseq, run: said.run.as_str().into(), why: why.into() };
        said.check().map_err(wrong)?;
        match tip {
            Some(head) if head == said.head => {}
            Some(head) => {
                return Err(wrong(format!(
                    "its last row here is {} {}, not {} {}",
                    head.seq.0, head.hash, said.head.seq.0, said.head.hash
                )));
            }
            None => said.places.iter().try_for_each(|place| self.fill(place)).map_err(wrong)?,
        }
        let RunArchived { run, namespace, name, head, file, digest, .. } = said.clone();
        let archived =
            ArchivedRun { run: run.clone(), namespace, name, head, file, digest, checked: tip.is_some(), signed: false, by: gseq };
        if self.archived.insert(run.clone(), archived).is_some() {
            return Err(wrong("it was archived before".to_owned()));
        }
        let signed = self.unfound.extract_if(.., |(_, signed)| signed.stream == run);
        for (by, signed) in signed {
            let beyond = signed.seq > head.seq;
            if beyond || signed.seq == head.seq && signed.hash != head.hash {
                return Err(wrong(format!(
                    "its head is {} {}, but row {by} has {} signed as {}",
                    head.seq.0, head.hash, signed.seq.0, signed.hash
                )));
            }
        }
        Ok(())
    }

    /// Takes these rows out of the gap that they are in; what is left of it on either side stays open.
    fn fill(&mut self, place: &Place) -> Result<(), String> {
        let Place { from, upto, before, last } = *place;
        let found = self.open.range(..=from).next_back().map(|(start, gap)| (*start, *gap)).filter(|(_, gap)| upto <= gap.upto);
        let Some((start, gap)) = found else { return Err(format!("its rows {from} to {upto} are not missing")) };
        if start == from && gap.before != before {
            return Err(format!("its row {from} follows {before}, but the row before it is {}", gap.before));
        }
        if upto == gap.upto && gap.last != last {
            return Err(format!("its row {upto} is {last}, but the row after it follows {}", gap.last));
        }
        self.open.remove(&start);
        if start < from {
            self.open.insert(start, Gap { upto: from - 1, before: gap.before, last: before });
        }
        if upto < gap.upto {
            self.open.insert(upto + 1, Gap { upto: gap.upto, before: last, last: gap.last });
        }
        Ok(())
    }

    /// Ends the check: the first row that is missing without a reason, or what was found wrong; else the runs that were archived.
    pub(super) fn end(self) -> Result<Vec<ArchivedRun>, ChainError> {
        if let Some((from, gap)) = self.open.into_iter().next() {
            return Err(ChainError::Gap { expected: from, found: gap.upto + 1 });
        }
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if let Some((gseq, AnchoredHead { stream, seq, .. })) = self.unfound.into_iter().next() {
            let found = "has no such stream before".into();
            return Err(ChainError::SignedMissing { gseq, stream: stream.as_str().into(), seq: seq.0, found });
        }
        Ok(self.archived.into_values().collect())
    }
}

#[cfg(test)]
mod tests;
