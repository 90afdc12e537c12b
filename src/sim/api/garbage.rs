//! The garbage collector and the end of namespaces: what controllers of Kubernetes do, a step at a time and only when asked.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::meta;
use super::server::ApiServer;

/// One thing that the collector did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// An object whose owners are all gone, or whose namespace ends, was asked to end.
    Ended(String),
    /// An object lost owners that are gone or let it go.
    Disowned(String),
    /// An object got rid of a finalizer that the collector keeps.
    Released(String),
}

impl ApiServer {
    /// Does the first thing that Kubernetes' garbage collector or namespace controller would do; none when all is clean.
    pub fn collect_garbage(&mut self, now: Timestamp) -> Option<Collected> {
        let keys: Vec<String> = self.store.all().map(|(key, _)| key.clone()).collect();
        keys.iter().find_map(|key| self.collect(now, key))
    }

    fn collect(&mut self, now: Timestamp, key: &str) -> Option<Collected> {
        let object = self.store.get(key)?.clone();
        if key.starts_with("/namespaces/") {
            return if meta::is_ending(&object) { self.empty(now, key, meta::text(&object, "name")) } else { None };
        }
        let finalizers = meta::finalizers(&object);
        if meta::is_ending(&object) && finalizers.contains(&"orphan") {
            return Some(self.orphan(key, &object));
        }
        if meta::is_ending(&object) && finalizers.contains(&"foregroundDeletion") && self.dependents(&object, true).is_empty() {
            self.release(key, (*object).clone(), "foregroundDeletion");
            return Some(Collected::Released(key.to_owned()));
        }
        self.owned(now, key, &object)
    }

    /// An object with owners: it ends with the last of them.
    fn owned(&mut self, now: Timestamp, key: &str, object: &Value) -> Option<Collected> {
        let owners = object["metadata"]["ownerReferences"].as_array()?;
        let (mut solid, mut waiting, mut dangling) = (Vec::new(), 0, 0);
        for owner in owners {
            match self.owner(object, owner) {
                None => dangling += 1,
                Some(found) if meta::is_ending(found) && meta::finalizers(found).contains(&"foregroundDeletion") => waiting += 1,
                Some(_) => solid.push(owner.clone()),
            }
        }
        if dangling + waiting == 0 {
            return None;
        }
        if !solid.is_empty() {
            let mut left = object.clone();
            left["metadata"]["ownerReferences"] = Value::Array(solid);
            self.store.put(key.to_owned(), left);
            return Some(Collected::Disowned(key.to_owned()));
        }
        if meta::is_ending(object) {
            return None;
        }
        // An owner that waits makes its dependents wait for theirs.
        let foreground = waiting > 0 && !self.dependents(object, true).is_empty();
        self.end(now, key, object, foreground);
        Some(Collected::Ended(key.to_owned()))
    }

    fn owner(&self, object: &Value, owner: &Value) -> Option<&Value> {
        let kind = self.kinds.find_kind(owner["apiVersion"].as_str()?, owner["kind"].as_str()?)?;
        let namespace = if kind.namespaced { meta::text(object, "namespace") } else { "" };
        let found = self.store.get(&super::request::key(kind, namespace, owner["name"].as_str()?))?;
        (meta::text(found, "uid") == owner["uid"]).then_some(found.as_ref())
    }

    /// Keys of objects that name this one as owner; with `blocking`, only those that keep it.
    fn dependents(&self, owner: &Value, blocking: bool) -> Vec<String> {
        let uid = meta::text(owner, "uid");
        let names = |object: &Value| {
            let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            owners.any(|owner| owner["uid"] == uid && (!blocking || owner["blockOwnerDeletion"] == true))
        };
        self.store.all().filter(|(_, object)| names(object)).map(|(key, _)| key.clone()).collect()
    }

    fn orphan(&mut self, key: &str, object: &Value) -> Collected {
        let uid = meta::text(object, "uid");
        if let Some(first) = self.dependents(object, false).into_iter().next()
            && let Some(dependent) = self.store.get(&first)
        {
            let mut left = (**dependent).clone();
            if let Some(owners) = left["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != uid);
            }
            meta::tidy(&mut left);
            self.store.put(first.clone(), left);
            return Collected::Disowned(first);
        }
        self.release(key, object.clone(), "orphan");
        Collected::Released(key.to_owned())
    }

    fn release(&mut self, key: &str, mut object: Value, finalizer: &str) {
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|name| name != finalizer);
        }
        meta::tidy(&mut object);
        if meta::has_finalizers(&object) {
            self.store.put(key.to_owned(), object);
        } else {
            self.store.remove(key);
        }
    }

    fn end(&mut self, now: Timestamp, key: &str, object: &Value, foreground: bool) {
        if !meta::has_finalizers(object) && !foreground {
            self.store.remove(key);
            return;
        }
        let mut object = object.clone();
        if foreground {
            let mut finalizers: Vec<&str> = meta::finalizers(&object);
            finalizers.push("foregroundDeletion");
            let finalizers = json!(finalizers);
            object["metadata"]["finalizers"] = finalizers;
        }
        object["metadata"]["deletionTimestamp"] = meta::seconds(now);
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        if let Some(generation) = object["metadata"]["generation"].as_u64() {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.store.put(key.to_owned(), object);
    }

    /// Takes one object out of a namespace that ends, or the namespace itself once it is empty.
    fn empty(&mut self, now: Timestamp, key: &str, name: &str) -> Option<Collected> {
        let inside = |object: &Value| meta::text(object, "namespace") == name;
        let next = self.store.all().find(|(_, object)| inside(object) && !meta::is_ending(object));
        if let Some((inner, object)) = next.map(|(inner, object)| (inner.clone(), object.clone())) {
            self.end(now, &inner, &object, false);
            return Some(Collected::Ended(inner));
        }
        if self.store.all().any(|(_, object)| inside(object)) {
            return None;
        }
        self.store.remove(key);
        Some(Collected::Released(key.to_owned()))
    }
}
