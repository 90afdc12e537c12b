//! Sets of field paths, and their form in `managedFields`.
//!
//! Source: the format `FieldsV1`, kubernetes.io/docs/reference/generated/kubernetes-api (`f:` a field, `k:` an item by its keys,
//! `v:` an item by its value, `.` the thing itself).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::shape::Shape;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(String),
    /// An item by its keys, as JSON with sorted names.
    Key(String),
    /// An item by its value, as JSON.
    Item(String),
}

impl Step {
    fn encoded(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(keys) => format!("k:{keys}"),
            Step::Item(value) => format!("v:{value}"),
        }
    }

    /// What an item is known by, as JSON.
    pub(crate) fn value(&self) -> &str {
        match self {
            Step::Field(text) | Step::Key(text) | Step::Item(text) => text,
        }
    }

    fn decoded(text: &str) -> Option<Step> {
        let (mark, rest) = text.split_once(':')?;
        let step: fn(String) -> Step = match mark {
            "f" => Step::Field,
            "k" => Step::Key,
            "v" => Step::Item,
            _ => return None,
        };
        Some(step(rest.to_owned()))
    }

    /// As in the text of a conflict: `.spec`, `[type="Ready"]`, `[="x"]`.
    fn shown(&self) -> String {
        match self {
            Step::Field(name) => format!(".{name}"),
            Step::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("[{}]", pairs.join(","))
            }
            Step::Item(value) => format!("[={value}]"),
        }
    }
}

/// A set of paths, as a tree. Invariant: no child is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    members: BTreeSet<Step>,
    children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    pub(crate) fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    pub(crate) fn has(&self, step: &Step) -> bool {
        self.members.contains(step)
    }

    pub(crate) fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.children.get(step)
    }

    /// Whether the step or anything below it is in the set.
    pub(crate) fn touches(&self, step: &Step) -> bool {
        self.members.contains(step) || self.children.contains_key(step)
    }

    pub(crate) fn union(mut self, other: &FieldSet) -> FieldSet {
        self.members.extend(other.members.iter().cloned());
        for (step, below) in &other.children {
            let mine = self.children.remove(step).unwrap_or_default();
            self.children.insert(step.clone(), mine.union(below));
        }
        self
    }

    /// Paths that are in this set and not in the other.
    pub(crate) fn minus(&self, other: &FieldSet) -> FieldSet {
        let mut left = FieldSet { members: self.members.difference(&other.members).cloned().collect(), children: BTreeMap::new() };
        for (step, below) in &self.children {
            let below = other.children.get(step).map_or_else(|| below.clone(), |taken| below.minus(taken));
            if !below.is_empty() {
                left.children.insert(step.clone(), below);
            }
        }
        left
    }

    /// Paths of this set that neither are in the other nor lie below one of it.
    pub(crate) fn outside(&self, other: &FieldSet) -> FieldSet {
        let mut left = FieldSet { members: self.members.difference(&other.members).cloned().collect(), children: BTreeMap::new() };
        for (step, below) in self.children.iter().filter(|(step, _)| !other.members.contains(step)) {
            let below = other.children.get(step).map_or_else(|| below.clone(), |taken| below.outside(taken));
            if !below.is_empty() {
                left.children.insert(step.clone(), below);
            }
        }
        left
    }

    /// With every field above a path of it as a member too.
    pub(crate) fn with_parents(mut self) -> FieldSet {
        let fields: Vec<Step> = self.children.keys().filter(|step| matches!(step, Step::Field(_))).cloned().collect();
        self.members.extend(fields);
        self.children = self.children.into_iter().map(|(step, below)| (step, below.with_parents())).collect();
        self
    }

    pub(crate) fn common(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet { members: self.members.intersection(&other.members).cloned().collect(), children: BTreeMap::new() };
        for (step, below) in &self.children {
            let below = other.children.get(step).map(|theirs| below.common(theirs)).unwrap_or_default();
            if !below.is_empty() {
                both.children.insert(step.clone(), below);
            }
        }
        both
    }

    /// Every path, as text: those that end here, then those below.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.members.iter().map(Step::shown).collect();
        for (step, below) in &self.children {
            let here = step.shown();
            paths.extend(below.shown().into_iter().map(|path| format!("{here}{path}")));
        }
        paths
    }

    pub(crate) fn encode(&self) -> Value {
        let mut out = Map::new();
        for step in &self.members {
            out.insert(step.encoded(), Value::Object(Map::new()));
        }
        for (step, below) in &self.children {
            let mut encoded = below.encode();
            if self.members.contains(step) {
                encoded["."] = Value::Object(Map::new());
            }
            out.insert(step.encoded(), encoded);
        }
        Value::Object(out)
    }

    /// The set that `FieldsV1` tells; none where it is not of that form.
    pub(crate) fn decode(encoded: &Value) -> Option<FieldSet> {
        let mut set = FieldSet::default();
        for (name, below) in encoded.as_object()? {
            if name == "." {
                continue;
            }
            let step = Step::decoded(name)?;
            let itself = below.as_object()?;
            if itself.is_empty() || itself.contains_key(".") {
                set.members.insert(step.clone());
            }
            let below = FieldSet::decode(below)?;
            if !below.is_empty() {
                set.children.insert(step, below);
            }
        }
        Some(set)
    }

    /// Every field that an applied configuration names.
    pub(crate) fn of_applied(value: &Value, shape: &Shape) -> FieldSet {
        let mut set = FieldSet::default();
        collect(value, shape, &mut Vec::new(), &mut set);
        set
    }
}

fn collect(value: &Value, shape: &Shape, path: &mut Vec<Step>, into: &mut FieldSet) {
    match (shape, value) {
        (Shape::Map { .. } | Shape::Open, Value::Object(map)) => {
            for (name, child) in map {
                path.push(Step::Field(name.clone()));
                let below = shape.field(name).unwrap_or(&Shape::Atomic);
                collect(child, below, path, into);
                let bare = child.is_null() || child.as_object().is_some_and(Map::is_empty);
                if bare || shape.chosen(name) {
                    into.insert(path);
                }
                path.pop();
            }
        }
        (Shape::Set | Shape::Keyed { .. }, Value::Array(items)) => {
            let below = if let Shape::Keyed { item, .. } = shape { item.as_ref() } else { &Shape::Atomic };
            for item in items {
                path.push(element(item, shape));
                collect(item, below, path, into);
                into.insert(path);
                path.pop();
            }
        }
        (Shape::Atomic | Shape::Map { .. } | Shape::Open | Shape::Set | Shape::Keyed { .. }, _) => into.insert(path),
    }
}

/// How an item of such a list is known.
pub(crate) fn element(item: &Value, shape: &Shape) -> Step {
    let Shape::Keyed { keys, defaults, .. } = shape else { return Step::Item(item.to_string()) };
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let pairs: Vec<String> = sorted
        .into_iter()
        .filter_map(|key| item.get(key).or_else(|| defaults.get(key)).map(|value| format!("{}:{value}", Value::from(key.as_str()))))
        .collect();
    Step::Key(format!("{{{}}}", pairs.join(",")))
}
