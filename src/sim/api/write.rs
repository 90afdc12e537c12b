//! What all writes have in common.

use bytes::Bytes;
use serde_json::Value;

use super::builtin;
use super::meta;
use super::ownership::Writer;
use super::request::Target;
use super::server::{ApiServer, Asked};
use super::status::{About, Failure};

/// Bytes of an object that etcd takes in one request.
const MAX_OBJECT_BYTES: usize = 1_572_864;

/// Reads the object of a request and sees that it is of the kind and namespace that the path names.
///
/// # Errors
/// 400, in the server's words.
pub(crate) fn parse(target: &Target<'_>, body: &Bytes) -> Result<Value, Failure> {
    let kind = target.kind;
    let unread = |error: String| {
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; {error}",
            kind.kind
        ))
    };
    let mut object: Value = serde_json::from_slice(body).map_err(|error| unread(format!("json parse error: {error}")))?;
    if !object.is_object() {
        return Err(unread("json parse error: not an object".to_owned()));
    }
    let (api_version, name) = (kind.api_version(), kind.kind.clone());
    for (field, wanted) in [("apiVersion", &api_version), ("kind", &name)] {
        match object[field].as_str().unwrap_or_default() {
            "" if kind.rules.custom => {
                return Err(Failure::bad_request(format!("the object provided is unrecognized: {field} is missing")));
            }
            "" => object[field] = Value::from(wanted.as_str()),
            found if found == wanted => {}
            found => {
                return Err(Failure::bad_request(format!("{found} cannot be handled as {wanted}: the path names another kind")));
            }
        }
    }
    if let Some(why) = builtin::unreadable(kind, &object) {
        return Err(Failure::bad_request(why));
    }
    let namespace = meta::text(&object, "namespace");
    if namespace.is_empty() && !target.namespace.is_empty() {
        meta::of(&mut object).insert("namespace".to_owned(), Value::from(target.namespace));
    } else if namespace != target.namespace {
        return Err(Failure::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    Ok(object)
}

impl ApiServer {
    pub(crate) fn writer<'a>(
        &self,
        asked: &'a Asked<'_>,
        target: &Target<'a>,
        api_version: &'a str,
        operation: &'static str,
    ) -> Writer<'a> {
        Writer { manager: &asked.manager, operation, api_version, subresource: target.subresource }
    }

    /// Sees that the namespace is there and, for a create, that it is not ending.
    ///
    /// # Errors
    /// 404 or 403.
    pub(crate) fn in_namespace(&self, target: &Target<'_>, name: &str) -> Result<(), Failure> {
        if target.namespace.is_empty() {
            return Ok(());
        }
        let found = self.store.get(&format!("/namespaces/{}", target.namespace));
        let about = About { group: "", plural: "namespaces", kind: "Namespace", name: target.namespace };
        match found {
            None => Err(Failure::not_found(about)),
            Some(namespace) if meta::is_ending(namespace) => {
                let why = format!("unable to create new content in namespace {} because it is being terminated", target.namespace);
                let mut failure = Failure::forbidden(About { name, ..target.about() }, &why);
                if let Some(details) = &mut failure.details {
                    details["causes"] = serde_json::json!([{ "reason": "NamespaceTerminating",
                        "message": format!("namespace {} is being terminated", target.namespace), "field": "metadata.namespace" }]);
                }
                Err(failure)
            }
            Some(_) => Ok(()),
        }
    }
}

/// Sees that etcd would take it.
///
/// # Errors
/// 500, as kube-apiserver answers.
pub(crate) fn fits(object: &Value) -> Result<(), Failure> {
    let mut counted = Counted(0);
    let written = serde_json::to_writer(&mut counted, object);
    if written.is_err() || counted.0 > MAX_OBJECT_BYTES {
        return Err(Failure::unforeseen("etcdserver: request is too large"));
    }
    Ok(())
}

/// Counts what is written and keeps none of it.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
