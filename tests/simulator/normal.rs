//! What two servers cannot have in common is replaced: UIDs, versions and times.

use std::collections::BTreeMap;

use serde_json::Value;

/// What one side has shown of UIDs and versions so far, in order of appearance.
#[derive(Default)]
pub(super) struct Seen {
    names: BTreeMap<String, String>,
}

impl Seen {
    /// The same body for the same answer, whichever server gave it.
    pub(super) fn normal(&mut self, body: &Value, namespace: &str) -> Value {
        let mut body = body.clone();
        self.value(&mut body, namespace);
        body
    }

    fn value(&mut self, value: &mut Value, namespace: &str) {
        match value {
            Value::Object(map) => {
                if map.get("kind").is_some_and(|kind| kind == "Status") && map.contains_key("status") {
                    blur(map);
                }
                if map.contains_key("items") && map.contains_key("metadata") {
                    list(&mut map["metadata"]);
                }
                for (name, value) in map.iter_mut() {
                    match (name.as_str(), &mut *value) {
                        ("uid", Value::String(text)) if text.len() == 36 => *text = self.name("uid", text),
                        ("resourceVersion", Value::String(text)) => *text = self.name("version", text),
                        ("creationTimestamp" | "deletionTimestamp" | "time", Value::String(text)) => *text = "a time".to_owned(),
                        ("managedFields", Value::Array(entries)) => owners(entries),
                        _ => {}
                    }
                    self.value(value, namespace);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.value(item, namespace);
                }
            }
            Value::String(text) => {
                for (found, name) in &self.names {
                    if name.starts_with("uid") && text.contains(found.as_str()) {
                        *text = text.replace(found.as_str(), name);
                    }
                }
                *text = text.replace(namespace, "the-namespace");
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn name(&mut self, what: &str, text: &str) -> String {
        let next = self.names.values().filter(|name| name.starts_with(what)).count();
        self.names.entry(text.to_owned()).or_insert_with(|| format!("{what} {next}")).clone()
    }
}

/// A list's own version counts the writes of the whole cluster, and what a token to go on is made of is the server's business.
fn list(metadata: &mut Value) {
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("resourceVersion");
        let goes_on = metadata.get("continue").is_some_and(|token| token != "");
        metadata.insert("continue".to_owned(), Value::from(goes_on));
    }
}

/// Entries differ in times, and in whether they have one; their order is by time.
fn owners(entries: &mut [Value]) {
    for entry in entries.iter_mut() {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("time");
        }
    }
    entries.sort_by_key(|entry| ["manager", "operation", "subresource", "apiVersion"].map(|name| entry[name].to_string()));
}

/// Texts that tell what a Go type is called, or the whole object, are cut to what they are about.
fn blur(status: &mut serde_json::Map<String, Value>) {
    let message = status.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    for start in ["failed to create typed patch object", "error decoding patch", "invalid continue token"] {
        if message.starts_with(start) {
            status.insert("message".to_owned(), Value::from(start));
        }
    }
    for (part, whole) in [(" cannot be handled as a ", "cannot be handled"), ("json: cannot unmarshal", "cannot be handled")] {
        if message.contains(part) {
            status.insert("message".to_owned(), Value::from(whole));
            status.remove("details");
        }
    }
    causes(status, &message);
    if message.contains("Key: /registry/") {
        status.insert("message".to_owned(), Value::from(message.replace("Key: /registry/", "Key: /")));
    }
    // A version that was asked for and is not the live one.
    if let Some((before, after)) = message.split_once("the ResourceVersion in the precondition")
        && after.contains("does not match the ResourceVersion in record")
    {
        status.insert("message".to_owned(), Value::from(format!("{before}another ResourceVersion")));
    }
}

/// The real server tells some causes twice, and in the order of a Go map.
fn causes(status: &mut serde_json::Map<String, Value>, message: &str) {
    let Some(causes) = status.get_mut("details").and_then(|details| details["causes"].as_array_mut()) else { return };
    causes.sort_by_key(Value::to_string);
    causes.dedup();
    if let Some((about, _)) = message.split_once(" is invalid: [") {
        status.insert("message".to_owned(), Value::from(format!("{about} is invalid")));
    }
}
