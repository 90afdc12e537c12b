//! What holds for the metadata of every object.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::status::Cause;

/// Bytes that all annotations of an object may have together, names and values.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// A time as objects carry it: UTC, in whole seconds.
pub(crate) fn seconds(now: Timestamp) -> Value {
    Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A text of the metadata; empty if absent.
pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"][name].as_str().unwrap_or_default()
}

pub(crate) fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

pub(crate) fn is_ending(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The metadata of an object; an object without any gets an empty one.
pub(crate) fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => unreachable!("it was made an object"),
    }
}

/// Drops what the server never keeps: empty lists and maps, and nulls.
pub(crate) fn tidy(object: &mut Value) {
    let metadata = of(object);
    metadata.remove("selfLink");
    for field in ["labels", "annotations"] {
        for value in metadata.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            if value.is_null() {
                *value = Value::from("");
            }
        }
    }
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    });
}

/// Why the metadata cannot be read; none if it can.
pub(crate) fn unreadable(object: &Value) -> Option<String> {
    let metadata = &object["metadata"];
    let texts = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(|value| value.is_string() || value.is_null()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    };
    let list = |value: &Value, form: fn(&Value) -> bool| value.is_null() || value.as_array().is_some_and(|items| items.iter().all(form));
    let fits = [
        ("labels", texts(&metadata["labels"])),
        ("annotations", texts(&metadata["annotations"])),
        ("finalizers", list(&metadata["finalizers"], Value::is_string)),
        ("ownerReferences", list(&metadata["ownerReferences"], Value::is_object)),
    ];
    let wrong = fits.into_iter().find(|(_, fits)| !fits).map(|(name, _)| name);
    wrong.map(|name| format!("json: cannot unmarshal into Go struct field ObjectMeta.{name}"))
}

/// What is wrong with an object's metadata.
pub(crate) fn validate(object: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    let metadata = &object["metadata"];
    let name = text(object, "name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if let Some(why) = if kind.plural == "namespaces" { not_a_label(name) } else { not_a_subdomain(name) } {
        causes.push(Cause::invalid("metadata.name", &metadata["name"], &why));
    }
    owners(metadata, &mut causes);
    finalizer_names(metadata, kind.rules.custom, &mut causes);
    let bytes: usize = entries(&metadata["annotations"]).map(|(name, value)| name.len() + value.len()).sum();
    for (name, _) in entries(&metadata["annotations"]) {
        // Annotation names may have capitals in their prefix; they are judged in lower case.
        if let Some(why) = not_a_qualified_name(&name.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &Value::from(name), &why));
        }
    }
    if bytes > MAX_ANNOTATION_BYTES {
        let message = format!("Too long: may not be more than {MAX_ANNOTATION_BYTES} bytes");
        causes.push(Cause::new("FieldValueTooLong", "metadata.annotations", message));
    }
    for (name, value) in entries(&metadata["labels"]) {
        if let Some(why) = not_a_qualified_name(name) {
            causes.push(Cause::invalid("metadata.labels", &Value::from(name), &why));
        }
        if let Some(why) = not_a_label_value(value) {
            causes.push(Cause::invalid("metadata.labels", &Value::from(value), &why));
        }
    }
    causes
}

/// What an update may not change.
pub(crate) fn validate_update(object: &Value, live: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (new, old) = (&object["metadata"], &live["metadata"]);
    if is_ending(live) {
        let before = finalizers(live);
        let added: Vec<&str> = finalizers(object).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
        if !added.is_empty() {
            let message = format!(
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            );
            causes.push(Cause::new("FieldValueForbidden", "metadata.finalizers", message));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if new[field] != old[field] {
            causes.push(Cause::invalid(format!("metadata.{field}"), &new[field], "field is immutable"));
        }
    }
    causes
}

/// Puts back what an update left out and the server keeps.
pub(crate) fn carry_over(object: &mut Value, live: &Value) {
    let metadata = of(object);
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "name"] {
        if metadata.get(field).is_none_or(Value::is_null)
            && let Some(value) = live["metadata"].get(field)
        {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

fn owners(metadata: &Value, causes: &mut Vec<Cause>) {
    let listed = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut controllers = 0;
    for owner in listed {
        let (version, controller) = (owner["apiVersion"].as_str().unwrap_or_default(), owner["controller"] == true);
        let mut wrong = |field: &str, value: &Value, why: &str| {
            causes.push(Cause::invalid(format!("metadata.ownerReferences.{field}"), value, why));
        };
        let empty = Value::from("");
        let part = |name: &str| owner.get(name).unwrap_or(&empty);
        if version.split('/').next_back().unwrap_or_default().is_empty() {
            wrong("apiVersion", part("apiVersion"), "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if part(field) == "" {
                wrong(field, part(field), "must not be empty");
            }
        }
        controllers += usize::from(controller);
    }
    if controllers > 1 {
        let value = Value::Array(listed.to_vec());
        let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
        causes.push(Cause::invalid("metadata.ownerReferences", &value, why));
    }
}

fn finalizer_names(metadata: &Value, custom: bool, causes: &mut Vec<Cause>) {
    let field = "metadata.finalizers";
    let names: Vec<&str> = metadata["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (at, name) in names.iter().enumerate() {
        if let Some(why) = not_a_qualified_name(name) {
            causes.push(Cause::invalid(field, &Value::from(*name), &why));
        } else if !custom && !name.contains('/') && !matches!(*name, "orphan" | "foregroundDeletion" | "kubernetes") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(format!("{field}[{at}]"), &Value::from(*name), why));
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let value = json!(names);
        causes.push(Cause::invalid(field, &value, "finalizer orphan and foregroundDeletion cannot be both set"));
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and \
    end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
    alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and \
    end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
    character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_name_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |text: Option<char>| text.is_some_and(|letter| letter.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.chars().next()) && edge(text.chars().next_back())
}

fn not_a_subdomain(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some("must be no more than 253 bytes".to_owned());
    }
    (!text.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned())
}

fn not_a_label(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!is_label(text)).then(|| LABEL.to_owned())
}

fn not_a_label_value(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!text.is_empty() && !is_name_part(text)).then(|| LABEL_VALUE.to_owned())
}

fn not_a_qualified_name(text: &str) -> Option<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.contains('/') {
        return Some(
            "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
             character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
             '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
                .to_owned(),
        );
    }
    if prefix == Some("") {
        return Some("prefix part must be non-empty".to_owned());
    }
    if let Some(why) = prefix.and_then(not_a_subdomain) {
        return Some(format!("prefix part {why}"));
    }
    if name.is_empty() {
        return Some("name part must be non-empty".to_owned());
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!is_name_part(name)).then(|| QUALIFIED.to_owned())
}
