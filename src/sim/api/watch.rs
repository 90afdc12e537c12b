//! Watches: a place in what happened, from which a client goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::read::{metadata_of, version};
use super::request::Target;
use super::selector::Selector;
use super::server::{ApiServer, Asked};
use super::status::Failure;
use super::store::Change;

/// A watch that a client has open. It holds nothing of the server: drop it to end it.
#[derive(Clone, Debug)]
pub struct Watch {
    prefix: String,
    api_version: String,
    kind: String,
    selector: Selector,
    /// Everything up to here was delivered.
    at: u64,
    first: VecDeque<Value>,
    bookmarks: bool,
    metadata_only: bool,
    failed: bool,
    ends_at: Option<Timestamp>,
}

impl Watch {
    /// Up to which version the client has seen everything.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.at
    }

    /// When the client asked for it to end (`timeoutSeconds`).
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// An object as this watch tells of it.
    fn shown(&self, object: &Value) -> Value {
        if self.metadata_only { metadata_of(object) } else { object.clone() }
    }

    /// The kind watched.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl ApiServer {
    pub(crate) fn watch(&self, asked: &Asked<'_>, target: &Target<'_>) -> Result<Watch, Failure> {
        let mut selector = self.selector(asked, target)?;
        if !target.name.is_empty() {
            let named = format!("metadata.name={}", target.name);
            selector = Selector::parse(asked.query.text("labelSelector"), &named, &[], false).map_err(Failure::bad_request)?;
        }
        let from = version(asked)?;
        let unset = asked.query.text("resourceVersion").is_empty();
        let seconds = asked.query.number("timeoutSeconds").and_then(|seconds| i64::try_from(seconds).ok());
        let mut watch = Watch {
            prefix: target.prefix(),
            api_version: target.kind.api_version(),
            kind: target.kind.kind.clone(),
            selector,
            at: from,
            first: VecDeque::new(),
            bookmarks: asked.query.is("allowWatchBookmarks"),
            metadata_only: asked.metadata_only,
            failed: false,
            ends_at: seconds.and_then(|seconds| asked.now.saturating_add(SignedDuration::from_secs(seconds)).ok()),
        };
        let initial = asked.query.is("sendInitialEvents");
        if unset || from == 0 || initial {
            watch.at = self.store.version();
            let found = self.store.under(&watch.prefix).filter(|(_, object)| watch.selector.matches(object));
            watch.first = found.map(|(_, object)| json!({ "type": "ADDED", "object": watch.shown(object) })).collect();
        }
        if initial {
            let end = bookmark(&watch, json!({ "k8s.io/initial-events-end": "true" }));
            watch.first.push_back(end);
        }
        Ok(watch)
    }

    /// The next event that the client of this watch has not seen; none while there is none.
    ///
    /// A watch that has fallen behind what the server remembers gets one `ERROR` event with `410 Expired`, and nothing after it.
    pub fn next_event(&self, watch: &mut Watch) -> Option<Value> {
        self.next_event_upto(watch, u64::MAX)
    }

    /// As [`ApiServer::next_event`], for a client whom nothing after version `upto` has reached yet.
    pub fn next_event_upto(&self, watch: &mut Watch, upto: u64) -> Option<Value> {
        if let Some(event) = watch.first.pop_front() {
            return Some(event);
        }
        if watch.failed {
            return None;
        }
        if watch.at < self.store.compacted() {
            watch.failed = true;
            let failure = Failure::expired(format!("too old resource version: {} ({})", watch.at, self.store.compacted()));
            return Some(json!({ "type": "ERROR", "object": failure.body() }));
        }
        for change in self.store.since(watch.at).take_while(|change| change.version <= upto) {
            watch.at = change.version;
            if let Some(event) = event(watch, change) {
                return Some(event);
            }
        }
        None
    }

    /// A bookmark: it tells the client up to where it has seen everything. None if it asked for none.
    #[must_use]
    pub fn bookmark(&self, watch: &Watch) -> Option<Value> {
        (watch.bookmarks && !watch.failed).then(|| bookmark(watch, Value::Null))
    }
}

fn bookmark(watch: &Watch, annotations: Value) -> Value {
    let mut metadata = json!({ "resourceVersion": watch.at.to_string(), "creationTimestamp": null });
    if !annotations.is_null() {
        metadata["annotations"] = annotations;
    }
    let bookmark = json!({ "kind": watch.kind, "apiVersion": watch.api_version, "metadata": metadata });
    json!({ "type": "BOOKMARK", "object": watch.shown(&bookmark) })
}

/// What a change is to this watch: an object that comes to be selected is added, one that stops being selected is deleted.
fn event(watch: &Watch, change: &Change) -> Option<Value> {
    if !change.key.starts_with(&watch.prefix) {
        return None;
    }
    let selected = |object: &Option<Arc<Value>>| object.clone().filter(|object| watch.selector.matches(object));
    let (kind, object) = match (selected(&change.before), selected(&change.after)) {
        (None, None) => return None,
        (None, Some(after)) => ("ADDED", watch.shown(&after)),
        (Some(_), Some(after)) => ("MODIFIED", watch.shown(&after)),
        (Some(before), None) => {
            let mut last = watch.shown(&before);
            last["metadata"]["resourceVersion"] = Value::from(change.version.to_string());
            ("DELETED", last)
        }
    };
    Some(json!({ "type": kind, "object": object }))
}
