//! Artifacts in this process's memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reeve_core::Digest;

use super::Name;
use crate::StoreError;

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    bytes: BTreeMap<Digest, Vec<u8>>,
    names: BTreeMap<String, Digest>,
}

impl Memory {
    pub(super) fn put(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.shelves().bytes.insert(digest, bytes);
        digest
    }

    /// Needs no check: nothing but [`Memory::put`] writes here, under the digest that it computed.
    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.shelves().bytes.get(digest).cloned().ok_or(StoreError::Missing { digest: *digest })
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.shelves().bytes.contains_key(digest)
    }

    pub(super) fn point(&self, name: Name<'_>, digest: Digest) {
        self.shelves().names.insert(name.0.to_owned(), digest);
    }

    pub(super) fn pointed(&self, name: Name<'_>) -> Option<Digest> {
        self.shelves().names.get(name.0).copied()
    }

    /// Each change is one insertion, so what a panic elsewhere poisoned is whole.
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
