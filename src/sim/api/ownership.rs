//! Who owns which field: `metadata.managedFields`, kept by every write.
//!
//! Source: kubernetes.io/docs/reference/using-api/server-side-apply.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::{FieldSet, Step};
use super::merge::{Difference, merged, pruned};
use super::shape::Shape;

/// Who writes, and by which road.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    /// `Apply` or `Update`.
    pub(crate) operation: &'static str,
    pub(crate) api_version: &'a str,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: Value,
    fields: FieldSet,
}

impl Entry {
    fn is(&self, writer: &Writer<'_>) -> bool {
        self.manager == writer.manager
            && self.operation == writer.operation
            && self.subresource == writer.subresource
            && (self.operation == "Apply" || self.api_version == writer.api_version)
    }

    /// As in the text of a conflict.
    fn conflict(&self) -> String {
        let mut text = format!("conflict with {:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

/// The owners of an object's fields. Invariant: no entry is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    entries: Vec<Entry>,
}

impl Owners {
    /// What the object's metadata says; none where it says nothing that can be read.
    pub(crate) fn of(object: &Value) -> Owners {
        let listed = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = listed.iter().filter_map(|entry| {
            let fields = FieldSet::decode(&entry["fieldsV1"])?;
            Some(Entry {
                manager: text(entry, "manager"),
                operation: text(entry, "operation"),
                api_version: text(entry, "apiVersion"),
                subresource: text(entry, "subresource"),
                time: entry["time"].clone(),
                fields,
            })
        });
        Owners { entries: entries.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes them into the object's metadata, the entries of unchanged fields with the time that they had in `before`.
    pub(crate) fn write(mut self, object: &mut Value, before: &Owners, now: Timestamp) {
        for entry in &mut self.entries {
            let same = |old: &&Entry| old.fields == entry.fields && old.manager == entry.manager && old.operation == entry.operation;
            let old = before.entries.iter().filter(same).find(|old| old.subresource == entry.subresource);
            entry.time = old.map_or_else(|| seconds(now), |old| old.time.clone());
        }
        self.entries.sort_by_cached_key(|entry| {
            let time = entry.time.as_str().unwrap_or_default().to_owned();
            (entry.operation.clone(), time, entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone())
        });
        let listed: Vec<Value> = self.entries.iter().map(encoded).collect();
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        if listed.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(listed));
        }
    }

    /// After a create, update or patch: what changed is the writer's, and nobody's else.
    pub(crate) fn updated(&mut self, difference: &Difference, writer: &Writer<'_>, ignored: &Ignored) {
        let changed = ignored.strip(&difference.modified.clone().union(&difference.added));
        let removed = ignored.strip(&difference.removed);
        for entry in self.entries.iter_mut().filter(|entry| !entry.is(writer)) {
            entry.fields = entry.fields.minus(&changed).minus(&removed);
        }
        let mine = self.take(writer).unwrap_or_default();
        self.put(writer, mine.minus(&removed).union(&changed));
    }

    fn take(&mut self, writer: &Writer<'_>) -> Option<FieldSet> {
        let at = self.entries.iter().position(|entry| entry.is(writer))?;
        Some(self.entries.remove(at).fields)
    }

    fn put(&mut self, writer: &Writer<'_>, fields: FieldSet) {
        self.entries.push(Entry {
            manager: writer.manager.to_owned(),
            operation: writer.operation.to_owned(),
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: Value::Null,
            fields,
        });
        self.entries.retain(|entry| !entry.fields.is_empty());
    }

    /// Applies `config`: the object that comes of it, with these owners brought up to date.
    ///
    /// # Errors
    /// Fields that others own and that would change, each with the text that names its owner, unless `force`d.
    pub(crate) fn applied(
        &mut self,
        live: &Value,
        config: &Value,
        shape: &Shape,
        writer: &Writer<'_>,
        ignored: &Ignored,
        force: bool,
    ) -> Result<Value, Vec<(String, String)>> {
        if self.entries.is_empty() && !live["metadata"]["uid"].is_null() {
            let before = Difference::between(&Value::Object(Map::new()), live, shape);
            let nobody = Writer { manager: "before-first-apply", operation: "Update", ..writer.clone() };
            self.put(&nobody, ignored.strip(&before.added));
        }
        let named = ignored.strip(&FieldSet::of_applied(config, shape));
        let last = self.take(writer);
        let mut object = merged(live, config, shape);
        if let Some(last) = last {
            let mut keep = named.clone();
            for entry in &self.entries {
                keep = keep.union(&entry.fields);
            }
            let owned = last.clone().union(&keep);
            // What nobody ever owned was not ours to take.
            keep = keep.union(&FieldSet::of_applied(&object, shape).minus(&owned.with_parents()));
            object = pruned(&object, shape, &last, &keep);
        }
        let difference = Difference::between(live, &object, shape);
        let changed = ignored.strip(&difference.modified.clone().union(&difference.added));
        let removed = ignored.strip(&difference.removed);
        let mut conflicts = Vec::new();
        for entry in &mut self.entries {
            let theirs = entry.fields.common(&changed);
            if !theirs.is_empty() && !force {
                conflicts.extend(theirs.shown().into_iter().map(|path| (entry.conflict(), path)));
            }
            entry.fields = entry.fields.minus(&theirs).minus(&removed);
        }
        if !conflicts.is_empty() {
            conflicts.sort_by(|left: &(String, String), right| left.0.cmp(&right.0));
            return Err(conflicts);
        }
        self.put(writer, named);
        Ok(object)
    }
}

fn seconds(now: Timestamp) -> Value {
    Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn encoded(entry: &Entry) -> Value {
    let mut out = json!({
        "manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version, "time": entry.time,
        "fieldsType": "FieldsV1", "fieldsV1": entry.fields.encode(),
    });
    if !entry.subresource.is_empty() {
        out["subresource"] = json!(entry.subresource);
    }
    out
}

/// Paths that nobody owns, because the server keeps them or because a write by this road does not change them.
#[derive(Clone, Debug)]
pub(crate) struct Ignored {
    /// With all below them.
    whole: FieldSet,
    /// Alone.
    alone: FieldSet,
}

impl Ignored {
    /// For writes of the object (`""`) or of its `status`.
    pub(crate) fn for_writes_of(subresource: &str, has_status: bool) -> Ignored {
        let (mut whole, mut alone) = (FieldSet::default(), FieldSet::default());
        let field = |name: &str| Step::Field(name.to_owned());
        for name in ["apiVersion", "kind"] {
            whole.insert(&[field(name)]);
        }
        for name in ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion"] {
            whole.insert(&[field("metadata"), field(name)]);
        }
        alone.insert(&[field("metadata")]);
        match subresource {
            "status" => {
                whole.insert(&[field("metadata")]);
                whole.insert(&[field("spec")]);
            }
            _ if has_status => whole.insert(&[field("status")]),
            _ => {}
        }
        Ignored { whole, alone }
    }

    fn strip(&self, set: &FieldSet) -> FieldSet {
        set.outside(&self.whole).minus(&self.alone)
    }
}
