//! GET of one object, and lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::request::Target;
use super::selector::Selector;
use super::server::{ApiServer, Asked};
use super::status::Failure;

impl ApiServer {
    pub(crate) fn get(&self, asked: &Asked<'_>, target: &Target<'_>) -> Result<(u16, Arc<Value>), Failure> {
        let found = self.store.get(&target.key()).ok_or_else(|| Failure::not_found(target.about()))?;
        Ok((200, if asked.metadata_only { Arc::new(metadata_of(found)) } else { Arc::clone(found) }))
    }

    pub(crate) fn selector(&self, asked: &Asked<'_>, target: &Target<'_>) -> Result<Selector, Failure> {
        let (labels, fields) = (asked.query.text("labelSelector"), asked.query.text("fieldSelector"));
        Selector::parse(labels, fields, &target.kind.selectable, target.kind.rules.custom).map_err(Failure::bad_request)
    }

    pub(crate) fn list(&self, asked: &Asked<'_>, target: &Target<'_>) -> Result<(u16, Arc<Value>), Failure> {
        let selector = self.selector(asked, target)?;
        let prefix = target.prefix();
        let limit = asked.query.number("limit").filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
        let (version, after) = self.list_from(asked)?;
        let found: BTreeMap<String, Arc<Value>> = self.store.at(version, &prefix).ok_or_else(|| {
            Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the \
                 continue parameter.",
            )
        })?;
        let mut left = found.iter().filter(|(key, object)| after.as_ref().is_none_or(|after| *key > after) && selector.matches(object));
        let page: Vec<(&String, &Arc<Value>)> = left.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        let rest = left.count();
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if let Some((last, _)) = page.last().filter(|_| rest > 0) {
            metadata["continue"] = json!(format!("{version}:{last}"));
            if selector.is_empty() {
                metadata["remainingItemCount"] = json!(rest);
            }
        }
        let (kind, api_version) = if asked.metadata_only {
            ("PartialObjectMetadataList".to_owned(), META.to_owned())
        } else {
            (format!("{}List", target.kind.kind), target.kind.api_version())
        };
        let shown = |object: &Value| if asked.metadata_only { metadata_of(object) } else { item(target, object) };
        let items: Vec<Value> = page.into_iter().map(|(_, object)| shown(object)).collect();
        // kube-apiserver has nothing there where it has no metadata to show, and an empty list where it has no objects.
        let items = if asked.metadata_only && items.is_empty() { Value::Null } else { Value::from(items) };
        let body = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items });
        Ok((200, Arc::new(body)))
    }

    /// At which version to list, and after which key to begin.
    fn list_from(&self, asked: &Asked<'_>) -> Result<(u64, Option<String>), Failure> {
        let current = self.store.version();
        let token = asked.query.text("continue");
        if !token.is_empty() {
            let parts = token.split_once(':').and_then(|(version, key)| Some((version.parse().ok()?, Some(key.to_owned()))));
            return parts.ok_or_else(|| Failure::bad_request("continue key is not valid: it is not one that this server gave"));
        }
        let wanted = version(asked)?;
        if wanted > current {
            return Err(Failure::too_large_version(wanted, current));
        }
        let exact = asked.query.text("resourceVersionMatch") == "Exact";
        if exact && wanted < self.store.compacted() {
            return Err(Failure::expired("The resourceVersion for the provided list is too old."));
        }
        Ok((if exact { wanted } else { current }, None))
    }
}

/// The `resourceVersion` of a query; absent is 0.
pub(crate) fn version(asked: &Asked<'_>) -> Result<u64, Failure> {
    match asked.query.text("resourceVersion") {
        "" => Ok(0),
        text => text.parse().map_err(|_| Failure::bad_request(format!("resourceVersion: Invalid value: {text:?}: not a number"))),
    }
}

/// Group and version of answers that are about objects and not objects.
const META: &str = "meta.k8s.io/v1";

/// What of an object is shown to who asks for no more than its metadata.
pub(crate) fn metadata_of(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": META, "metadata": object["metadata"] })
}

/// An object as it is in a list: built-in kinds leave out there what the list says once.
fn item(target: &Target<'_>, object: &Value) -> Value {
    let mut item = object.clone();
    if let Some(map) = item.as_object_mut().filter(|_| !target.kind.rules.custom) {
        map.remove("kind");
        map.remove("apiVersion");
    }
    item
}
