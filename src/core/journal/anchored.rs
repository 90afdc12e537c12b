//! Events of the operator's stream that make its signatures part of the journal, and what they add up to.
//!
//! A head is signed over its stream, position and hash, and becomes the next leaf of one Merkle tree ([`super::merkle`]): the tree has a leaf
//! for each anchored head, in the order in which they were anchored. Signatures and roots stand in the journal itself, so an export and a
//! public key are enough to check them; they also stand outside (status, ConfigMap, log, witness), which is what finds a tail that was cut.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::merkle::Frontier;
use super::sign::{KeyId, PublicKey, Signature, Signer, leaf_of};
use super::{Event, Head, Seq, Stream};
use crate::Digest;

/// Body of `key.introduced`: the first key of a journal. The hash of this row names the log that its tree is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyIntroduced {
    /// Its name.
    pub key_id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// By itself: whoever introduced it held the private key.
    pub signature: Signature,
}

/// Body of `key.rotated`: another key signs from here on. What the old one signed stays valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRotated {
    /// Name of the key that signed so far.
    pub from: KeyId,
    /// Name of the key that signs from here on.
    pub key_id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// By the old key, over both: who trusts the old one may trust the new one.
    pub old_signature: Signature,
    /// By the new key, over both: who trusts the new one may trust what the old one signed before.
    pub new_signature: Signature,
}

/// Body of `journal.anchored`: heads that are signed from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anchored {
    /// The key that signed.
    pub key_id: KeyId,
    /// The heads, in the order of their leaves.
    pub heads: Vec<AnchoredHead>,
    /// The tree with them in it.
    pub tree: AnchoredTree,
}

/// A head of a stream, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchoredHead {
    /// The stream.
    pub stream: Stream,
    /// Position in it.
    pub seq: Seq,
    /// Hash of that row.
    pub hash: Digest,
    /// Over these three and the key's name.
    pub signature: Signature,
}

impl AnchoredHead {
    /// Position and hash.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// A root of the tree of heads, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnchoredTree {
    /// Leaves in it.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// Over log, size, root and the key's name.
    pub signature: Signature,
}

/// A root of the tree of heads as it stands outside the journal: in a line of a ConfigMap, in the operator's log, at a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostedRoot {
    /// Names the log: the hash of the row that introduced its first key.
    pub log: Digest,
    /// Heads in the tree.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// The key that signed.
    pub key_id: KeyId,
    /// Over log, size, root and the key's name.
    pub signature: Signature,
    /// Heads in the tree of the root before this one.
    pub before: u64,
    /// RFC 9162 consistency proof from that root to this one.
    pub proof: Vec<Digest>,
    /// Time of the row that the root stands in, RFC 3339 in UTC with microseconds.
    pub time: String,
}

/// What the events above add up to: the keys, and the tree so far. Memory grows with the keys and the logarithm of the heads.
#[derive(Clone, Debug, Default)]
pub struct SignedLog {
    id: Option<Digest>,
    keys: BTreeMap<KeyId, PublicKey>,
    active: Option<KeyId>,
    tree: Frontier,
}

impl SignedLog {
    /// Hash of the row that introduced the first key: names this log and no other.
    pub const fn id(&self) -> Option<Digest> {
        self.id
    }

    /// The key that signs.
    pub const fn active(&self) -> Option<&KeyId> {
        self.active.as_ref()
    }

    /// The key of this name, if it is or was one of this log's.
    pub fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.keys.get(id)
    }

    /// Names of all keys, present and past.
    pub fn keys(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    /// The tree so far.
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// Takes in an event of the operator's stream; `hash` is its row's. Others than those about keys and heads change nothing.
    ///
    /// Checks the change of keys and the root. The signatures of heads and root are [`SignedLog::check`]'s, which costs far more.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn apply(&mut self, hash: Digest, event: &Event) -> Result<(), String> {
        if let Event::KeyIntroduced(introduced) = event {
            self.introduce(hash, introduced)
        } else if let Event::KeyRotated(rotated) = event {
            self.rotate(rotated)
        } else if let Event::JournalAnchored(anchored) = event {
            self.grow(anchored)
        } else {
            Ok(())
        }
    }

    fn introduce(&mut self, hash: Digest, introduced: &KeyIntroduced) -> Result<(), String> {
        let KeyIntroduced { key_id, public_key, signature } = introduced;
        if let Some(active) = &self.active {
            return Err(format!("key {key_id} is introduced where {active} signs: a key follows another by key.rotated only"));
        }
        named(key_id, public_key)?;
        if !public_key.signed_change(None, public_key, signature) {
            return Err(format!("key {key_id} is introduced without a signature by itself"));
        }
        (self.id, self.active) = (Some(hash), Some(key_id.clone()));
        self.keys.insert(key_id.clone(), *public_key);
        Ok(())
    }

    fn rotate(&mut self, rotated: &KeyRotated) -> Result<(), String> {
        let KeyRotated { from, key_id, public_key, old_signature, new_signature } = rotated;
        let old = self.signing(from)?;
        named(key_id, public_key)?;
        if !old.signed_change(Some(old), public_key, old_signature) {
            return Err(format!("key {key_id} follows {from}, which did not sign that"));
        }
        if !public_key.signed_change(Some(old), public_key, new_signature) {
            return Err(format!("key {key_id} follows {from} without a signature of its own"));
        }
        self.active = Some(key_id.clone());
        self.keys.insert(key_id.clone(), *public_key);
        Ok(())
    }

    fn grow(&mut self, anchored: &Anchored) -> Result<(), String> {
        self.signing(&anchored.key_id)?;
        for AnchoredHead { stream, seq, hash, .. } in &anchored.heads {
            let leaf = leaf_of(stream, &Head { seq: *seq, hash: *hash }, &anchored.key_id).map_err(|error| error.to_string())?;
            self.tree.push(leaf);
        }
        let (size, root) = (self.tree.size(), self.tree.root());
        let AnchoredTree { size: said_size, root: said_root, .. } = &anchored.tree;
        if (size, root) == (*said_size, *said_root) {
            return Ok(());
        }
        Err(format!("it says that the tree has size {said_size} and root {said_root}, but with its heads it has {size} and {root}"))
    }

    fn signing(&self, id: &KeyId) -> Result<&PublicKey, String> {
        match &self.active {
            Some(active) if active == id => self.keys.get(id).ok_or_else(|| format!("key {id} was never introduced")),
            Some(active) => Err(format!("key {id} does not sign here, {active} does")),
            None => Err(format!("key {id} was never introduced")),
        }
    }

    /// Whether the signatures in `anchored`, which was taken in by [`SignedLog::apply`], are good.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn check(&self, anchored: &Anchored) -> Result<(), String> {
        let key = self.signing(&anchored.key_id)?;
        for head in &anchored.heads {
            if !key.signed_head(&head.stream, &head.head(), &head.signature) {
                let AnchoredHead { stream, seq, .. } = head;
                return Err(format!("the signature of stream {} at {} is not by key {}", stream.as_str(), seq.0, anchored.key_id));
            }
        }
        let AnchoredTree { size, root, signature } = &anchored.tree;
        let good = self.id.is_some_and(|log| key.signed_tree(&log, *size, root, signature));
        if good { Ok(()) } else { Err(format!("the signature of the root of {size} heads is not by key {}", anchored.key_id)) }
    }

    /// Has this key sign from here on: the event to journal; None where it signs already.
    ///
    /// # Errors
    /// When the key that signs is not among `held`, for a person: nobody else can vouch for the next one.
    pub fn begin(&self, with: &Signer, held: &[Signer]) -> Result<Option<Event>, String> {
        let failed = |error: serde_json::Error| error.to_string();
        let to = with.public();
        let (key_id, public_key) = (with.id().clone(), *to);
        match &self.active {
            Some(active) if active == with.id() => Ok(None),
            None => {
                let signature = with.change(None, to).map_err(failed)?;
                Ok(Some(Event::KeyIntroduced(KeyIntroduced { key_id, public_key, signature })))
            }
            Some(active) => {
                let old = held.iter().find(|signer| signer.id() == active).ok_or_else(|| {
                    format!("the journal is signed by key {active}, which is not among the keys given: only it can vouch for key {key_id}")
                })?;
                let from = Some(old.public());
                let (old_signature, new_signature) = (old.change(from, to).map_err(failed)?, with.change(from, to).map_err(failed)?);
                Ok(Some(Event::KeyRotated(KeyRotated { from: active.clone(), key_id, public_key, old_signature, new_signature })))
            }
        }
    }

    /// Signs these heads: the event to journal, and the proof that the tree with them begins with the tree without.
    ///
    /// # Errors
    /// When `with` is not the key that signs; what was signed is then nothing.
    pub fn anchor(&self, with: &Signer, heads: &[(Stream, Head)]) -> Result<(Anchored, Vec<Digest>), String> {
        let failed = |error: serde_json::Error| error.to_string();
        self.signing(with.id())?;
        let log = self.id.ok_or_else(|| "no key was introduced".to_owned())?;
        let (mut tree, mut leaves, mut signed) = (self.tree.clone(), Vec::with_capacity(heads.len()), Vec::with_capacity(heads.len()));
        for (stream, head) in heads {
            leaves.push(leaf_of(stream, head, with.id()).map_err(failed)?);
            let signature = with.head(stream, head).map_err(failed)?;
            signed.push(AnchoredHead { stream: stream.clone(), seq: head.seq, hash: head.hash, signature });
        }
        let proof = tree.extend(&leaves);
        let (size, root) = (tree.size(), tree.root());
        let signature = with.tree(&log, size, &root).map_err(failed)?;
        Ok((Anchored { key_id: with.id().clone(), heads: signed, tree: AnchoredTree { size, root, signature } }, proof))
    }
}

fn named(id: &KeyId, key: &PublicKey) -> Result<(), String> {
    let own = key.id();
    if *id == own { Ok(()) } else { Err(format!("key {own} is called {id}")) }
}
