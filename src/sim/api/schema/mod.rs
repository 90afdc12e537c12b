//! Structural schemas: what the server drops from, adds to and refuses of an object of a custom kind.
//!
//! Source: kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions.

mod rules;
mod typed;
mod validate;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use regex::Regex;
use serde_json::{Map, Value};

use super::status::Cause;
use rules::Rules;
pub(crate) use typed::{Repeats, does_not_fit};

/// A schema, ready to be used.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Node,
    rules: Option<Rules>,
}

/// One place in a schema.
pub(super) struct Node {
    form: Form,
    nullable: bool,
    /// Keeps fields that it does not know.
    open: bool,
    properties: BTreeMap<String, Node>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    required: Vec<String>,
    default: Option<Value>,
    /// Items of a list that may not come twice: all of them, or those with the same keys.
    unique: Option<Vec<String>>,
    bounds: Bounds,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Object,
    Array,
    Text,
    Integer,
    Number,
    Boolean,
    Any,
}

#[derive(Default)]
pub(super) struct Bounds {
    options: Vec<Value>,
    pattern: Option<Regex>,
    format: Option<String>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    max_properties: Option<u64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

impl Debug for Node {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}{:?}", self.form, self.properties.keys().collect::<Vec<_>>())
    }
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Object => "object",
            Form::Array => "array",
            Form::Text => "string",
            Form::Integer => "integer",
            Form::Number => "number",
            Form::Boolean => "boolean",
            Form::Any => "any",
        }
    }
}

impl Schema {
    /// Reads `openAPIV3Schema`.
    ///
    /// # Errors
    /// A pattern or rule that cannot be compiled.
    pub(crate) fn parse(schema: &Value) -> Result<Schema, String> {
        Ok(Schema { root: Node::parse(schema)?, rules: Rules::compile(schema)? })
    }

    /// Drops what the schema does not know and adds what it has a default for, as reading a request does.
    pub(crate) fn complete(&self, object: &mut Value) {
        if let Some(map) = object.as_object_mut() {
            map.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata") || self.root.field(name).is_some());
            for (name, value) in map.iter_mut().filter(|(name, _)| *name != "metadata") {
                if let Some(node) = self.root.field(name) {
                    node.prune(value);
                }
            }
            self.root.add_defaults(map);
        }
    }

    /// Adds what it has a default for, as making an object of an applied configuration does.
    pub(crate) fn add_defaults(&self, object: &mut Value) {
        if let Some(map) = object.as_object_mut() {
            self.root.add_defaults(map);
        }
    }

    /// What is wrong with an object; with `live`, the state before the update, transition rules are judged too.
    ///
    /// Of an update of the status (`only_status`), the schema judges the status alone; the rules judge all.
    pub(crate) fn validate(&self, object: &Value, live: Option<&Value>, only_status: bool) -> Vec<Cause> {
        let mut causes = Vec::new();
        let status = self.root.field("status").zip(object.get("status")).filter(|_| only_status);
        match status {
            Some((node, status)) => node.check(status, "status", "", &mut causes),
            None if only_status => {}
            None => self.root.check(object, "", "", &mut causes),
        }
        let Some(rules) = &self.rules else { return causes };
        if causes.iter().any(|cause| cause.reason != "FieldValueInvalid") {
            let why =
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            causes.push(Cause::invalid("<nil>", &Value::Null, why));
        } else if live.is_none_or(|live| rules.judge_status() || live["spec"] != object["spec"]) {
            // Rules of a spec that is as it was held before: most writes are of a status, and CEL is the dearest part of a write.
            causes.extend(rules.judge(object, live));
        }
        causes
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }
}

impl Node {
    fn parse(schema: &Value) -> Result<Node, String> {
        let form = match schema["type"].as_str() {
            Some("object") => Form::Object,
            Some("array") => Form::Array,
            Some("string") => Form::Text,
            Some("integer") => Form::Integer,
            Some("number") => Form::Number,
            Some("boolean") => Form::Boolean,
            Some(_) | None => Form::Any,
        };
        let node = |schema: &Value| if schema.is_object() { Node::parse(schema).map(|node| Some(Box::new(node))) } else { Ok(None) };
        let mut properties = BTreeMap::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            properties.insert(name.clone(), Node::parse(schema)?);
        }
        let texts =
            |list: &Value| -> Vec<String> { list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect() };
        let unique = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Some(Vec::new()),
            Some("map") => Some(texts(&schema["x-kubernetes-list-map-keys"])),
            Some(_) | None => None,
        };
        Ok(Node {
            form,
            nullable: schema["nullable"] == true,
            open: schema["x-kubernetes-preserve-unknown-fields"] == true,
            properties,
            additional: node(&schema["additionalProperties"])?,
            items: node(&schema["items"])?,
            required: texts(&schema["required"]),
            default: schema.get("default").cloned(),
            unique,
            bounds: Bounds::parse(schema)?,
        })
    }

    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Drops unknown fields, and nulls where there may be none.
    fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(map) if self.form == Form::Object => {
                map.retain(|name, value| match self.field(name) {
                    Some(node) => node.nullable || !value.is_null(),
                    None => self.open,
                });
                for (name, value) in map {
                    if let Some(node) = self.field(name) {
                        node.prune(value);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let Some(node) = &self.items {
                        node.prune(item);
                    }
                }
            }
            Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn add_defaults(&self, map: &mut Map<String, Value>) {
        for (name, node) in &self.properties {
            let missing = map.get(name).is_none_or(|found| found.is_null() && !node.nullable);
            if let Some(default) = node.default.as_ref().filter(|_| missing) {
                map.insert(name.clone(), default.clone());
            }
        }
        for (name, value) in map {
            if let Some(node) = self.field(name) {
                node.add_defaults_in(value);
            }
        }
    }

    fn add_defaults_in(&self, value: &mut Value) {
        match value {
            Value::Object(map) => self.add_defaults(map),
            Value::Array(items) => {
                for item in items {
                    if let Some(node) = &self.items {
                        node.add_defaults_in(item);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Bounds {
    fn parse(schema: &Value) -> Result<Bounds, String> {
        let pattern = match schema["pattern"].as_str() {
            Some(pattern) => Some(Regex::new(pattern).map_err(|error| format!("the pattern {pattern:?}: {error}"))?),
            None => None,
        };
        let count = |name: &str| schema[name].as_u64();
        Ok(Bounds {
            options: schema["enum"].as_array().cloned().unwrap_or_default(),
            pattern,
            format: schema["format"].as_str().map(str::to_owned),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            max_properties: count("maxProperties"),
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
        })
    }
}
