//! The objects, and what happened to them: one counter for all, as in etcd.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

/// One write: what was there and what is.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) before: Option<Arc<Value>>,
    pub(crate) after: Option<Arc<Value>>,
}

/// Objects by key `group/plural/namespace/name`, and the changes that are remembered.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    objects: BTreeMap<String, Arc<Value>>,
    version: u64,
    changes: VecDeque<Change>,
    /// Changes up to here are forgotten.
    compacted: u64,
    window: usize,
    /// Of the last change of an admission policy or binding.
    policies: u64,
}

impl Store {
    /// Remembers the last `window` changes.
    pub(crate) fn new(window: usize) -> Store {
        // A server that never wrote anything has version 1; clients take 0 for "any".
        Store { objects: BTreeMap::new(), version: 1, changes: VecDeque::new(), compacted: 0, window, policies: 0 }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn policies_version(&self) -> u64 {
        self.policies
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// All objects whose keys begin so, in the order of keys.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Arc<Value>)> {
        self.objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// All objects.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Writes an object, which gets the next version.
    pub(crate) fn put(&mut self, key: String, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        self.remember(Change { version: self.version, key, before, after: Some(Arc::clone(&object)) });
        object
    }

    /// Takes an object away; that is a version too.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Arc<Value>> {
        let gone = self.objects.remove(key)?;
        self.version += 1;
        self.remember(Change { version: self.version, key: key.to_owned(), before: Some(Arc::clone(&gone)), after: None });
        Some(gone)
    }

    fn remember(&mut self, change: Change) {
        if change.key.starts_with("admissionregistration.k8s.io/") {
            self.policies = change.version;
        }
        self.changes.push_back(change);
        while self.changes.len() > self.window {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.compacted = change.version;
        }
    }

    /// Forgets all changes up to this version.
    pub(crate) fn compact(&mut self, upto: u64) {
        while self.changes.front().is_some_and(|change| change.version <= upto) {
            self.forget_first();
        }
        self.compacted = self.compacted.max(upto.min(self.version));
    }

    /// Changes after this version, oldest first.
    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let from = self.changes.partition_point(|change| change.version <= version);
        self.changes.range(from..)
    }

    /// What lay under the prefix at an earlier version; none if that is forgotten.
    pub(crate) fn at(&self, version: u64, prefix: &str) -> Option<BTreeMap<String, Arc<Value>>> {
        if version < self.compacted {
            return None;
        }
        let mut then: BTreeMap<String, Arc<Value>> = self.under(prefix).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        let later: Vec<&Change> = self.since(version).filter(|change| change.key.starts_with(prefix)).collect();
        for change in later.into_iter().rev() {
            match &change.before {
                Some(before) => then.insert(change.key.clone(), Arc::clone(before)),
                None => then.remove(&change.key),
            };
        }
        Some(then)
    }
}
