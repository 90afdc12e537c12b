//! Why a request was refused, in the words of `metav1.Status`.

use serde_json::{Value, json};

/// A refusal: the code of the answer and the `Status` that is its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// `metav1.StatusReason`; empty where the server gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about: `name`, `group`, `kind`, `uid`, `causes`.
    pub details: Option<Box<Value>>,
}

/// One thing wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// `metav1.CauseType`.
    pub(crate) reason: &'static str,
    /// Path in the object, like `spec.role`.
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Cause {
        Cause { reason, field: field.into(), message: message.into() }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Cause {
        let colon = if detail.is_empty() { "" } else { ": " };
        Cause::new("FieldValueRequired", field, format!("Required value{colon}{detail}"))
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause::new("FieldValueInvalid", field, format!("Invalid value: {}: {detail}", shown(value)))
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, supported: &[String]) -> Cause {
        Cause::new(
            "FieldValueNotSupported",
            field,
            format!("Unsupported value: {}: supported values: {}", shown(value), supported.join(", ")),
        )
    }
}

/// A value as the server prints it in a message: text quoted, a list or map by its kind only.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Which object, in the words of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
}

impl About<'_> {
    /// `agentruns.reeve.dev`, or `secrets` in the core group.
    fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    fn details(&self, kind: &str) -> Value {
        let mut details = json!({ "kind": kind });
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { code, reason, message: message.into(), details: None }
    }

    fn about(code: u16, reason: &'static str, message: String, details: Value) -> Failure {
        Failure { code, reason, message, details: Some(Box::new(details)) }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, "BadRequest", message)
    }

    /// An error that the server did not foresee: code 500 and no reason.
    pub(crate) fn unforeseen(message: impl Into<String>) -> Failure {
        Failure::new(500, "", message)
    }

    pub(crate) fn not_found(about: About<'_>) -> Failure {
        let message = format!("{} {:?} not found", about.resource(), about.name);
        Failure::about(404, "NotFound", message, about.details(about.plural))
    }

    /// No such path.
    pub(crate) fn no_such_resource() -> Failure {
        Failure::about(404, "NotFound", "the server could not find the requested resource".to_owned(), json!({}))
    }

    pub(crate) fn method_not_allowed(message: impl Into<String>) -> Failure {
        Failure::new(405, "MethodNotAllowed", message)
    }

    pub(crate) fn already_exists(about: About<'_>) -> Failure {
        let message = format!("{} {:?} already exists", about.resource(), about.name);
        Failure::about(409, "AlreadyExists", message, about.details(about.plural))
    }

    pub(crate) fn conflict(about: About<'_>, why: &str) -> Failure {
        let message = format!("Operation cannot be fulfilled on {} {:?}: {why}", about.resource(), about.name);
        Failure::about(409, "Conflict", message, about.details(about.plural))
    }

    /// Fields that others own.
    pub(crate) fn apply_conflict(causes: &[(String, String)]) -> Failure {
        let listed: Vec<Value> =
            causes.iter().map(|(message, field)| json!({ "reason": "FieldManagerConflict", "message": message, "field": field })).collect();
        let noun = if causes.len() == 1 { "conflict" } else { "conflicts" };
        let mut message = format!("Apply failed with {} {noun}: ", causes.len());
        message += &conflict_text(causes);
        Failure::about(409, "Conflict", message, json!({ "causes": listed }))
    }

    pub(crate) fn invalid(about: About<'_>, causes: &[Cause]) -> Failure {
        let kind = if about.group.is_empty() { about.kind.to_owned() } else { format!("{}.{}", about.kind, about.group) };
        let mut texts: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        texts.dedup();
        let text = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let message = format!("{kind} {:?} is invalid: {text}", about.name);
        let mut details = about.details(about.kind);
        details["causes"] =
            causes.iter().map(|cause| json!({ "reason": cause.reason, "message": cause.message, "field": cause.field })).collect();
        Failure::about(422, "Invalid", message, details)
    }

    pub(crate) fn forbidden(about: About<'_>, why: &str) -> Failure {
        let message = format!("{} {:?} is forbidden: {why}", about.resource(), about.name);
        Failure::about(403, "Forbidden", message, about.details(about.plural))
    }

    pub(crate) fn expired(message: impl Into<String>) -> Failure {
        Failure::new(410, "Expired", message)
    }

    pub(crate) fn too_large_version(wanted: u64, current: u64) -> Failure {
        Failure::about(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {wanted}, current: {current}"),
            json!({ "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }], "retryAfterSeconds": 1 }),
        )
    }

    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Failure {
        Failure::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Failure {
        Failure::new(413, "RequestEntityTooLarge", message)
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = (**details).clone();
        }
        body
    }
}

/// Conflicts by who owns them, as a person reads them.
fn conflict_text(causes: &[(String, String)]) -> String {
    if let [(message, field)] = causes {
        return format!("{message}: {field}");
    }
    let mut text = String::new();
    let mut last = "";
    for (message, field) in causes {
        if message != last {
            text += &format!("{}{}:", if last.is_empty() { "" } else { "\n" }, message.replace("conflict with", "conflicts with"));
            last = message;
        }
        text += &format!("\n- {field}");
    }
    text
}
