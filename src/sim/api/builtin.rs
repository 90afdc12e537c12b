//! What the server does to and asks of objects of built-in kinds, as far as Reeve's use of them goes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::meta;
use super::status::Cause;

/// Bytes that the values of a ConfigMap or Secret may have together.
const MAX_DATA_BYTES: usize = 1_048_576;

/// An object of this kind that says nothing: parts that are always there are there.
pub(crate) fn empty(kind: &Kind) -> Value {
    let mut object = json!({ "metadata": {} });
    fill(kind, &mut object);
    object
}

fn fill(kind: &Kind, object: &mut Value) {
    let parts: &[&str] = match kind.plural.as_str() {
        "leases" | "networkpolicies" => &["spec"],
        "pods" | "jobs" | "namespaces" => &["spec", "status"],
        _ => &[],
    };
    for part in parts.iter().filter(|_| !kind.rules.custom) {
        if !object[*part].is_object() {
            object[*part] = json!({});
        }
    }
}

/// Brings an object into the form in which it is stored.
pub(crate) fn complete(kind: &Kind, object: &mut Value) {
    fill(kind, object);
    match kind.plural.as_str() {
        "configmaps" => {
            drop_empty(object, &["data", "binaryData"]);
            for value in
                object.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut).filter(|value| value.is_null())
            {
                *value = json!("");
            }
        }
        "secrets" => {
            encode(object);
            drop_empty(object, &["data"]);
            if object["type"].as_str().unwrap_or_default().is_empty() {
                object["type"] = json!("Opaque");
            }
        }
        "leases" => {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.retain(|_, value| !value.is_null());
            }
        }
        _ => {}
    }
}

fn drop_empty(object: &mut Value, fields: &[&str]) {
    let Some(map) = object.as_object_mut() else { return };
    map.retain(|name, value| !fields.contains(&name.as_str()) || !(value.is_null() || value.as_object().is_some_and(Map::is_empty)));
}

/// What `stringData` says goes into `data`, as base64.
fn encode(object: &mut Value) {
    let Some(texts) = object.as_object_mut().and_then(|map| map.remove("stringData")) else { return };
    for (name, text) in texts.as_object().into_iter().flatten() {
        object["data"][name] = Value::from(BASE64_STANDARD.encode(text.as_str().unwrap_or_default()));
    }
}

/// Why an object cannot be read as one of its kind; none if it can.
pub(crate) fn unreadable(kind: &Kind, object: &Value) -> Option<String> {
    let name = &kind.kind;
    let unread = |field: &str| {
        format!("{name} in version \"v1\" cannot be handled as a {name}: json: cannot unmarshal into Go struct field {name}.{field}")
    };
    if let Some(why) = meta::unreadable(object) {
        return Some(format!("{name} in version {:?} cannot be handled as a {name}: {why}", kind.version));
    }
    if kind.plural == "leases" {
        let spec = &object["spec"];
        let whole = |field: &str| !spec[field].is_null() && spec[field].as_i64().is_none_or(|found| i32::try_from(found).is_err());
        let text = |field: &str| !spec[field].is_null() && !spec[field].is_string();
        let wrong = ["leaseDurationSeconds", "leaseTransitions"].into_iter().find(|field| whole(field));
        return wrong.or_else(|| ["holderIdentity", "renewTime", "acquireTime"].into_iter().find(|field| text(field))).map(unread);
    }
    let texts: &[&str] = match kind.plural.as_str() {
        "configmaps" => &["data", "binaryData"],
        "secrets" => &["data", "stringData"],
        _ => &[],
    };
    texts.iter().find_map(|field| {
        let wrong = match &object[*field] {
            Value::Null => false,
            Value::Object(map) => map.values().any(|value| !value.is_string() && !value.is_null()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
        };
        wrong.then(|| unread(field))
    })
}

/// Bytes of the values of a map.
fn bytes_in(map: &Value) -> usize {
    map.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()).map(str::len).sum()
}

/// What is wrong with an object of a built-in kind.
pub(crate) fn validate(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let whole = match kind.plural.as_str() {
        "configmaps" => Some("[]"),
        "secrets" => Some("data"),
        _ => None,
    };
    let bytes: usize = ["data", "binaryData"].iter().map(|field| bytes_in(&object[*field])).sum();
    if let Some(field) = whole.filter(|_| bytes > MAX_DATA_BYTES) {
        causes.push(Cause::new("FieldValueTooLong", field, format!("Too long: may not be more than {MAX_DATA_BYTES} bytes")));
    }
    if kind.plural == "leases" {
        let spec = &object["spec"];
        let at_least =
            [("leaseDurationSeconds", 1, "must be greater than 0"), ("leaseTransitions", 0, "must be greater than or equal to 0")];
        for (field, least, why) in at_least {
            if spec[field].as_i64().is_some_and(|found| found < least) {
                causes.push(Cause::invalid(format!("spec.{field}"), &spec[field], why));
            }
        }
    }
    causes
}
