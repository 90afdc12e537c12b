//! Whether an applied configuration has the form that the schema gives it. Server-side apply asks before it merges.

use serde_json::Value;

use super::validate::form;
use super::{Form, Node, Schema};

/// Whether items that are known by the same may stand in a list twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    Allowed,
    Refused,
}

/// Why a configuration does not fit, in the server's words; none if it fits.
pub(crate) fn does_not_fit(schema: &Schema, config: &Value, repeats: Repeats) -> Option<String> {
    let fields = config.as_object().into_iter().flatten();
    fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")).find_map(|(name, value)| {
        let path = format!(".{name}");
        match schema.root().field(name) {
            Some(node) => misfit(node, value, &path, repeats),
            None => Some(format!("{path}: field not declared in schema")),
        }
    })
}

fn misfit(node: &Node, value: &Value, path: &str, repeats: Repeats) -> Option<String> {
    let expected = |form: &str| Some(format!("{path}: expected {form}, got {value}"));
    match (node.form, value) {
        (Form::Any, _) | (_, Value::Null) => None,
        (Form::Object, Value::Object(map)) => map.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match node.field(name) {
                Some(below) => misfit(below, value, &path, repeats),
                None if node.open => None,
                None => Some(format!("{path}: field not declared in schema")),
            }
        }),
        (Form::Array, Value::Array(items)) => {
            let unique = node.unique.as_ref().filter(|_| repeats == Repeats::Refused);
            if let Some(twice) = unique.and_then(|keys| super::validate::repeated(items, keys).into_iter().next()) {
                return Some(format!("{path}: duplicate entries for key {}", twice.1));
            }
            let below = node.items.as_deref()?;
            items.iter().enumerate().find_map(|(at, item)| misfit(below, item, &format!("{path}[{at}]"), repeats))
        }
        (Form::Object, _) => expected("map"),
        (Form::Array, _) => expected("list"),
        (Form::Number | Form::Integer, Value::Number(_)) => None,
        (Form::Number | Form::Integer, _) => expected("numeric (int or float)"),
        (wanted @ (Form::Text | Form::Boolean), _) => {
            if form(value) == wanted {
                None
            } else {
                expected(wanted.name())
            }
        }
    }
}
