//! Which policy sets are in force.
//!
//! Architecture invariant: a set is in force when its activation is journaled, and stays so until a valid edit or its deletion. What is
//! in force after a restart comes from the journal and the artifact store, never from a status.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use reeve_core::Digest;
use reeve_core::policy::ActiveSet;

/// A set in force.
#[derive(Clone)]
pub(crate) struct InForce {
    /// UID of the PolicySet.
    pub(crate) uid: String,
    /// Digest of its canonical spec.
    pub(crate) digest: Digest,
    /// Policies in it.
    pub(crate) policies: usize,
    /// What judges.
    pub(crate) set: ActiveSet,
}

/// Sets in force by namespace and name.
#[derive(Default)]
pub(crate) struct Policies {
    sets: RwLock<BTreeMap<(String, String), InForce>>,
}

impl Policies {
    /// Puts a set in force.
    pub(crate) fn activate(&self, namespace: &str, name: &str, set: InForce) {
        self.sets.write().unwrap_or_else(PoisonError::into_inner).insert((namespace.to_owned(), name.to_owned()), set);
    }

    /// Takes a set out of force: its object is gone.
    pub(crate) fn remove(&self, namespace: &str, name: &str) {
        self.sets.write().unwrap_or_else(PoisonError::into_inner).remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The set of this name that is in force.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<InForce> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The sets that a run of `namespace` is judged by: the operator's, then its own. None of the operator's means that nothing is allowed.
    pub(crate) fn applying(&self, own: &str, namespace: &str) -> Arc<[ActiveSet]> {
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner);
        let of = |wanted: &str| {
            sets.iter().filter(|((place, _), _)| place == wanted).map(|(_, in_force)| in_force.set.clone()).collect::<Vec<_>>()
        };
        let mut applying = of(own);
        if applying.is_empty() {
            return Arc::from(applying);
        }
        if namespace != own {
            applying.extend(of(namespace));
        }
        Arc::from(applying)
    }
}
