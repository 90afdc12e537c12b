//! What was saved outside, and whether the journal meets it.

use super::{ArchivedRun, ChainError, SavedHead, SavedRoot, SignatureOf, Verifier};
use crate::journal::Stream;
use crate::journal::chain::Row;
use crate::journal::sign::{KeyId, PublicKey};

impl Verifier {
    pub(super) fn meet_head(&mut self, row: &Row) -> Result<(), ChainError> {
        let Some(saved) = self.heads.get_mut(&row.stream) else { return Ok(()) };
        let here: Vec<SavedHead> = saved.extract_if(.., |saved| saved.head.seq == row.seq).collect();
        for saved in here {
            if saved.head.hash != row.hash {
                self.is_genuine(&saved)?;
                return Err(unmet(&saved, format!("has {} there, in row {}", row.hash, row.gseq)));
            }
            self.met_count += 1;
            if saved.signature.is_some() {
                self.met.push(saved);
            }
        }
        Ok(())
    }

    /// Once it is known which log this is, it is known which roots are to be met.
    pub(super) fn sort_roots(&mut self) {
        for root in std::mem::take(&mut self.any_roots) {
            if self.log.id() == Some(root.log) {
                self.has_own_roots = true;
                self.roots.entry(root.size).or_default().push(root);
            } else {
                self.of_others += 1;
            }
        }
    }

    /// The roots saved of trees that have just been reached.
    pub(super) fn meet_roots(&mut self, before: u64) -> Result<(), ChainError> {
        let (size, root) = (self.log.tree().size(), self.log.tree().root());
        let later = self.roots.split_off(&(size + 1));
        for saved in std::mem::replace(&mut self.roots, later).into_values().flatten().filter(|saved| saved.size > before) {
            self.is_genuine_root(&saved)?;
            if (saved.size, saved.root) != (size, root) {
                let found =
                    if saved.size == size { format!("had {root} then") } else { format!("went from {before} to {size} heads at once") };
                return Err(unmet_root(&saved, found));
            }
            self.met_count += 1;
        }
        Ok(())
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.log.key(id).or_else(|| self.keys.iter().find(|key| key.id() == *id))
    }

    pub(super) fn is_genuine(&self, saved: &SavedHead) -> Result<(), ChainError> {
        let Some(SignatureOf { key_id, signature }) = &saved.signature else { return Ok(()) };
        let at = || format!("stream {} at {}", saved.stream.as_str(), saved.head.seq.0);
        match self.key(key_id) {
            Some(key) if key.signed_head(&saved.stream, &saved.head, signature) => Ok(()),
            Some(_) => Err(forged(&saved.from, format!("the signature of {} is not by key {key_id}: it was forged", at()))),
            None => Err(forged(&saved.from, format!("{} is signed by key {key_id}, which is no key of this journal", at()))),
        }
    }

    pub(super) fn is_genuine_root(&self, saved: &SavedRoot) -> Result<(), ChainError> {
        let SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, from } = saved;
        match self.key(key_id) {
            Some(key) if key.signed_tree(log, *size, root, signature) => Ok(()),
            Some(_) => Err(forged(from, format!("the signature of the root of {size} heads is not by key {key_id}: it was forged"))),
            None => Err(forged(from, format!("the root of {size} heads is signed by key {key_id}, which is no key of this journal"))),
        }
    }

    /// What was saved outside and never met must be of a run that was archived: its last row, which its `run.archived` names, or one before.
    pub(super) fn meet_unmet_heads(&mut self, archived: &[ArchivedRun]) -> Result<(), ChainError> {
        for saved in std::mem::take(&mut self.heads).into_values().flatten() {
            let found = match (self.tips.get(&saved.stream), archived.iter().find(|run| run.run == saved.stream)) {
                (Some(tip), _) => format!("ends at {}", tip.head.seq.0),
                (None, Some(run)) if saved.head == run.head => {
                    self.met_count += 1;
                    self.met.push(saved);
                    continue;
                }
                // Only the file has that row.
                (None, Some(run)) if saved.head.seq < run.head.seq => {
                    self.met.push(saved);
                    continue;
                }
                (None, Some(run)) => format!("has it archived, and it ended at {} {}", run.head.seq.0, run.head.hash),
                (None, None) => "has no such stream".to_owned(),
            };
            self.is_genuine(&saved)?;
            return Err(unmet(&saved, found));
        }
        Ok(())
    }

    /// If roots were saved, some must be this journal's.
    pub(super) fn is_the_one(&self) -> Result<(), ChainError> {
        if let Some(SavedRoot { log, size, from, .. }) = self.any_roots.first() {
            let why = format!("the root of {size} heads is of log {log}, but this journal has no key at all: it was exchanged as a whole");
            return Err(forged(from, why));
        }
        match self.log.id().filter(|_| self.of_others > 0 && !self.has_own_roots) {
            Some(own) => {
                Err(forged("what was saved", format!("no root of it is of this journal's log {own}: it was exchanged as a whole")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn is_trusted(&self) -> Result<(), ChainError> {
        let signs_nothing = self.log.tree().size() == 0 && self.tips.keys().any(|stream| *stream != Stream::operator());
        let follows = self.keys.iter().any(|key| self.log.key(&key.id()).is_some());
        if self.keys.is_empty() || follows && !signs_nothing {
            return Ok(());
        }
        let list = |ids: Vec<String>| ids.join(", ");
        let signs = list(self.log.keys().map(ToString::to_string).collect());
        let found = match (signs.is_empty(), follows) {
            (true, _) => "no key signs it".to_owned(),
            (false, true) => "the key is introduced, but no head is signed".to_owned(),
            (false, false) => format!("it is signed by {signs}"),
        };
        let trusted = list(self.keys.iter().map(|key| key.id().to_string()).collect());
        Err(ChainError::Untrusted { trusted: trusted.into(), found: found.into() })
    }
}

fn unmet(saved: &SavedHead, found: String) -> ChainError {
    let SavedHead { stream, head, from, .. } = saved;
    let (stream, from) = (stream.as_str().into(), Box::from(&**from));
    ChainError::Anchor { stream, from, anchored_seq: head.seq.0, anchored: head.hash, found: found.into() }
}

pub(super) fn unmet_root(saved: &SavedRoot, found: String) -> ChainError {
    ChainError::Root { from: Box::from(&*saved.from), size: saved.size, anchored: saved.root.into(), found: found.into() }
}

fn forged(from: &str, why: String) -> ChainError {
    ChainError::ForgedAnchor { from: from.into(), why: why.into() }
}
