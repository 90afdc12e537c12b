//! How objects of a kind are taken apart for field ownership and merging: what is one value, and what has parts of its own.
//!
//! Source: "Merge strategy" in kubernetes.io/docs/reference/using-api/server-side-apply.

use std::collections::BTreeMap;

use serde_json::Value;

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value, whatever is inside.
    Atomic,
    /// A map whose entries have owners; `fields` are the known ones, `rest` the shape of all others (none: there are no others).
    Map { fields: BTreeMap<String, Shape>, rest: Option<Box<Shape>> },
    /// A list of scalars, each an element of its own.
    Set,
    /// A list of objects that are known by the values of these keys.
    Keyed { keys: Vec<String>, defaults: BTreeMap<String, Value>, item: Box<Shape> },
    /// Not known: maps have entries, all else is one value.
    Open,
}

const OPEN: &Shape = &Shape::Open;

impl Shape {
    /// The shape of whole objects with this structural schema.
    pub(crate) fn of_object(schema: &Value) -> Shape {
        let Shape::Map { mut fields, rest } = Shape::of(schema) else { return Shape::Open };
        fields.insert("apiVersion".to_owned(), Shape::Atomic);
        fields.insert("kind".to_owned(), Shape::Atomic);
        fields.insert("metadata".to_owned(), metadata());
        Shape::Map { fields, rest }
    }

    fn of(schema: &Value) -> Shape {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        match schema["type"].as_str() {
            Some("object") if schema["x-kubernetes-map-type"] == "atomic" => Shape::Atomic,
            Some("object") => {
                let known = schema["properties"].as_object();
                let fields = known.into_iter().flatten().map(|(name, schema)| (name.clone(), Shape::of(schema))).collect();
                let extra = &schema["additionalProperties"];
                let rest = if extra.is_object() { Some(Box::new(Shape::of(extra))) } else { open.then(|| Box::new(Shape::Open)) };
                Shape::Map { fields, rest }
            }
            Some("array") => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => Shape::Set,
                Some("map") => {
                    let keys: Vec<String> = texts(&schema["x-kubernetes-list-map-keys"]);
                    let default = |key: &String| {
                        let default = &schema["items"]["properties"][key]["default"];
                        (!default.is_null()).then(|| (key.clone(), default.clone()))
                    };
                    let defaults = keys.iter().filter_map(default).collect();
                    Shape::Keyed { keys, defaults, item: Box::new(Shape::of(&schema["items"])) }
                }
                _ => Shape::Atomic,
            },
            None if open => Shape::Open,
            _ => Shape::Atomic,
        }
    }

    /// The shape of a built-in kind: open but for metadata and the paths named, each `path=atomic` or `path=key,key`.
    pub(crate) fn builtin(table: &str) -> Shape {
        let rest = Some(Box::new(Shape::Open));
        let mut root = Shape::Map { fields: BTreeMap::from([("metadata".to_owned(), metadata())]), rest };
        for (path, what) in table.split_whitespace().filter_map(|word| word.split_once('=')) {
            root.set(path, what);
        }
        root
    }

    fn set(&mut self, path: &str, what: &str) {
        let (first, below) = path.split_once('.').unwrap_or((path, ""));
        if let Shape::Keyed { item, .. } = self {
            return item.set(path, what);
        }
        if *self == Shape::Open {
            *self = Shape::Map { fields: BTreeMap::new(), rest: Some(Box::new(Shape::Open)) };
        }
        let Shape::Map { fields, .. } = self else { return };
        let field = fields.entry(first.to_owned()).or_insert(Shape::Open);
        if !below.is_empty() {
            field.set(below, what);
        } else if what == "atomic" {
            *field = Shape::Atomic;
        } else {
            let keys: Vec<String> = what.split(',').map(str::to_owned).collect();
            let tcp = keys.iter().filter(|key| *key == "protocol").map(|key| (key.clone(), Value::from("TCP"))).collect();
            *field = Shape::Keyed { keys, defaults: tcp, item: Box::new(Shape::Open) };
        }
    }

    /// The shape of an entry; none where there can be none of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&Shape> {
        match self {
            Shape::Map { fields, rest } => fields.get(name).or(rest.as_deref()),
            Shape::Open => Some(OPEN),
            Shape::Atomic | Shape::Set | Shape::Keyed { .. } => None,
        }
    }

    /// Whether `name` is a key that somebody chose, not a field that every such map may have.
    pub(crate) fn chosen(&self, name: &str) -> bool {
        match self {
            Shape::Map { fields, rest } => !fields.contains_key(name) && rest.as_deref().is_some_and(|rest| *rest != Shape::Open),
            Shape::Atomic | Shape::Set | Shape::Keyed { .. } | Shape::Open => false,
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn metadata() -> Shape {
    let names = || Shape::Map { fields: BTreeMap::new(), rest: Some(Box::new(Shape::Atomic)) };
    let scalars = ["name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"];
    let mut fields: BTreeMap<String, Shape> = scalars.iter().map(|name| ((*name).to_owned(), Shape::Atomic)).collect();
    fields.insert("selfLink".to_owned(), Shape::Atomic);
    fields.insert("deletionGracePeriodSeconds".to_owned(), Shape::Atomic);
    fields.insert("labels".to_owned(), names());
    fields.insert("annotations".to_owned(), names());
    fields.insert("finalizers".to_owned(), Shape::Set);
    let owner = Shape::Keyed { keys: vec!["uid".to_owned()], defaults: BTreeMap::new(), item: Box::new(Shape::Atomic) };
    fields.insert("ownerReferences".to_owned(), owner);
    fields.insert("managedFields".to_owned(), Shape::Atomic);
    Shape::Map { fields, rest: None }
}
