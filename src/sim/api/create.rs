//! POST.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::admission::Operation;
use super::builtin;
use super::merge::Difference;
use super::meta;
use super::ownership::{Ignored, Owners};
use super::request::{Target, key};
use super::server::{ApiServer, Asked};
use super::status::{About, Failure};
use super::write::{fits, parse};

impl ApiServer {
    pub(crate) fn create(&mut self, asked: &Asked<'_>, target: &Target<'_>, body: &Bytes) -> Result<(u16, Arc<Value>), Failure> {
        if target.kind.namespaced && target.namespace.is_empty() {
            return Err(Failure::method_not_allowed("the server does not allow this method on the requested resource"));
        }
        let object = parse(target, body)?;
        self.create_object(asked, target, object)
    }

    /// Makes an object as it was sent.
    pub(crate) fn create_object(
        &mut self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        mut object: Value,
    ) -> Result<(u16, Arc<Value>), Failure> {
        if !meta::text(&object, "generateName").is_empty() && meta::text(&object, "name").is_empty() {
            // A retried POST would make a second object, so Reeve never asks for one, and no answer here would be right.
            return Err(Failure::bad_request("the simulator makes up no names: metadata.generateName is not served"));
        }
        strip(&mut object);
        target.kind.complete(&mut object);
        if target.kind.placeable(&object) {
            let api_version = target.kind.api_version();
            let writer = self.writer(asked, target, &api_version, "Update");
            let mut owners = Owners::default();
            let empty = builtin::empty(target.kind);
            let difference = Difference::between(&empty, &object, &target.kind.shape);
            owners.updated(&difference, &writer, &Ignored::for_writes_of("", target.kind.rules.status));
            owners.write(&mut object, &Owners::default(), asked.now);
        }
        self.insert(asked, target, object)
    }

    /// Makes an object whose owners are known: the rest of a POST, and of an apply or update of what is not there.
    pub(crate) fn insert(&mut self, asked: &Asked<'_>, target: &Target<'_>, mut object: Value) -> Result<(u16, Arc<Value>), Failure> {
        let name = meta::text(&object, "name").to_owned();
        let about = About { name: &name, ..target.about() };
        self.in_namespace(target, &name)?;
        self.mutate(asked, target, &mut object, None)?;
        let uid = self.next_uid();
        let metadata = meta::of(&mut object);
        metadata.insert("uid".to_owned(), Value::from(uid));
        metadata.insert("creationTimestamp".to_owned(), meta::seconds(asked.now));
        if target.kind.rules.generation {
            metadata.insert("generation".to_owned(), Value::from(1));
        }
        if target.kind.rules.status && target.kind.rules.custom {
            remove(&mut object, "status");
        }
        if target.kind.plural == "namespaces" {
            namespace(&mut object, &name);
        }
        meta::tidy(&mut object);
        let mut causes = meta::validate(&object, target.kind);
        causes.extend(target.kind.validate(&object, None, ""));
        if !causes.is_empty() {
            return Err(Failure::invalid(about, &causes));
        }
        self.admit(asked, target, Operation::Create, Some(&object), None)?;
        let key = key(target.kind, target.namespace, &name);
        if let Some(found) = self.store.get(&key) {
            let mut failure = Failure::already_exists(about);
            if meta::is_ending(found) {
                failure.message = format!("object is being deleted: {}", failure.message);
            }
            return Err(failure);
        }
        fits(&object)?;
        if asked.query.dry_run() {
            return Ok((201, Arc::new(object)));
        }
        if !meta::text(&object, "resourceVersion").is_empty() {
            return Err(Failure::unforeseen("resourceVersion should not be set on objects to be created"));
        }
        Ok((201, self.store.put(key, object)))
    }
}

/// Drops from the metadata what only the server sets.
fn strip(object: &mut Value) {
    let metadata = meta::of(object);
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields"] {
        metadata.remove(field);
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

fn namespace(object: &mut Value, name: &str) {
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = Value::from(name);
    object["spec"] = json!({ "finalizers": ["kubernetes"] });
    object["status"] = json!({ "phase": "Active" });
}
