//! `x-kubernetes-validations`: the CEL rules of a schema.

use std::fmt::{self, Debug, Formatter};

use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use crate::api::status::Cause;

/// The rules of one schema, compiled.
pub(super) struct Rules {
    schema: CompiledSchema,
    validator: Validator,
    of_status: bool,
}

impl Debug for Rules {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_str("Rules")
    }
}

impl Rules {
    /// Compiles the rules; none where there are none.
    ///
    /// # Errors
    /// A rule that does not compile.
    pub(super) fn compile(schema: &Value) -> Result<Option<Rules>, String> {
        if !has_rules(schema) {
            return Ok(None);
        }
        let compiled = compile_schema(schema);
        broken(&compiled)?;
        let of_status = has_rules(&schema["properties"]["status"]);
        Ok(Some(Rules { schema: compiled, validator: Validator::new(), of_status }))
    }

    /// Whether any rule is about the status.
    pub(super) fn judge_status(&self) -> bool {
        self.of_status
    }

    /// The rules that do not hold.
    pub(super) fn judge(&self, object: &Value, live: Option<&Value>) -> Vec<Cause> {
        let (object, live) = (without_nulls(object), live.map(without_nulls));
        let Err(errors) = self.validator.validate_compiled(&self.schema, &object, live.as_ref()) else { return Vec::new() };
        let errors = errors.into_vec();
        errors
            .into_iter()
            .map(|error| Cause::new("FieldValueInvalid", error.field_path, format!("Invalid value: {}", error.message)))
            .collect()
    }
}

/// To a rule, a field that is null is absent.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let there = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("x-kubernetes-validations") || map.values().any(has_rules),
        Value::Array(items) => items.iter().any(has_rules),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn broken(schema: &CompiledSchema) -> Result<(), String> {
    if let Some(error) = schema.compilation_errors().first() {
        return Err(error.to_string());
    }
    let below = schema.properties.values().chain(schema.items.as_deref()).chain(schema.additional_properties.as_deref());
    below.into_iter().try_for_each(broken)
}
