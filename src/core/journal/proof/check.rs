//! Checking a proof, with nothing but itself and what the outsider holds.

use serde::Serialize;

use super::{Consistency, Held, Inclusion, KeyHistory, Proof, ProvedHead, ProvedRoot};
use crate::Digest;
use crate::journal::anchored::SignedLog;
use crate::journal::sign::{KeyId, PublicKey, leaf_of};
use crate::journal::{Event, SavedRoot, Seq, SignatureOf, Stream, merkle};

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "proved")]
pub enum Proved {
    /// A head is under a root.
    Inclusion {
        /// The log.
        log: Digest,
        /// The run's UID.
        stream: Stream,
        /// Its row.
        seq: Seq,
        /// Hash of that row.
        hash: Digest,
        /// Place of its leaf, from 0.
        index: u64,
        /// Heads in the tree.
        size: u64,
        /// Its root.
        root: Digest,
        /// The key that signed the root.
        key_id: KeyId,
        /// Whether the root is one of those that were saved elsewhere.
        root_saved: bool,
    },
    /// A root extends another.
    Consistency {
        /// The log.
        log: Digest,
        /// Heads in the earlier tree.
        from_size: u64,
        /// Its root.
        from_root: Digest,
        /// Whether it is one of those that were saved elsewhere.
        from_saved: bool,
        /// Heads in the later tree.
        to_size: u64,
        /// Its root.
        to_root: Digest,
        /// Whether it is one of those that were saved elsewhere.
        to_saved: bool,
        /// The key that signed the later root.
        key_id: KeyId,
    },
}

/// The first thing that is wrong with a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A key is not what it is called, or nobody vouched for it.
    #[error("keys: {0}")]
    Keys(String),
    /// No key is one that the reader trusts.
    #[error("keys: expected {trusted}, which was given, or one that follows from it; found {found}")]
    Untrusted {
        /// Names of the keys given.
        trusted: String,
        /// Names of the keys of the proof.
        found: String,
    },
    /// A root is not signed by the key that it names.
    #[error("{which}: the signature of the root of {size} heads is not by key {key_id}")]
    RootSignature {
        /// Field.
        which: &'static str,
        /// Heads.
        size: u64,
        /// The key.
        key_id: KeyId,
    },
    /// The head is not signed by the key that it names.
    #[error("head: the signature of run {stream} at {seq} is not by key {key_id}")]
    HeadSignature {
        /// The run.
        stream: String,
        /// Its row.
        seq: u64,
        /// The key.
        key_id: KeyId,
    },
    /// The leaf is another head's.
    #[error("leaf: the head hashes to {computed}, but the leaf is {named}")]
    Leaf {
        /// What the head gives.
        computed: Digest,
        /// What the proof says.
        named: Digest,
    },
    /// The tree has no such leaf.
    #[error("leaf: index {index}, counted from 0, is not in a tree of {size}")]
    Index {
        /// As named.
        index: u64,
        /// Leaves.
        size: u64,
    },
    /// The path is too short or too long.
    #[error("path: expected {expected} hashes, found {found}")]
    PathLength {
        /// Hashes that lead there.
        expected: String,
        /// Hashes that are there.
        found: usize,
    },
    /// The path ends elsewhere.
    #[error("path: it leads to {reached}, but the root of {size} heads is {root}")]
    Path {
        /// Where it leads.
        reached: Digest,
        /// Heads.
        size: u64,
        /// The root.
        root: Digest,
    },
    /// The later tree is not larger.
    #[error("to: a root of {to} heads does not extend one of {from}")]
    NotLater {
        /// Heads in the earlier tree.
        from: u64,
        /// Heads in the later tree.
        to: u64,
    },
    /// What was saved elsewhere says otherwise.
    #[error("{0}")]
    Saved(String),
}

impl Proof {
    /// Checks it against what the reader holds.
    ///
    /// # Errors
    /// The first thing that is wrong: in the keys, the roots' signatures, the head, the path, or against what was saved elsewhere.
    pub fn check(&self, held: &Held) -> Result<Proved, ProofError> {
        match self {
            Proof::Inclusion(inclusion) => inclusion.check(held),
            Proof::Consistency(consistency) => consistency.check(held),
        }
    }
}

impl Inclusion {
    fn check(&self, held: &Held) -> Result<Proved, ProofError> {
        let Inclusion { log, keys, head, leaf, root, path } = self;
        let signed = keys.check(log, held)?;
        root.check("root", log, &signed)?;
        let ProvedHead { stream, seq, hash, key_id, signature } = head;
        let by = signed.key(key_id).ok_or_else(|| unknown("head", key_id))?;
        if !by.signed_head(stream, &head.head(), signature) {
            return Err(ProofError::HeadSignature { stream: stream.as_str().to_owned(), seq: seq.0, key_id: key_id.clone() });
        }
        let computed = leaf_of(stream, &head.head(), key_id).map_err(|error| ProofError::Keys(error.to_string()))?;
        if computed != leaf.hash {
            return Err(ProofError::Leaf { computed, named: leaf.hash });
        }
        let (index, size) = (leaf.index, root.size);
        let expected = merkle::path_length(index, size).ok_or(ProofError::Index { index, size })?;
        let reached = merkle::root_above(computed, index, size, path)
            .ok_or_else(|| ProofError::PathLength { expected: expected.to_string(), found: path.len() })?;
        if reached != root.root {
            return Err(ProofError::Path { reached, size, root: root.root });
        }
        let root_saved = root.meet(log, &signed, held)?;
        if !root_saved && !held.roots.is_empty() {
            return Err(unmet(&[root], log, held));
        }
        self.meet_heads(held)?;
        Ok(Proved::Inclusion {
            log: *log,
            stream: stream.clone(),
            seq: *seq,
            hash: *hash,
            index,
            size,
            root: root.root,
            key_id: root.key_id.clone(),
            root_saved,
        })
    }

    fn meet_heads(&self, held: &Held) -> Result<(), ProofError> {
        let ProvedHead { stream, seq, hash, .. } = &self.head;
        let other = held.heads.iter().find(|saved| (&saved.stream, saved.head.seq) == (stream, *seq) && saved.head.hash != *hash);
        let Some(saved) = other else { return Ok(()) };
        Err(ProofError::Saved(format!(
            "{} has run {} at {} as {}, the proof as {hash}",
            saved.from,
            stream.as_str(),
            seq.0,
            saved.head.hash
        )))
    }
}

impl Consistency {
    fn check(&self, held: &Held) -> Result<Proved, ProofError> {
        let Consistency { log, keys, from, to, path } = self;
        let signed = keys.check(log, held)?;
        from.check("from", log, &signed)?;
        to.check("to", log, &signed)?;
        if from.size == 0 || from.size >= to.size {
            return Err(ProofError::NotLater { from: from.size, to: to.size });
        }
        let (before, after) = merkle::roots_above((from.size, from.root), to.size, path).ok_or_else(|| ProofError::PathLength {
            expected: format!("those from {} heads to {}", from.size, to.size),
            found: path.len(),
        })?;
        for (reached, root) in [(before, from), (after, to)] {
            if reached != root.root {
                return Err(ProofError::Path { reached, size: root.size, root: root.root });
            }
        }
        let (from_saved, to_saved) = (from.meet(log, &signed, held)?, to.meet(log, &signed, held)?);
        if !from_saved && !to_saved && !held.roots.is_empty() {
            return Err(unmet(&[from, to], log, held));
        }
        Ok(Proved::Consistency {
            log: *log,
            from_size: from.size,
            from_root: from.root,
            from_saved,
            to_size: to.size,
            to_root: to.root,
            to_saved,
            key_id: to.key_id.clone(),
        })
    }
}

impl KeyHistory {
    /// The log's keys, one of which the reader trusts.
    fn check(&self, log: &Digest, held: &Held) -> Result<SignedLog, ProofError> {
        let mut signed = SignedLog::default();
        signed.apply(*log, &Event::KeyIntroduced(self.introduced.clone())).map_err(ProofError::Keys)?;
        for rotated in &self.rotated {
            // The row's hash names the log, and only the first key's row does.
            signed.apply(*log, &Event::KeyRotated(rotated.clone())).map_err(ProofError::Keys)?;
        }
        if held.keys.iter().any(|key| signed.key(&key.id()).is_some()) {
            return Ok(signed);
        }
        let list = |ids: Vec<String>| ids.join(", ");
        let trusted = list(held.keys.iter().map(|key| key.id().to_string()).collect());
        Err(ProofError::Untrusted { trusted, found: list(signed.keys().map(ToString::to_string).collect()) })
    }
}

impl ProvedRoot {
    fn check(&self, which: &'static str, log: &Digest, signed: &SignedLog) -> Result<(), ProofError> {
        let ProvedRoot { size, root, key_id, signature } = self;
        let key = signed.key(key_id).ok_or_else(|| unknown(which, key_id))?;
        if key.signed_tree(log, *size, root, signature) {
            return Ok(());
        }
        Err(ProofError::RootSignature { which, size: *size, key_id: key_id.clone() })
    }

    /// Whether it is one of those that were saved.
    fn meet(&self, log: &Digest, signed: &SignedLog, held: &Held) -> Result<bool, ProofError> {
        let mut met = false;
        for saved in held.roots.iter().filter(|saved| saved.log == *log && saved.size == self.size) {
            is_genuine(saved, signed)?;
            if saved.root != self.root {
                return Err(ProofError::Saved(format!(
                    "{} has the root {} of {} heads, the proof {}: the log was forked",
                    saved.from, saved.root, saved.size, self.root
                )));
            }
            met = true;
        }
        Ok(met)
    }
}

/// What was saved must be signed too: anybody can write a file.
fn is_genuine(saved: &SavedRoot, signed: &SignedLog) -> Result<(), ProofError> {
    let SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, from } = saved;
    let good = |key: &PublicKey| key.signed_tree(log, *size, root, signature);
    if signed.key(key_id).is_some_and(good) {
        return Ok(());
    }
    Err(ProofError::Saved(format!("{from}: the signature of the root of {size} heads is not by a key of this log: it was forged")))
}

fn unknown(which: &str, key_id: &KeyId) -> ProofError {
    ProofError::Keys(format!("{which} is signed by key {key_id}, which is none of the log's"))
}

fn unmet(roots: &[&ProvedRoot], log: &Digest, held: &Held) -> ProofError {
    let sizes: Vec<String> = roots.iter().map(|root| root.size.to_string()).collect();
    let mut saved: Vec<u64> = held.roots.iter().filter(|saved| saved.log == *log).map(|saved| saved.size).collect();
    saved.sort_unstable();
    saved.dedup();
    let found = match (saved.first(), saved.last()) {
        (Some(first), Some(last)) => format!("those of this log have {} sizes from {first} to {last}", saved.len()),
        (None, _) | (_, None) => format!("all are of other logs than {log}"),
    };
    ProofError::Saved(format!("no root of {} heads is among those that were saved: {found}", sizes.join(" or ")))
}
