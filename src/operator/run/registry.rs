//! Which runs are driven, and how to reach their drivers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt as _;
use reeve_api::AgentRun;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::driver;
use crate::context::Context;

/// Drivers by the UID of their run. At most one a run: a driver is started under the lock and removes itself under it.
#[derive(Default)]
pub(crate) struct Registry {
    drivers: Mutex<BTreeMap<String, Handle>>,
}

struct Handle {
    object: watch::Sender<Arc<AgentRun>>,
    gone: CancellationToken,
    namespace: String,
    name: String,
}

impl Registry {
    /// Hands the object to its driver, and starts one where there is none.
    pub(crate) fn drive(&self, context: &Arc<Context>, run: Arc<AgentRun>) {
        let Some(uid) = run.uid() else { return };
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = drivers.get(&uid) {
            handle.object.send_replace(run);
            return;
        }
        let gone = context.stop.child_token();
        let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
        let (object, seen) = watch::channel(run);
        drivers.insert(uid.clone(), Handle { object, gone: gone.clone(), namespace, name });
        drop(drivers);
        let context = Arc::clone(context);
        tokio::spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                () = driver::supervise(Arc::clone(&context), seen) => {}
            }
            context.runs.drivers.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        });
    }

    /// Whether this run is driven.
    pub(crate) fn drives(&self, uid: &str) -> bool {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(uid)
    }

    /// Stops the drivers of this name whose object is gone, or is another one by now.
    pub(crate) fn forget(&self, namespace: &str, name: &str, but: Option<&str>) {
        let drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        for (uid, handle) in drivers.iter() {
            if handle.namespace == namespace && handle.name == name && Some(uid.as_str()) != but {
                handle.gone.cancel();
            }
        }
    }
}
