//! What the schema says is wrong with a value, in the server's words.

use serde_json::{Map, Number, Value};

use super::{Form, Node};
use crate::api::fields::element;
use crate::api::shape::Shape;
use crate::api::status::Cause;

impl Node {
    /// Adds what is wrong. `path` names the place; `said` is how messages name it, which in a status begins below `status`.
    pub(super) fn check(&self, value: &Value, path: &str, said: &str, causes: &mut Vec<Cause>) {
        if value.is_null() && self.nullable {
            return;
        }
        let found = form(value);
        let fits = match self.form {
            Form::Any => true,
            Form::Number => matches!(found, Form::Number | Form::Integer),
            Form::Object | Form::Array | Form::Text | Form::Integer | Form::Boolean => found == self.form,
        };
        let format = self.bounds.format.as_deref().filter(|_| found == Form::Number && self.form == Form::Integer);
        if let Some(format) = format {
            let message = format!("Invalid value: \"float64\": {said} in body must be of type {format}: \"float64\"");
            causes.push(Cause::new("FieldValueTypeInvalid", path, message));
            let message = format!("Invalid value: \"\": Checked value must be of type integer with format {format} in {said}");
            causes.push(Cause::new("FieldValueInvalid", whole(path, said), message));
            return;
        }
        let found_format = self.bounds.format.as_deref().filter(|_| matches!(value, Value::Object(_)) && self.form == Form::Integer);
        if let Some(format) = found_format {
            let message = format!("Invalid value: \"\": {said} in body must be of type {format}: \"\"");
            causes.push(Cause::new("FieldValueTypeInvalid", path, message));
            return;
        }
        if !fits || value.is_null() {
            let found = if value.is_null() { "null" } else { found.name() };
            let message = format!("Invalid value: {found:?}: {said} in body must be of type {}: {found:?}", self.form.name());
            causes.push(Cause::new("FieldValueTypeInvalid", path, message));
            return;
        }
        match value {
            Value::Object(map) => self.check_object(map, path, said, causes),
            Value::Array(items) => self.check_list(items, path, said, causes),
            Value::String(text) => self.check_text(value, text, path, said, causes),
            Value::Number(number) => self.check_number(number, path, said, causes),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.bounds.options.is_empty() && !self.bounds.options.contains(value) {
            let options: Vec<String> = self.bounds.options.iter().map(Value::to_string).collect();
            causes.push(Cause::unsupported(path, value, &options));
        }
    }

    fn check_object(&self, map: &Map<String, Value>, path: &str, said: &str, causes: &mut Vec<Cause>) {
        for name in self.required.iter().filter(|name| !map.contains_key(*name)) {
            causes.push(Cause::required(below(path, name), ""));
        }
        if let Some(max) = self.bounds.max_properties.filter(|max| map.len() as u64 > *max) {
            causes.push(Cause::new("FieldValueTooMany", path, format!("Too many: {}: must have at most {max} items", map.len())));
        }
        let mut names: Vec<&String> = map.keys().collect();
        names.sort();
        for name in names {
            // Metadata is judged by rules of its own.
            if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
                continue;
            }
            if let Some(node) = self.field(name) {
                node.check(&map[name], &below(path, name), &below(said, name), causes);
            }
        }
    }

    fn check_list(&self, items: &[Value], path: &str, said: &str, causes: &mut Vec<Cause>) {
        let count = items.len() as u64;
        if let Some(min) = self.bounds.min_items.filter(|min| count < *min) {
            let message = format!("Invalid value: {count}: {said} in body should have at least {min} items");
            causes.push(Cause::new("FieldValueInvalid", path, message));
        }
        if let Some(max) = self.bounds.max_items.filter(|max| count > *max) {
            causes.push(Cause::new("FieldValueTooMany", path, format!("Too many: {count}: must have at most {max} items")));
        }
        for (at, item) in items.iter().enumerate() {
            if let Some(node) = &self.items {
                node.check(item, &format!("{path}[{at}]"), &format!("{said}[{at}]"), causes);
            }
        }
        let Some(keys) = &self.unique else { return };
        for (at, item) in repeated(items, keys) {
            causes.push(Cause::new("FieldValueDuplicate", format!("{path}[{at}]"), format!("Duplicate value: {item}")));
        }
    }

    fn check_text(&self, value: &Value, text: &str, path: &str, said: &str, causes: &mut Vec<Cause>) {
        let length = text.chars().count() as u64;
        if let Some(max) = self.bounds.max_length.filter(|max| length > *max) {
            causes.push(Cause::new("FieldValueTooLong", path, format!("Too long: may not be more than {max} bytes")));
        }
        if let Some(min) = self.bounds.min_length.filter(|min| length < *min) {
            causes.push(Cause::invalid(path, value, &format!("{said} in body should be at least {min} chars long")));
        }
        if let Some(pattern) = self.bounds.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            causes.push(Cause::invalid(path, value, &format!("{said} in body should match '{}'", pattern.as_str())));
        }
        let is_time = self.bounds.format.as_deref() == Some("date-time");
        if is_time && text.parse::<jiff::Timestamp>().is_err() {
            let message = format!("Invalid value: {value}: {said} in body must be of type date-time: {value}");
            causes.push(Cause::new("FieldValueTypeInvalid", path, message));
        }
    }

    fn check_number(&self, number: &Number, path: &str, said: &str, causes: &mut Vec<Cause>) {
        let value = Value::Number(number.clone());
        let Some(found) = number.as_f64() else { return };
        if self.bounds.format.as_deref() == Some("int32") && number.as_i64().is_none_or(|found| i32::try_from(found).is_err()) {
            let message = format!("Invalid value: \"\": Checked value must be of type integer with format int32 in {said}");
            causes.push(Cause::new("FieldValueInvalid", whole(path, said), message));
        }
        if let Some(max) = self.bounds.maximum.filter(|max| found > *max) {
            causes.push(Cause::invalid(path, &value, &format!("{said} in body should be less than or equal to {max}")));
        }
        if let Some(min) = self.bounds.minimum.filter(|min| found < *min) {
            causes.push(Cause::invalid(path, &value, &format!("{said} in body should be greater than or equal to {min}")));
        }
    }
}

/// Items that were there before, by place and by what they are known by: these keys, or their value if there are none.
pub(super) fn repeated(items: &[Value], keys: &[String]) -> Vec<(usize, String)> {
    let shape = if keys.is_empty() {
        Shape::Set
    } else {
        Shape::Keyed { keys: keys.to_vec(), defaults: Default::default(), item: Box::new(Shape::Open) }
    };
    let steps: Vec<_> = items.iter().map(|item| element(item, &shape)).collect();
    let again = steps.iter().enumerate().filter(|(at, step)| steps.iter().take(*at).any(|other| other == *step));
    again.map(|(at, step)| (at, step.value().to_owned())).collect()
}

pub(super) fn form(value: &Value) -> Form {
    match value {
        Value::Null => Form::Any,
        Value::Bool(_) => Form::Boolean,
        Value::Number(number) if number.is_f64() => Form::Number,
        Value::Number(_) => Form::Integer,
        Value::String(_) => Form::Text,
        Value::Array(_) => Form::Array,
        Value::Object(_) => Form::Object,
    }
}

/// The place of what was judged as a whole: `said` is what `path` is below it.
fn whole(path: &str, said: &str) -> String {
    let whole = path.strip_suffix(said).unwrap_or_default().trim_end_matches('.');
    if whole.is_empty() { "<nil>".to_owned() } else { whole.to_owned() }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
