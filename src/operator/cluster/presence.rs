//! Whether an object is there, where much follows from its absence and nobody looks again.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

/// The object of this name. That there is none is asked twice: an approval that is gone is denied, a sandbox that is gone is left alone, a
/// budget that is not there limits nothing, and a single 404 may be another's word than the server's.
///
/// # Errors
/// As [`Api::get_opt`].
pub(crate) async fn find<K: Clone + DeserializeOwned + Debug>(api: &Api<K>, name: &str) -> kube::Result<Option<K>> {
    match api.get_opt(name).await? {
        Some(found) => Ok(Some(found)),
        None => api.get_opt(name).await,
    }
}
