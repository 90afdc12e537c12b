//! What one proof shows an outsider who has neither journal nor database: that a head of a run is in the tree of signed heads, or that a root
//! of that tree extends an earlier one.
//!
//! A proof carries all that it takes to check it but two things, which the reader brings: a public key that they trust, and, so that they
//! need not believe that there is one tree only, the root as it was saved elsewhere (a ConfigMap, a line of the log, a witness).
//!
//! Against whom it stands: whoever made the proof, and holds the journal, the database and the cluster. Against the holder of the key it stands
//! as far as the root was saved where they could not write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::anchored::{AnchoredHead, KeyIntroduced, KeyRotated, SignedLog};
use super::merkle;
use super::sign::{KeyId, PublicKey, Signature, leaf_of};
use super::{Event, Head, Row, SavedHead, SavedRoot, Seq, Stream};
use crate::Digest;

mod check;

pub use check::{ProofError, Proved};

/// A proof, as it stands in a file. Its `v` says what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum Proof {
    /// A head is in the tree.
    #[serde(rename = "reeve.dev/journal-inclusion/v1")]
    Inclusion(Inclusion),
    /// A tree extends another.
    #[serde(rename = "reeve.dev/journal-consistency/v1")]
    Consistency(Consistency),
}

/// Shows that a head is in the tree of signed heads (RFC 9162, section 2.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inclusion {
    /// Names the log: the hash of the row that introduced its first key.
    pub log: Digest,
    /// The log's keys.
    pub keys: KeyHistory,
    /// The head.
    pub head: ProvedHead,
    /// The head's leaf.
    pub leaf: ProvedLeaf,
    /// The root that it is under.
    pub root: ProvedRoot,
    /// Hashes from the leaf to the root.
    pub path: Vec<Digest>,
}

/// Shows that a root's tree begins with an earlier root's (RFC 9162, section 2.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consistency {
    /// Names the log: the hash of the row that introduced its first key.
    pub log: Digest,
    /// The log's keys.
    pub keys: KeyHistory,
    /// The earlier root.
    pub from: ProvedRoot,
    /// The later root.
    pub to: ProvedRoot,
    /// Hashes that lead to both.
    pub path: Vec<Digest>,
}

/// The keys that a log had, each vouched for by the one before it and vouching for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyHistory {
    /// The first.
    pub introduced: KeyIntroduced,
    /// Those that followed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotated: Vec<KeyRotated>,
}

/// A head of a stream, signed by the key that signed when it was anchored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvedHead {
    /// The stream: a run's UID.
    pub stream: Stream,
    /// Position of the row in it.
    pub seq: Seq,
    /// Hash of the row.
    pub hash: Digest,
    /// The key that signed.
    pub key_id: KeyId,
    /// Over these four.
    pub signature: Signature,
}

impl ProvedHead {
    /// Position and hash.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// A leaf of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvedLeaf {
    /// Its place, from 0.
    pub index: u64,
    /// Its hash.
    pub hash: Digest,
}

/// A signed root of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvedRoot {
    /// Heads in the tree.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// The key that signed.
    pub key_id: KeyId,
    /// Over log, size, root and the key's name.
    pub signature: Signature,
}

/// What an outsider has of a log, and holds a proof to.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Keys that they trust: one must be among the log's.
    pub keys: Vec<PublicKey>,
    /// Roots that were saved elsewhere: if there are any, the proof must be about one of them.
    pub roots: Vec<SavedRoot>,
    /// Heads that were saved elsewhere: none may say otherwise than the proof.
    pub heads: Vec<SavedHead>,
}

/// Why there is no proof of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// Nothing is signed.
    #[error("the journal has no signed head: it has no key, or nothing was anchored yet")]
    Unsigned,
    /// The stream has no such head.
    #[error("no head of run {0} {1}")]
    NoHead(String, String),
    /// There is no such root.
    #[error("no root of {size} heads was signed: the nearest are those of {near}")]
    NoRoot {
        /// As asked.
        size: u64,
        /// Sizes next to it.
        near: String,
    },
    /// The order is another.
    #[error("a root extends one that is smaller: expected --from below {to}, found {from}")]
    NotLater {
        /// The earlier size.
        from: u64,
        /// The later size.
        to: u64,
    },
}

/// Makes proofs, from the events of the operator's stream. Memory grows with the signed heads.
#[derive(Clone, Debug, Default)]
pub struct Prover {
    log: SignedLog,
    introduced: Option<KeyIntroduced>,
    rotated: Vec<KeyRotated>,
    leaves: Vec<Digest>,
    heads: Vec<(AnchoredHead, KeyId)>,
    /// By size.
    roots: BTreeMap<u64, ProvedRoot>,
}

impl Prover {
    /// Takes in the next row of the operator's stream. Its signatures are checked when something is proved with them.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn row(&mut self, row: &Row) -> Result<(), String> {
        if !matches!(row.kind.as_str(), "key.introduced" | "key.rotated" | "journal.anchored") {
            return Ok(());
        }
        let event = row.event().map_err(|error| error.to_string())?;
        self.log.apply(row.hash, &event)?;
        if let Event::KeyIntroduced(introduced) = event {
            self.introduced = Some(introduced);
        } else if let Event::KeyRotated(rotated) = event {
            self.rotated.push(rotated);
        } else if let Event::JournalAnchored(anchored) = event {
            let key_id = anchored.key_id;
            for head in anchored.heads {
                self.leaves.push(leaf_of(&head.stream, &head.head(), &key_id).map_err(|error| error.to_string())?);
                self.heads.push((head, key_id.clone()));
            }
            let (size, root, signature) = (anchored.tree.size, anchored.tree.root, anchored.tree.signature);
            self.roots.insert(size, ProvedRoot { size, root, key_id, signature });
        }
        Ok(())
    }

    /// That the last signed head of this stream, or the one at `seq`, is under the root of `size` heads, or under the last.
    ///
    /// # Errors
    /// [`NoProof`].
    pub fn inclusion(&self, stream: &Stream, seq: Option<Seq>, size: Option<u64>) -> Result<Proof, NoProof> {
        let (log, keys) = self.keys()?;
        let root = self.root(size)?;
        let within = self.heads.iter().enumerate().take(usize::try_from(root.size).unwrap_or(usize::MAX));
        let of_stream: Vec<_> = within.filter(|(_, (head, _))| head.stream == *stream).collect();
        let found = of_stream.iter().rev().find(|(_, (head, _))| seq.is_none_or(|seq| head.seq == seq));
        let Some((index, (head, key_id))) = found else {
            let signed: Vec<String> = of_stream.iter().map(|(_, (head, _))| head.seq.0.to_string()).collect();
            let why = match (signed.is_empty(), seq) {
                (false, Some(seq)) => format!("at {} is signed under it, but at {}", seq.0, signed.join(", ")),
                (false, None) | (true, _) => format!("is under the root of {} signed heads", root.size),
            };
            return Err(NoProof::NoHead(stream.as_str().to_owned(), why));
        };
        let AnchoredHead { stream, seq, hash, signature } = head.clone();
        let (index, within) = (*index as u64, self.leaves.get(..root.size as usize).unwrap_or_default());
        let (leaf, path) = self.leaves.get(index as usize).copied().zip(merkle::prove_inclusion(within, index)).ok_or(NoProof::Unsigned)?;
        Ok(Proof::Inclusion(Inclusion {
            log,
            keys,
            head: ProvedHead { stream, seq, hash, key_id: key_id.clone(), signature },
            leaf: ProvedLeaf { index, hash: leaf },
            root,
            path,
        }))
    }

    /// That the root of `to` heads, or the last one, extends the root of `from` heads.
    ///
    /// # Errors
    /// [`NoProof`].
    pub fn consistency(&self, from: u64, to: Option<u64>) -> Result<Proof, NoProof> {
        let (log, keys) = self.keys()?;
        let (to, from) = (self.root(to)?, self.root(Some(from))?);
        if from.size >= to.size {
            return Err(NoProof::NotLater { from: from.size, to: to.size });
        }
        let leaves = self.leaves.get(..to.size as usize).unwrap_or_default();
        let path = merkle::prove_consistency(leaves, from.size).ok_or(NoProof::Unsigned)?;
        Ok(Proof::Consistency(Consistency { log, keys, from, to, path }))
    }

    fn keys(&self) -> Result<(Digest, KeyHistory), NoProof> {
        let (log, introduced) = self.log.id().zip(self.introduced.clone()).ok_or(NoProof::Unsigned)?;
        Ok((log, KeyHistory { introduced, rotated: self.rotated.clone() }))
    }

    fn root(&self, size: Option<u64>) -> Result<ProvedRoot, NoProof> {
        let Some(size) = size else { return self.roots.values().next_back().cloned().ok_or(NoProof::Unsigned) };
        if self.roots.is_empty() {
            return Err(NoProof::Unsigned);
        }
        let around = self.roots.range(..size).next_back().into_iter().chain(self.roots.range(size..).next());
        let near = || around.map(|(size, _)| size.to_string()).collect::<Vec<_>>().join(" and ");
        self.roots.get(&size).cloned().ok_or_else(|| NoProof::NoRoot { size, near: near() })
    }
}

#[cfg(test)]
mod tests;
