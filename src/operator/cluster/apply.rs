//! Writing to the API server: our own status, and objects that belong to one of ours.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::PostParams;
use kube::core::Status;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use reeve_api::FIELD_MANAGER;
use reeve_core::class::Class;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The name is in use by an object that is not ours. Nothing was changed.
    #[error(
        "expected {kind} {namespace}/{name} to be free or to belong to UID {expected}, but it belongs to {found}: delete it, or rename yours"
    )]
    NameTaken {
        /// Kind of the object.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// UID of the owner that was to have it.
        expected: String,
        /// What owns it, in words.
        found: String,
    },
    /// Another object has the name by now. Nothing was changed.
    #[error("expected {object} to have UID {expected}, but that one is gone and its name has UID {found:?}")]
    MadeAnew {
        /// Kind, namespace and name of the object.
        object: String,
        /// The UID that was meant.
        expected: String,
        /// The one that is there; empty where there is none.
        found: String,
    },
    /// Its phase is another than the one that was seen when this was decided. Nothing was changed.
    #[error("expected {object} to be {expected} still, but it is {found}: what was seen of it is old")]
    MovedOn {
        /// Kind, namespace and name of the object.
        object: String,
        /// The phase that was seen.
        expected: String,
        /// The one that it has; empty where it has none.
        found: String,
    },
    /// Something has the name, and cannot be read: whose it is, is not known. That is no refusal of the object.
    #[error("reading {object}, which is there: {source}")]
    Unread {
        /// Kind, namespace and name of the object.
        object: String,
        /// The error.
        source: kube::Error,
    },
    /// The object to write has no name, no UID or no controller: a bug of the caller.
    #[error("cannot write {kind}: it has no {missing}")]
    Incomplete {
        /// Kind of the object.
        kind: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The API server refused, or could not be reached.
    #[error("{doing}: {source}")]
    Api {
        /// The step.
        doing: String,
        /// The error.
        source: kube::Error,
    },
}

impl WriteError {
    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            WriteError::NameTaken { .. } => Class::Invalid,
            WriteError::MadeAnew { .. } | WriteError::MovedOn { .. } => Class::Conflict,
            WriteError::Incomplete { .. } => Class::Bug,
            // Rights that are missing may be given again.
            WriteError::Unread { source, .. } => match classify(source) {
                Class::Invalid => Class::Transient,
                class @ (Class::Conflict | Class::Throttled | Class::Transient | Class::Bug) => class,
            },
            WriteError::Api { source, .. } => classify(source),
        }
    }

    /// Whether the object that was meant is no more, so that nothing will ever be written to it. A conflict alone may pass.
    pub fn is_gone(&self) -> bool {
        match self {
            WriteError::MadeAnew { .. } => true,
            WriteError::Api { source: kube::Error::Api(status), .. } => status.code == 404 && is_said(status),
            WriteError::NameTaken { .. }
            | WriteError::MovedOn { .. }
            | WriteError::Unread { .. }
            | WriteError::Incomplete { .. }
            | WriteError::Api { .. } => false,
        }
    }
}

/// What kind of trouble an error of the API server is.
///
/// Reasons as in `k8s.io/apimachinery/pkg/apis/meta/v1/types.go`; where a status has none, its HTTP code decides.
#[allow(clippy::wildcard_enum_match_arm, reason = "which variants there are depends on kube's features")]
pub fn classify(error: &kube::Error) -> Class {
    match error {
        kube::Error::Api(status) => of_status(&status.reason, status.code),
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::HttpError(_)
        | kube::Error::Auth(_)
        | kube::Error::UpgradeConnection(_) => Class::Transient,
        kube::Error::SerdeError(_)
        | kube::Error::BuildRequest(_)
        | kube::Error::FromUtf8(_)
        | kube::Error::LinesCodecMaxLineLengthExceeded => Class::Bug,
        // What is left concerns the configuration of the client.
        _ => Class::Invalid,
    }
}

/// What kind of trouble a watch met.
pub(crate) fn classify_watch(error: &watcher::Error) -> Class {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            classify(error)
        }
        watcher::Error::WatchError(status) => of_status(&status.reason, status.code),
        // A server that lists without a version cannot be watched.
        watcher::Error::NoResourceVersion => Class::Invalid,
    }
}

/// What kube gives as the reason of an answer that is no `Status`: half of one, or the page of a proxy.
const UNREADABLE: &str = "Failed to parse error data";

/// Whether the API server itself said this. Anything else with an error's code says nothing about the object.
pub(crate) fn is_said(status: &Status) -> bool {
    status.reason != UNREADABLE
}

fn of_status(reason: &str, code: u16) -> Class {
    match (reason, code) {
        ("ServerTimeout" | "TooManyRequests", _) | (_, 429) => Class::Throttled,
        (UNREADABLE, _) => Class::Transient,
        // A namespace that is going away, or an old resourceVersion: read again.
        ("Conflict" | "AlreadyExists" | "NotFound" | "Gone" | "Expired", _) | (_, 404 | 409 | 410) => Class::Conflict,
        // A token that has just been rotated is taken at the next try.
        ("Unauthorized" | "InternalError" | "ServiceUnavailable" | "Timeout", _) | (_, 401 | 408 | 500..) => Class::Transient,
        ("MethodNotAllowed" | "NotAcceptable" | "UnsupportedMediaType" | "BadRequest", _) => Class::Bug,
        _ => Class::Invalid,
    }
}

/// Makes `status` the whole status of `of`. Costs one write even if nothing changed.
///
/// A JSON patch that first tests the UID, so an object that was deleted and made again under the same name keeps its own status. The other
/// ways do not: for custom kinds the server takes the metadata of an applied or merged status from what it has, and the UID that was sent
/// is never compared.
///
/// `seen` is the status that this one was decided on, where that came from a cache: if the phase is another by now, nothing is written. A
/// cache that is behind its own writer would take an object out of the phase that ended it.
///
/// # Errors
/// [`WriteError::MadeAnew`], [`WriteError::MovedOn`], [`WriteError::Api`], [`WriteError::Incomplete`].
pub async fn write_status<K, S>(client: &Client, of: &K, seen: Option<&S>, status: &S) -> Result<K, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    S: Serialize + Sync,
{
    let (namespace, name, uid) = address(of)?;
    let kind = K::kind(&());
    let failed = |source| WriteError::Api { doing: format!("writing the status of {kind} {namespace}/{name}"), source };
    let phase = seen.and_then(|seen| serde_json::to_value(seen).ok()?.get("phase")?.as_str().map(str::to_owned));
    let tests = phase.iter().map(|phase| json!({ "op": "test", "path": "/status/phase", "value": phase }));
    let operations: Vec<Value> = std::iter::once(json!({ "op": "test", "path": "/metadata/uid", "value": uid }))
        .chain(tests)
        .chain([json!({ "op": "add", "path": "/status", "value": status })])
        .collect();
    let url = format!("{}/{name}", K::url_path(&(), Some(&namespace)));
    let request = http::Request::patch(format!("{url}/status?fieldManager={FIELD_MANAGER}"))
        .header(http::header::CONTENT_TYPE, "application/json-patch+json")
        .body(Value::from(operations).to_string().into_bytes())
        .map_err(|error| failed(kube::Error::HttpError(error)))?;
    let refused = match client.request::<K>(request).await {
        Err(kube::Error::Api(refused)) if refused.code == 422 => refused,
        answer => return answer.map_err(failed),
    };
    // A test that does not hold and a status that the schema refuses have the same code; only the object tells which it was.
    let asked = http::Request::get(url).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let found = match client.request::<Value>(asked).await {
        Err(kube::Error::Api(gone)) if gone.code == 404 => Value::Null,
        answer => answer.map_err(failed)?,
    };
    let object = format!("{kind} {namespace}/{name}");
    let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (found_uid, found_phase) = (text("/metadata/uid"), text("/status/phase"));
    if found_uid != uid {
        return Err(WriteError::MadeAnew { object, expected: uid, found: found_uid });
    }
    match phase {
        Some(expected) if expected != found_phase => Err(WriteError::MovedOn { object, expected, found: found_phase }),
        _ => Err(failed(kube::Error::Api(refused))),
    }
}

fn address<K: Resource<DynamicType = ()>>(of: &K) -> Result<(String, String, String), WriteError> {
    let missing = |missing| WriteError::Incomplete { kind: K::kind(&()).into_owned(), missing };
    let meta = of.meta();
    let namespace = meta.namespace.clone().ok_or_else(|| missing("namespace"))?;
    let name = meta.name.clone().ok_or_else(|| missing("name"))?;
    let uid = meta.uid.clone().ok_or_else(|| missing("UID"))?;
    Ok((namespace, name, uid))
}

/// What [`create_owned`] found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<K> {
    /// It is fresh.
    Made(K),
    /// It was there and is ours: made before a crash, or by a request whose answer was lost. It may be ending; look.
    Found(K),
}

impl<K> Created<K> {
    /// The object.
    pub fn into_object(self) -> K {
        match self {
            Created::Made(object) | Created::Found(object) => object,
        }
    }
}

/// Makes sure that an object of this name exists and belongs to the controller that `object` names. Never changes one that exists.
///
/// The client retries a POST by itself, so a conflict says nothing about whose the object is; its owner's UID does.
///
/// # Errors
/// [`WriteError::NameTaken`] when it is someone else's, [`WriteError::Api`], [`WriteError::Incomplete`] when `object` has no controller.
pub async fn create_owned<K>(client: &Client, object: &K) -> Result<Created<K>, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let kind = || K::kind(&()).into_owned();
    let missing = |missing| WriteError::Incomplete { kind: kind(), missing };
    let namespace = object.meta().namespace.clone().ok_or_else(|| missing("namespace"))?;
    let name = object.meta().name.clone().ok_or_else(|| missing("name"))?;
    let owner = controller(object).ok_or_else(|| missing("controller"))?;
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let object_name = || format!("{} {namespace}/{name}", kind());
    match api.create(&PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }, object).await {
        Ok(made) => return Ok(Created::Made(made)),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
        Err(source) => return Err(WriteError::Api { doing: format!("creating {}", object_name()), source }),
    }
    let found = api.get(&name).await.map_err(|source| WriteError::Unread { object: object_name(), source })?;
    match controller(&found) {
        Some(uid) if uid == owner => Ok(Created::Found(found)),
        other => {
            let found = other.map_or_else(|| "nobody".to_owned(), |uid| format!("UID {uid}"));
            Err(WriteError::NameTaken { kind: kind(), namespace, name, expected: owner, found })
        }
    }
}

fn controller<K: Resource>(object: &K) -> Option<String> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

#[cfg(test)]
mod tests;
