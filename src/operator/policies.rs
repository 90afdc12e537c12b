//! Which policy sets are in force.
//!
//! Architecture invariant: a set is in force when its activation is journaled, and stays so until a valid edit or its deletion. What is
//! in force after a restart comes from the journal and the artifact store, never from a status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use reeve_core::Digest;
use reeve_core::policy::ActiveSet;

use crate::gone::Gone;
use crate::scope::Scope;

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
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    sets: BTreeMap<(String, String), InForce>,
    gone: Gone,
}

impl Policies {
    /// Puts a set in force, unless its object is known to be gone.
    pub(crate) fn activate(&self, namespace: &str, name: &str, set: InForce) {
        let mut held = self.write();
        if !held.gone.knows(&set.uid) {
            held.sets.insert((namespace.to_owned(), name.to_owned()), set);
        }
    }

    /// Takes the set of this UID out of force: its object is gone. Another of the same name stays.
    pub(crate) fn remove(&self, uid: &str) {
        let mut held = self.write();
        held.gone.remember(uid);
        held.sets.retain(|_, set| set.uid != uid);
    }

    /// UIDs of the sets in force in this scope.
    pub(crate) fn uids(&self, scope: &Scope) -> BTreeSet<String> {
        self.read().sets.iter().filter(|((namespace, _), _)| scope.covers(namespace)).map(|(_, set)| set.uid.clone()).collect()
    }

    /// The set of this name that is in force.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<InForce> {
        self.read().sets.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The sets that a run of `namespace` is judged by: the operator's, then its own. None of the operator's means that nothing is allowed.
    pub(crate) fn applying(&self, own: &str, namespace: &str) -> Arc<[ActiveSet]> {
        let held = self.read();
        let of = |wanted: &str| {
            held.sets.iter().filter(|((place, _), _)| place == wanted).map(|(_, in_force)| in_force.set.clone()).collect::<Vec<_>>()
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

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use reeve_core::policy::{CompiledSet, Mode, Scope as PolicyScope};

    use super::*;

    fn set(uid: &str) -> InForce {
        let compiled = Arc::new(CompiledSet::parse(&reeve_core::policy::default_spec().unwrap().cedar).unwrap());
        let digest = Digest::of("text");
        let set = ActiveSet { name: "n/s".to_owned(), digest, scope: PolicyScope::Namespace, mode: Mode::Enforce, compiled };
        InForce { uid: uid.to_owned(), digest, policies: 1, set }
    }

    #[test]
    fn a_late_deletion_leaves_the_set_that_was_made_anew() {
        let policies = Policies::default();
        policies.activate("n", "s", set("old"));
        policies.activate("n", "s", set("new"));
        policies.remove("old");
        assert_eq!(policies.get("n", "s").unwrap().uid, "new");
        policies.remove("new");
        assert!(policies.get("n", "s").is_none());
    }

    #[test]
    fn a_set_that_is_gone_never_comes_into_force_again() {
        let policies = Policies::default();
        policies.remove("old");
        policies.activate("n", "s", set("old"));
        assert!(policies.get("n", "s").is_none());
    }

    #[test]
    fn a_scope_knows_its_own_sets_only() {
        let policies = Policies::default();
        policies.activate("a", "s", set("in-a"));
        policies.activate("b", "s", set("in-b"));
        assert_eq!(policies.uids(&Scope::All).len(), 2);
        assert_eq!(policies.uids(&Scope::Namespace("a".to_owned())), BTreeSet::from(["in-a".to_owned()]));
    }
}
