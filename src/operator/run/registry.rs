//! Which runs are driven, and how to reach their drivers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt as _;
use reeve_api::AgentRun;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{RunLog, driver};
use crate::context::Context;
use crate::gone::Gone;
use crate::scope::Scope;

/// Drivers by the UID of their run. At most one a run: a driver is started under the lock and removes itself under it.
#[derive(Default)]
pub(crate) struct Registry {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    drivers: BTreeMap<String, Handle>,
    gone: Gone,
}

struct Handle {
    object: watch::Sender<Arc<AgentRun>>,
    acting: Arc<AtomicBool>,
    gone: CancellationToken,
    namespace: String,
    name: String,
}

impl Registry {
    /// Hands the object to its driver, and starts one where there is none. A run that is known to be gone gets none.
    pub(crate) fn drive(&self, context: &Arc<Context>, run: Arc<AgentRun>) {
        let Some(uid) = run.uid() else { return };
        let mut held = self.lock();
        if held.gone.knows(&uid) {
            return;
        }
        if let Some(handle) = held.drivers.get(&uid) {
            handle.object.send_replace(run);
            return;
        }
        let gone = context.stop.child_token();
        let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
        let (object, seen) = watch::channel(run);
        let acting = Arc::new(AtomicBool::new(false));
        held.drivers.insert(uid.clone(), Handle { object, acting: Arc::clone(&acting), gone: gone.clone(), namespace, name });
        drop(held);
        let context = Arc::clone(context);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = gone.cancelled() => {}
                () = driver::supervise(Arc::clone(&context), seen, acting) => {}
            }
            context.runs.lock().drivers.remove(&uid);
            // Deleted, not stopped: nobody else settles what it had reserved.
            if gone.is_cancelled()
                && !context.stop.is_cancelled()
                && let Err(error) = RunLog::settle_gone(&context, &uid).await
            {
                tracing::error!(uid, %error, "what a deleted run had reserved could not be settled; the next start does it");
            }
        });
    }

    /// Whether this run is driven.
    pub(crate) fn drives(&self, uid: &str) -> bool {
        self.lock().drivers.contains_key(uid)
    }

    /// Has the driver of this run look again: something that it waits for has changed.
    pub(crate) fn ring(&self, uid: &str) {
        if let Some(handle) = self.lock().drivers.get(uid) {
            handle.object.send_modify(|_| {});
        }
    }

    /// How many runs that this covers are driven.
    pub(crate) fn count(&self, covers: impl Fn(&str) -> bool) -> usize {
        self.lock().drivers.values().filter(|handle| covers(&handle.namespace)).count()
    }

    /// Whether a run that this covers is asking a model or calling a tool.
    pub(crate) fn acts(&self, covers: impl Fn(&str) -> bool) -> bool {
        self.lock().drivers.values().any(|handle| covers(&handle.namespace) && handle.acting.load(Ordering::SeqCst))
    }

    /// Stops the drivers of this name whose object is gone, or is another one by now.
    pub(crate) fn forget(&self, namespace: &str, name: &str, but: Option<&str>) {
        for (uid, handle) in &self.lock().drivers {
            if handle.namespace == namespace && handle.name == name && Some(uid.as_str()) != but {
                handle.gone.cancel();
            }
        }
    }

    /// Stops the driver of this run: its object is gone. Another run of the same name goes on.
    pub(crate) fn forget_uid(&self, uid: &str) {
        let mut held = self.lock();
        held.gone.remember(uid);
        if let Some(handle) = held.drivers.get(uid) {
            handle.gone.cancel();
        }
    }

    /// UIDs of the runs that are driven in this scope.
    pub(crate) fn uids(&self, scope: &Scope) -> BTreeSet<String> {
        self.lock().drivers.iter().filter(|(_, handle)| scope.covers(&handle.namespace)).map(|(uid, _)| uid.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
