//! Comparing two states of an object field by field, and merging an applied configuration into one.

use serde_json::{Map, Value};

use super::fields::{FieldSet, Step, element};
use super::shape::Shape;

/// Which paths differ between two states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Difference {
    pub(crate) fn between(before: &Value, after: &Value, shape: &Shape) -> Difference {
        let mut found = Difference::default();
        compare(Some(before), Some(after), shape, &mut Vec::new(), &mut found);
        found
    }
}

fn compare(before: Option<&Value>, after: Option<&Value>, shape: &Shape, path: &mut Vec<Step>, into: &mut Difference) {
    match shape {
        Shape::Map { .. } | Shape::Open if has_parts(before, after, Value::is_object) => {
            let (old, new) = (entries(before), entries(after));
            let mut names: Vec<&String> = old.iter().chain(new.iter()).flat_map(|map| map.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (old, new) = (old.and_then(|map| map.get(name)), new.and_then(|map| map.get(name)));
                if old == new {
                    continue;
                }
                path.push(Step::Field(name.clone()));
                compare(old, new, shape.field(name).unwrap_or(&Shape::Atomic), path, into);
                path.pop();
            }
        }
        Shape::Set | Shape::Keyed { .. } if has_parts(before, after, Value::is_array) => {
            let below = if let Shape::Keyed { item, .. } = shape { item.as_ref() } else { &Shape::Atomic };
            let (old, new) = (items(before, shape), items(after, shape));
            for (step, item) in &old {
                let other = new.iter().find(|(other, _)| other == step).map(|(_, item)| *item);
                path.push(step.clone());
                compare(Some(item), other, below, path, into);
                path.pop();
            }
            for (step, item) in new.iter().filter(|(step, _)| old.iter().all(|(other, _)| other != step)) {
                path.push(step.clone());
                compare(None, Some(item), below, path, into);
                path.pop();
            }
        }
        Shape::Atomic | Shape::Map { .. } | Shape::Open | Shape::Set | Shape::Keyed { .. } => match (before, after) {
            (Some(before), Some(after)) if before != after => into.modified.insert(path),
            (Some(_), Some(_)) | (None, None) => {}
            (None, Some(_)) | (Some(_), None) => {}
        },
    }
    match (before, after) {
        (None, Some(_)) => into.added.insert(path),
        (Some(_), None) => into.removed.insert(path),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

/// Whether the two have parts to compare: of the wanted form or absent, and not both empty.
fn has_parts(before: Option<&Value>, after: Option<&Value>, form: fn(&Value) -> bool) -> bool {
    let fits = |value: Option<&Value>| value.is_none_or(|value| value.is_null() || form(value));
    let filled = |value: Option<&Value>| match value {
        Some(Value::Object(map)) => !map.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => false,
    };
    fits(before) && fits(after) && (filled(before) || filled(after))
}

fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn items<'a>(value: Option<&'a Value>, shape: &Shape) -> Vec<(Step, &'a Value)> {
    value.and_then(Value::as_array).into_iter().flatten().map(|item| (element(item, shape), item)).collect()
}

/// `live` with all that `config` says; what it does not name stays.
pub(crate) fn merged(live: &Value, config: &Value, shape: &Shape) -> Value {
    match (shape, live, config) {
        (Shape::Map { .. } | Shape::Open, Value::Object(live), Value::Object(config)) => {
            let mut out = live.clone();
            for (name, wanted) in config {
                let below = shape.field(name).unwrap_or(&Shape::Atomic);
                let value = live.get(name).map_or_else(|| wanted.clone(), |found| merged(found, wanted, below));
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
        (Shape::Set | Shape::Keyed { .. }, Value::Array(_), Value::Array(_)) => Value::Array(merged_items(live, config, shape)),
        // Naming a thing with parts and giving none takes none away.
        (Shape::Map { .. } | Shape::Open, Value::Object(found), Value::Null) if !found.is_empty() => live.clone(),
        (Shape::Set | Shape::Keyed { .. }, Value::Array(found), Value::Null) if !found.is_empty() => live.clone(),
        (Shape::Map { .. } | Shape::Open | Shape::Set | Shape::Keyed { .. } | Shape::Atomic, _, _) => config.clone(),
    }
}

/// The items of both, those of `config` in its order, others where they stood before the next shared one.
fn merged_items(live: &Value, config: &Value, shape: &Shape) -> Vec<Value> {
    let below = if let Shape::Keyed { item, .. } = shape { item.as_ref() } else { &Shape::Atomic };
    let (old, new) = (items(Some(live), shape), items(Some(config), shape));
    let wanted = |step: &Step| new.iter().any(|(other, _)| other == step);
    let mut out = Vec::new();
    let mut next = 0;
    // Items of `config` up to and with `step`, each merged with what was there.
    let emit = |upto: Option<&Step>, next: &mut usize, out: &mut Vec<Value>| {
        while let Some((step, item)) = new.get(*next) {
            let found = old.iter().find(|(other, _)| other == step);
            out.push(found.map_or_else(|| (*item).clone(), |(_, found)| merged(found, item, below)));
            *next += 1;
            if upto == Some(step) {
                break;
            }
        }
    };
    for (step, item) in &old {
        if !wanted(step) {
            out.push((*item).clone());
        } else if new.iter().skip(next).any(|(other, _)| other == step) {
            emit(Some(step), &mut next, &mut out);
        }
    }
    emit(None, &mut next, &mut out);
    out
}

/// Takes away what the last applied configuration named and nobody keeps. What has lost its last part is null.
pub(crate) fn pruned(value: &Value, shape: &Shape, last: &FieldSet, keep: &FieldSet) -> Value {
    let gone = |step: &Step, named: bool| {
        let said = if named { last.touches(step) } else { last.has(step) };
        said && !keep.touches(step)
    };
    let inner = |child: &Value, below: &Shape, step: &Step| match last.below(step) {
        Some(last) => pruned(child, below, last, keep.below(step).unwrap_or(&FieldSet::default())),
        None => child.clone(),
    };
    match (shape, value) {
        (Shape::Map { .. } | Shape::Open, Value::Object(map)) => {
            let mut out = Map::new();
            for (name, child) in map {
                let step = Step::Field(name.clone());
                if !gone(&step, true) {
                    out.insert(name.clone(), inner(child, shape.field(name).unwrap_or(&Shape::Atomic), &step));
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Shape::Set | Shape::Keyed { .. }, Value::Array(items)) => {
            let below = if let Shape::Keyed { item, .. } = shape { item.as_ref() } else { &Shape::Atomic };
            let mut out = Vec::new();
            for item in items {
                let step = element(item, shape);
                if !gone(&step, false) {
                    out.push(inner(item, below, &step));
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Shape::Atomic | Shape::Map { .. } | Shape::Open | Shape::Set | Shape::Keyed { .. }, _) => value.clone(),
    }
}
