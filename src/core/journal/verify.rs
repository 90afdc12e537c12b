//! Checking a journal: row by row its chain, with the heads and roots that are signed in it, against what was saved elsewhere.
//!
//! What each part finds, and against whom:
//! - the chain: an edit, a removal or a swap by somebody who did not write every later row anew;
//! - signatures in the operator's stream: a rewrite of anything before the last of them, by whoever holds the database but no key;
//! - what forks name: a parent that was written anew by somebody who did not write its forks anew;
//! - heads and roots saved outside: a tail that was cut, a journal exchanged as a whole, and, if they were saved where its holder cannot
//!   reach, a rewrite by the holder of the key itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::anchored::{Anchored, SignedLog};
use super::chain::{Head, Row};
use super::sign::{KeyId, PublicKey, Signature};
use super::{Epoch, Event, Seq, Stream};
use crate::Digest;
use crate::limits::SIGNED_WITHIN_ROWS;

mod error;
mod gaps;
mod links;
mod saved;

pub use error::ChainError;
pub use gaps::ArchivedRun;
use gaps::Gaps;
pub use links::{ForkLink, ForkLinks};
use saved::unmet_root;

/// What somebody outside has kept of a journal, and expects of it.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Heads: each must be met.
    pub heads: Vec<SavedHead>,
    /// Roots: each of this journal's log must be met. Those of other logs are counted; if all are, the journal was exchanged.
    pub roots: Vec<SavedRoot>,
    /// Keys that the reader trusts: if there are any, one must be among those that the journal is signed by.
    pub keys: Vec<PublicKey>,
    /// A run to look for, as NAMESPACE/NAME or UID: its streams are in [`Verified::chosen`].
    pub run: Option<String>,
}

/// A head of a stream, saved outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedHead {
    /// The stream.
    pub stream: Stream,
    /// Its position and hash.
    pub head: Head,
    /// By whom it is signed, if it says so.
    pub signature: Option<SignatureOf>,
    /// Where it was saved, for a person.
    pub from: Arc<str>,
}

/// A root of the tree of signed heads, saved outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRoot {
    /// The log that it is of.
    pub log: Digest,
    /// Heads in the tree.
    pub size: u64,
    /// The root.
    pub root: Digest,
    /// By whom it is signed.
    pub signature: SignatureOf,
    /// Where it was saved, for a person.
    pub from: Arc<str>,
}

/// A signature, and which key it is by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureOf {
    /// Name of the key.
    pub key_id: KeyId,
    /// The signature.
    pub signature: Signature,
}

/// A journal that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Rows checked.
    pub rows: u64,
    /// Position of the last one. More than rows, where runs are archived whose files were not given.
    pub last: u64,
    /// Hash of the last one.
    pub hash: Digest,
    /// Runs whose rows stand in files, by stream.
    pub archived: Vec<ArchivedRun>,
    /// Head of each stream.
    pub heads: BTreeMap<Stream, Head>,
    /// The streams of the run that was looked for.
    pub chosen: Vec<Stream>,
    /// Heads and roots saved outside that were met.
    pub met: u64,
    /// Roots saved outside that are of other logs: journals that were there before this one, or belong to other operators.
    pub of_others: u64,
    /// How forks and their parents fit.
    pub links: ForkLinks,
    /// Bodies that are kept in the artifact store. Rows and chain hold their digests; that they are there is not checked by this.
    pub kept: u64,
    /// What is signed; None where no key was introduced.
    pub signed: Option<Signed>,
}

/// What of a journal is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// Names the log.
    pub log: Digest,
    /// The key that signs.
    pub key_id: KeyId,
    /// All keys, those that signed before among them.
    pub keys: Vec<KeyId>,
    /// Heads that are signed.
    pub heads: u64,
    /// Root of their tree.
    pub root: Digest,
    /// The last row that a signature covers, with all rows before it; those after are chained only. 0: none.
    pub upto: u64,
}

/// The last row of a stream.
#[derive(Clone, Copy, Debug)]
struct Tip {
    head: Head,
    gseq: u64,
    /// Which stream it is, counted from 0 in order of their first rows.
    number: u64,
}

/// A row that may yet be signed.
#[derive(Clone, Copy, Debug)]
struct Recent {
    gseq: u64,
    stream: u64,
    head: Head,
}

/// Checks a journal row by row, in memory that grows with the number of streams and of what was saved outside, not of rows.
#[derive(Debug)]
pub struct Verifier {
    rows: u64,
    /// Position of the last row.
    last: u64,
    prev: Digest,
    gaps: Gaps,
    epoch: Epoch,
    tips: BTreeMap<Stream, Tip>,
    recent: VecDeque<Recent>,
    log: SignedLog,
    upto: u64,
    /// Heads saved outside, still to be met.
    heads: BTreeMap<Stream, Vec<SavedHead>>,
    /// Met, their signatures to be checked once all keys are known.
    met: Vec<SavedHead>,
    /// Roots saved outside, until it is known which log this is.
    any_roots: Vec<SavedRoot>,
    /// Those of this log that are still to be met, by size.
    roots: BTreeMap<u64, Vec<SavedRoot>>,
    met_count: u64,
    of_others: u64,
    has_own_roots: bool,
    keys: Vec<PublicKey>,
    run: Option<String>,
    chosen: Vec<Stream>,
    links: ForkLinks,
    kept: u64,
}

impl Verifier {
    /// Starts before the first row. Each of `anchors` must be met.
    pub fn new(anchors: impl IntoIterator<Item = (Stream, Head)>) -> Verifier {
        let from: Arc<str> = Arc::from("saved");
        let saved = |(stream, head)| SavedHead { stream, head, signature: None, from: Arc::clone(&from) };
        Verifier::expecting(Expected { heads: anchors.into_iter().map(saved).collect(), ..Expected::default() })
    }

    /// Starts before the first row.
    pub fn expecting(expected: Expected) -> Verifier {
        let Expected { heads, roots, keys, run } = expected;
        let mut verifier = Verifier {
            rows: 0,
            last: 0,
            prev: Digest::ZERO,
            gaps: Gaps::default(),
            epoch: Epoch(0),
            tips: BTreeMap::new(),
            recent: VecDeque::new(),
            log: SignedLog::default(),
            upto: 0,
            heads: BTreeMap::new(),
            met: Vec::new(),
            any_roots: roots,
            roots: BTreeMap::new(),
            met_count: 0,
            of_others: 0,
            has_own_roots: false,
            keys,
            run,
            chosen: Vec::new(),
            links: ForkLinks::default(),
            kept: 0,
        };
        for head in heads {
            verifier.heads.entry(head.stream.clone()).or_default().push(head);
        }
        verifier
    }

    /// Checks the next row.
    ///
    /// Rows may be missing, if a later `run.archived` says which. Until then nothing is said of what is wrong.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn row(&mut self, row: &Row) -> Result<(), ChainError> {
        if self.gaps.has_failed() {
            self.only_explain(row);
            return Ok(());
        }
        match self.next(row) {
            Err(error) if self.gaps.are_open() => {
                self.gaps.fail(error);
                self.only_explain(row);
                Ok(())
            }
            other => other,
        }
    }

    /// Whether rows are missing of which nothing has said yet where they are: then what is wrong is said by [`Verifier::finish`].
    pub fn is_waiting(&self) -> bool {
        self.gaps.are_open()
    }

    /// Whether any row of this stream was checked so far.
    pub fn has_rows_of(&self, stream: &Stream) -> bool {
        self.tips.contains_key(stream)
    }

    /// Something is wrong; it remains to be found whether a row that is missing comes before it.
    fn only_explain(&mut self, row: &Row) {
        if row.kind == "run.archived"
            && let Ok(Event::RunArchived(said)) = row.event()
        {
            // What it gets wrong is not the first thing that is wrong.
            let _ = self.gaps.explain(row.gseq, &said, None);
        }
    }

    fn next(&mut self, row: &Row) -> Result<(), ChainError> {
        let expected = self.last + 1;
        if row.gseq < expected {
            return Err(ChainError::Gap { expected, found: row.gseq });
        }
        if row.gseq > expected {
            self.gaps.open(expected, row.gseq - 1, self.prev, row.prev);
            self.prev = row.prev;
        }
        self.link(row)?;
        let Row { gseq, stream, seq, kind, body, .. } = row;
        if !super::is_canonical(body) {
            let (stream, kind) = (stream.as_str().into(), kind.as_str().into());
            return Err(ChainError::NotCanonical { gseq: *gseq, stream, seq: seq.0, kind });
        }
        // What is kept elsewhere says nothing of keys or names; whether it is there and whole, who has the artifacts can tell.
        let event = if row.kept()?.is_some() { None } else { Some(row.event()?) };
        self.meet_head(row)?;
        match &event {
            Some(event) => {
                self.attest(row, event)?;
                self.link_fork(row, event)?;
            }
            None => self.kept += 1,
        }
        self.choose(row, event.as_ref());
        self.rows += 1;
        self.last = row.gseq;
        self.prev = row.hash;
        self.epoch = row.epoch;
        self.step(row);
        Ok(())
    }

    fn link(&self, row: &Row) -> Result<(), ChainError> {
        let unreadable = |why: serde_json::Error| ChainError::Unreadable { gseq: row.gseq, kind: row.kind.clone(), why: why.to_string() };
        let computed = row.computed_hash().map_err(unreadable)?;
        if computed != row.hash {
            let Row { gseq, stream, seq, kind, hash, .. } = row;
            let (stream, kind) = (stream.as_str().into(), kind.as_str().into());
            return Err(ChainError::Changed { gseq: *gseq, stream, seq: seq.0, kind, stored: *hash, computed });
        }
        if row.prev != self.prev {
            return Err(ChainError::Broken { gseq: row.gseq, named: row.prev, found: self.prev });
        }
        if row.epoch < self.epoch {
            return Err(ChainError::EpochFell { gseq: row.gseq, before: self.epoch.0, found: row.epoch.0 });
        }
        if let Some(archived) = self.gaps.archived(&row.stream) {
            let why = "it was archived before, and a run that was archived has no more rows".into();
            return Err(ChainError::Archived { gseq: row.gseq, run: archived.run.as_str().into(), why });
        }
        let before = self.tips.get(&row.stream).map_or(0, |tip| tip.head.seq.0);
        if row.seq.0 != before + 1 {
            return Err(ChainError::StreamGap { gseq: row.gseq, stream: row.stream.as_str().to_owned(), before, found: row.seq.0 });
        }
        Ok(())
    }

    fn step(&mut self, row: &Row) {
        let (gseq, head, streams) = (row.gseq, row.head(), self.tips.len() as u64);
        let number = match self.tips.get_mut(&row.stream) {
            Some(tip) => {
                (tip.head, tip.gseq) = (head, gseq);
                tip.number
            }
            None => {
                self.tips.insert(row.stream.clone(), Tip { head, gseq, number: streams });
                streams
            }
        };
        if self.recent.len() == SIGNED_WITHIN_ROWS {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { gseq, stream: number, head });
    }

    fn choose(&mut self, row: &Row, event: Option<&Event>) {
        let Some(run) = &self.run else { return };
        let named = if let Some(Event::RunStarted(started)) = event {
            run.split_once('/') == Some((started.namespace.as_str(), started.name.as_str()))
        } else {
            false
        };
        if row.seq == Seq(1) && (named || row.stream.as_str() == run) {
            self.chosen.push(row.stream.clone());
        }
    }

    fn attest(&mut self, row: &Row, event: &Event) -> Result<(), ChainError> {
        let about_keys =
            matches!(event, Event::KeyIntroduced(_) | Event::KeyRotated(_) | Event::JournalAnchored(_) | Event::RunArchived(_));
        if !about_keys {
            return Ok(());
        }
        let wrong = |why: String| ChainError::Signature { gseq: row.gseq, kind: row.kind.as_str().into(), why: why.into() };
        if row.stream != Stream::operator() {
            return Err(wrong(format!("it stands in stream {}, where no operator writes it", row.stream.as_str())));
        }
        if let Event::RunArchived(said) = event {
            let tip = self.tips.get(&said.run).map(|tip| tip.head);
            return self.gaps.explain(row.gseq, said, tip);
        }
        let size = self.log.tree().size();
        self.log.apply(row.hash, event).map_err(wrong)?;
        self.sort_roots();
        if let Event::JournalAnchored(anchored) = event {
            self.log.check(anchored).map_err(wrong)?;
            self.meet_signed(row.gseq, anchored)?;
            self.meet_roots(size)?;
        }
        Ok(())
    }

    /// Each signed head must be a row that was there.
    fn meet_signed(&mut self, gseq: u64, anchored: &Anchored) -> Result<(), ChainError> {
        for signed in &anchored.heads {
            let (stream, seq) = (Box::from(signed.stream.as_str()), signed.seq.0);
            let Some((row, found)) = self.find(&signed.stream, signed.seq) else {
                let found = match self.tips.get(&signed.stream) {
                    Some(tip) if tip.head.seq < signed.seq => format!("had only {} rows of it by then", tip.head.seq.0),
                    Some(_) => format!("had written {SIGNED_WITHIN_ROWS} rows since"),
                    None if self.gaps.are_open() => {
                        self.gaps.unfound(gseq, signed.clone());
                        continue;
                    }
                    None => "has no such stream before".to_owned(),
                };
                return Err(ChainError::SignedMissing { gseq, stream, seq, found: found.into() });
            };
            if found != signed.hash {
                return Err(ChainError::Resigned { gseq, row, stream, seq, signed: signed.hash.into(), found: found.into() });
            }
            self.upto = self.upto.max(row);
        }
        Ok(())
    }

    /// Position and hash of a row that is the last of its stream, or was written not long ago.
    fn find(&self, stream: &Stream, seq: Seq) -> Option<(u64, Digest)> {
        let tip = self.tips.get(stream)?;
        if tip.head.seq == seq {
            return Some((tip.gseq, tip.head.hash));
        }
        let found = self.recent.iter().rev().find(|recent| recent.stream == tip.number && recent.head.seq == seq)?;
        Some((found.gseq, found.head.hash))
    }

    /// Ends the check.
    ///
    /// # Errors
    /// When something saved outside was never met: the tail was cut, the stream deleted, the journal exchanged. When a signature saved outside
    /// is not good. When no key that the reader trusts signs the journal.
    pub fn finish(mut self) -> Result<Verified, ChainError> {
        let mut archived = std::mem::take(&mut self.gaps).end()?;
        self.meet_unmet_heads(&archived)?;
        if let Some(saved) = self.roots.values().flatten().next() {
            self.is_genuine_root(saved)?;
            return Err(unmet_root(saved, format!("has {} signed heads only: its tail was cut", self.log.tree().size())));
        }
        self.met.iter().try_for_each(|saved| self.is_genuine(saved))?;
        self.is_trusted()?;
        self.is_the_one()?;
        let signed = self.log.id().zip(self.log.active()).map(|(log, key_id)| Signed {
            log,
            key_id: key_id.clone(),
            keys: self.log.keys().cloned().collect(),
            heads: self.log.tree().size(),
            root: self.log.tree().root(),
            upto: self.upto,
        });
        archived.iter_mut().for_each(|run| run.signed = run.by <= self.upto);
        let heads = self.tips.into_iter().map(|(stream, tip)| (stream, tip.head)).collect();
        let (rows, last, hash, met, of_others) = (self.rows, self.last, self.prev, self.met_count, self.of_others);
        let (chosen, links, kept) = (self.chosen, self.links, self.kept);
        Ok(Verified { rows, last, hash, archived, heads, chosen, met, of_others, links, kept, signed })
    }
}

#[cfg(test)]
mod tests;
