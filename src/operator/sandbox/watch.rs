//! Waiting for a sandbox's Pod, by events.

use std::mem::Discriminant;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::api::ListParams;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use reeve_api::label;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{PodView, Problem};
use crate::cluster::{classify_watch, patient};
use crate::telemetry::{Event as _, WatchFailed};

/// A Job without a Pod for so long is looked into, and again after as long.
const NO_POD: Duration = Duration::from_secs(15);

/// Every sandbox's Pod as last seen, without its spec, and a bell that rings when one changes. Clones share it.
#[derive(Clone, Debug)]
pub struct Pods {
    store: Store<Pod>,
    bell: watch::Receiver<()>,
}

impl Pods {
    /// The Pod of a Job, if it is known.
    pub fn of_job(&self, job_uid: &str) -> Option<PodView> {
        let owned = self.store.state_filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == job_uid));
        // There is never more than one that lives.
        owned.iter().min_by_key(|pod| pod.metadata.deletion_timestamp.is_some()).map(|pod| PodView::of(pod))
    }

    /// Waits until every Pod that exists is known.
    pub async fn ready(&self) {
        // A writer that is gone before it was ready never will be; whoever waits for a Pod then says so.
        let _ = self.store.wait_until_ready().await;
    }
}

/// Watches the sandboxes of a namespace, or of all. The future keeps the watch alive; it ends when it is dropped.
pub fn watch_pods(client: Client, namespace: Option<&str>) -> (Pods, BoxFuture<'static, ()>) {
    let api: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = patient(watcher(api, watcher::Config::default().labels(label::SANDBOX))).modify(|pod| {
        pod.managed_fields_mut().clear();
        pod.annotations_mut().clear();
        pod.spec = None;
    });
    let (store, writer) = reflector::store();
    let (ring, bell) = watch::channel(());
    let watching = async move {
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => {
                    ring.send_replace(());
                }
                Err(error) => WatchFailed { kind: "Pod", class: classify_watch(&error), error: &error.to_string() }.emit(),
            }
        }
    };
    (Pods { store, bell }, Box::pin(watching))
}

/// Waits until the Pod of `job` runs its server, or cannot. Woken by events; a problem that may heal is final when it outlasts its patience.
///
/// # Errors
/// The [`Problem`] that it cannot run for, at the latest after `timeout`.
pub async fn wait_running(pods: &Pods, client: &Client, job: &Job, timeout: Duration) -> Result<PodView, Problem> {
    let started = Instant::now();
    let deadline = started + timeout;
    let mut bell = pods.bell.clone();
    let mut wait = Wait { trouble: None, seen: false, look_at: started + NO_POD };
    loop {
        bell.borrow_and_update();
        let found = pods.of_job(&job.uid().unwrap_or_default());
        let now = Instant::now();
        let mut wake = match wait.judge(now, found) {
            Judged::Runs(view) => return Ok(view),
            Judged::Fails(problem) => return Err(problem),
            Judged::Later(wake) => wake,
        };
        if !wait.seen && now >= wait.look_at {
            if let Some(problem) = why_no_pod(client, job).await {
                return Err(problem);
            }
            wait.look_at = now + NO_POD;
            wake = wait.look_at;
        }
        if now >= deadline {
            let message = match wait.trouble.take() {
                Some((_, _, problem)) => problem.to_string(),
                None if wait.seen => "its containers are still being made".to_owned(),
                None => "its Job made no Pod".to_owned(),
            };
            return Err(Problem::Slow { waited_seconds: timeout.as_secs(), message });
        }
        tokio::select! {
            biased;
            rung = bell.changed() => if rung.is_err() {
                return Err(Problem::Slow { waited_seconds: now.duration_since(started).as_secs(), message: "nobody watches Pods any more".to_owned() });
            },
            () = tokio::time::sleep_until(wake.min(deadline)) => {}
        }
    }
}

/// What a wait remembers between two looks.
struct Wait {
    /// The kind of trouble, since when, and as last seen.
    trouble: Option<(Discriminant<Problem>, Instant, Problem)>,
    /// Whether the Pod was ever there.
    seen: bool,
    /// When a Job without a Pod is looked into.
    look_at: Instant,
}

enum Judged {
    Runs(PodView),
    Fails(Problem),
    /// Look again then, if nothing happens before.
    Later(Instant),
}

impl Wait {
    fn judge(&mut self, now: Instant, found: Option<PodView>) -> Judged {
        let Some(view) = found else {
            return if self.seen { Judged::Fails(Problem::Deleted) } else { Judged::Later(self.look_at) };
        };
        self.seen = true;
        if view.running {
            return Judged::Runs(view);
        }
        let Some(problem) = view.problem else {
            self.trouble = None;
            // Only an event or the deadline can bring news.
            return Judged::Later(now + Duration::from_secs(3600));
        };
        let kind = std::mem::discriminant(&problem);
        let since = match &self.trouble {
            Some((known, since, _)) if *known == kind => *since,
            Some(_) | None => now,
        };
        let patience = problem.patience();
        if now.duration_since(since) >= patience {
            return Judged::Fails(problem);
        }
        self.trouble = Some((kind, since, problem));
        Judged::Later(since + patience)
    }
}

/// Looks into a Job that has no Pod. None: nothing is known to be wrong, or it may yet come.
async fn why_no_pod(client: &Client, job: &Job) -> Option<Problem> {
    let namespace = job.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    match jobs.get_opt(&job.name_any()).await {
        Ok(Some(found)) if found.uid() == job.uid() => {
            let failed = found.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let mut failed =
                failed.filter(|condition| matches!(condition.type_.as_str(), "Failed" | "FailureTarget") && condition.status == "True");
            match failed.next().map(|condition| condition.reason.as_deref()) {
                Some(Some("DeadlineExceeded")) => return Some(Problem::DeadlineExceeded),
                // It had a Pod once.
                Some(_) => return Some(Problem::Deleted),
                None if found.metadata.deletion_timestamp.is_some() => return Some(Problem::Deleted),
                None => {}
            }
        }
        Ok(_) => return Some(Problem::Deleted),
        // The next look tells.
        Err(error) => tracing::debug!(%error, "cannot read a Job that made no Pod"),
    }
    let events: Api<ClusterEvent> = Api::namespaced(client.clone(), &namespace);
    let about = format!("involvedObject.uid={},reason=FailedCreate", job.uid().unwrap_or_default());
    match events.list(&ListParams::default().fields(&about).limit(1)).await {
        // A quota makes room again.
        Ok(found) => found
            .items
            .into_iter()
            .next()?
            .message
            .filter(|message| !message.contains("exceeded quota"))
            .map(|message| Problem::Rejected { message }),
        Err(error) => {
            tracing::debug!(%error, "cannot read the events of a Job that made no Pod");
            None
        }
    }
}

/// Looks at one Pod now: why it cannot serve, or none when it may.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn look(client: &Client, namespace: &str, pod: &str, pod_uid: &str) -> kube::Result<Option<Problem>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(found) = api.get_opt(pod).await? else { return Ok(Some(Problem::Deleted)) };
    let view = PodView::of(&found);
    if view.uid != pod_uid {
        return Ok(Some(Problem::Deleted));
    }
    Ok(view.problem.filter(|problem| problem.patience().is_zero()))
}

#[cfg(test)]
mod tests;
