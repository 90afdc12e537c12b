//! A run and its sandbox: one Job, one Pod, one stream. The stream may be opened again; another Pod never takes over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt as _};
use reeve_api::AgentRun;
use reeve_core::journal::{Actor, Event, SandboxAsked, SandboxReady, WorkspaceLoaded};
use reeve_core::run::{EndReason, Sandbox};
use reeve_core::tool::wire::{self, code};
use tokio::time::Instant;

use super::crash;
use super::driver::Driver;
use crate::cluster::{create_owned, find};
use crate::context::Context;
use crate::error::Error;
use crate::sandbox::{Problem, SandboxSpec, Session, SessionError, ensure_network_policy, job, job_name, job_name_of, wait_running};
use crate::telemetry::{self, Event as _};

/// A session and what it holds open.
pub(super) struct Attached {
    /// The stream.
    pub(super) session: Arc<Session>,
    /// Handles of calls that were resolved on it, by key.
    handles: BTreeMap<String, String>,
}

/// What the sandbox said.
pub(super) enum Answer<T> {
    /// What was asked for.
    Got(T),
    /// It will not; the text is for the model.
    Refused(String),
    /// It is gone, and the run with it.
    Lost(EndReason, String),
}

/// The longest that a Pod may take to run: a large image on a slow registry.
const START_DEADLINE: Duration = Duration::from_secs(600);
/// The longest that a broken stream is opened again and again while its Pod runs.
const ATTACH_DEADLINE: Duration = Duration::from_secs(60);
/// How often a call that never started is resolved anew and sent again, each time on a new stream.
const CALL_ATTEMPTS: u32 = 3;
/// One look at a call that is still running.
pub(super) const LOOKUP_WAIT_MS: u64 = 20_000;

/// Deletes a run's Job and its Pod. Only ever this one: by UID.
pub(super) async fn delete_job(context: &Context, run: &AgentRun, name: &str) -> Result<(), Error> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), &run.namespace().unwrap_or_default());
    let Some(found) = find(&api, name).await? else { return Ok(()) };
    let ours = found.owner_references().iter().any(|owner| Some(&owner.uid) == run.uid().as_ref());
    let completed = found.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    if !ours || completed {
        return Ok(());
    }
    match delete_one(&api, name, &found.uid().unwrap_or_default()).await {
        // Its Pod is ended by the cluster: only the object is left.
        Err(error) if has_failed(&found) => {
            tracing::warn!(job = name, %error, "what is left of a sandbox that has ended is not deleted: it goes with its run");
            Ok(())
        }
        deleted => deleted,
    }
}

/// Deletes this very Job, and its Pod with it, whoever owns it by now. The Pod's own time to end is two seconds.
pub(super) async fn delete_job_by_uid(context: &Context, namespace: &str, run: &str, uid: &str) -> Result<(), Error> {
    delete_one(&Api::namespaced(context.client.clone(), namespace), &job_name_of(run), uid).await
}

/// Deletes the Job of this UID. One that is said to be gone or another's is looked for: a sandbox that is taken for gone lives on, and nobody
/// looks at it again.
async fn delete_one(api: &Api<Job>, name: &str, uid: &str) -> Result<(), Error> {
    match api.delete(name, &only(Some(uid.to_owned()))).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            let lives = find(api, name).await?.is_some_and(|found| found.uid().as_deref() == Some(uid) && !ends(&found));
            if lives { Err(kube::Error::Api(status).into()) } else { Ok(()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it is over, or about to be.
pub(super) fn ends(job: &Job) -> bool {
    let completed = job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    completed || has_failed(job) || job.metadata.deletion_timestamp.is_some()
}

fn has_failed(job: &Job) -> bool {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Failed" && condition.status == "True")
}

fn only(uid: Option<String>) -> DeleteParams {
    let only_this = Preconditions { uid, resource_version: None };
    DeleteParams { preconditions: Some(only_this), propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() }
}

/// Why a run ends when its sandbox has this problem: before it was ready, or after.
fn end_reason(problem: &Problem, was_ready: bool) -> EndReason {
    if matches!(problem, Problem::Degraded { .. }) {
        EndReason::SandboxDegraded
    } else if matches!(problem, Problem::DeadlineExceeded) {
        EndReason::DeadlineExceeded
    } else if was_ready {
        EndReason::SandboxLost
    } else {
        EndReason::SandboxUnavailable
    }
}

impl Driver {
    pub(super) async fn start_sandbox(&mut self) -> Result<(), Error> {
        let run = self.seen();
        let name = job_name(&run);
        let Some(started) = self.log.state().started.clone() else { return Err(Error::bug("a sandbox before run.started")) };
        if self.log.state().sandbox == Sandbox::None {
            let asked = SandboxAsked { job: name.clone(), image: started.spec.sandbox.image.clone() };
            self.log.stage(&Actor::Operator, Event::SandboxRequested(asked))?;
        }
        let before = Instant::now();
        // Both come before the Job: its durable intent, and the walls around its Pod. The status follows.
        let (committed, walled) =
            futures::future::join(self.log.commit(), ensure_network_policy(&self.context.client, &run.namespace().unwrap_or_default()))
                .await;
        committed?;
        walled?;
        let wanted = job(&SandboxSpec {
            run: &run,
            job_name: &name,
            shape: &started.spec.sandbox,
            installer_image: &self.context.config.sandbox_installer_image,
            pull_policy: &self.context.config.sandbox_pull_policy,
            deadline_seconds: i64::from(started.spec.limits.seconds),
        });
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(error) => return self.lost(EndReason::SandboxUnavailable, error.to_string()).await,
        };
        crash::point("effect.job.before");
        let made = match create_owned(&self.context.client, &wanted).await {
            Ok(made) => made.into_object(),
            Err(error) if error.class() == reeve_core::class::Class::Invalid => {
                return self.lost(EndReason::SandboxUnavailable, error.to_string()).await;
            }
            Err(error) => return Err(error.into()),
        };
        crash::point("effect.job.after");
        self.publish();
        let job_uid = made.uid().ok_or_else(|| Error::bug("a Job without a UID"))?;
        let Some(pods) = self.context.pods(&run.namespace().unwrap_or_default()) else {
            return Err(Error::bug("a run in a namespace that is not watched"));
        };
        let pod = match wait_running(pods, &self.context.client, &made, self.left().min(START_DEADLINE)).await {
            Ok(pod) => pod,
            Err(problem) => {
                telemetry::SandboxFailed { run: &self.name(), problem: problem.as_str(), message: &problem.to_string() }.emit();
                return self.lost(end_reason(&problem, false), problem.to_string()).await;
            }
        };
        if let Some((reason, message)) = self.attach(&pod.name, &pod.uid).await? {
            return self.lost(reason, message).await;
        }
        telemetry::SandboxStarted { run: &self.name(), pod: &pod.name, took: before.elapsed() }.emit();
        let ready = SandboxReady { job_uid, pod_uid: pod.uid, pod: pod.name, image_id: pod.image_id.unwrap_or_default() };
        self.log.stage(&Actor::Sandbox, Event::SandboxReady(ready))
    }

    pub(super) async fn load_workspace(&mut self) -> Result<(), Error> {
        let Some(packed) = self.log.state().started.as_ref().map(|started| started.spec.workspace.clone()) else {
            return Err(Error::bug("a workspace before run.started"));
        };
        self.log.stage(&Actor::Operator, Event::WorkspaceRequested { digest: packed.digest })?;
        self.commit().await?;
        let bytes = match self.context.artifacts.get(&packed.digest).await {
            Ok(bytes) => bytes,
            Err(error) => return self.lost(EndReason::WorkspaceInvalid, error.to_string()).await,
        };
        let Some(_acting) = self.act() else { return Ok(()) };
        crash::point("effect.import.before");
        let (kill, namespace) = (Arc::clone(&self.context.kill), self.namespace());
        let imported = tokio::select! {
            biased;
            imported = self.on_stream(|session| {
                let (bytes, packed) = (&bytes, &packed);
                async move { session.import_workspace(bytes, packed.digest, packed.packing, packed.strip_components).await }
            }) => imported?,
            // Loading is repeated from its start when the run goes on.
            () = kill.engaged(&namespace) => return self.quiet().await,
        };
        crash::point("effect.import.after");
        match imported {
            Answer::Got(wire::Imported { digest, base_commit: Some(base_commit), head_commit: Some(head_commit), files, received: _ }) => {
                let loaded = WorkspaceLoaded { digest, base_commit, head_commit, files };
                if !self.log.state().is_what_was_forked(&loaded) {
                    let why = format!("the workspace came out as commit {}, which is not the one that was forked", loaded.head_commit);
                    return self.lost(EndReason::WorkspaceInvalid, why).await;
                }
                self.log.stage(&Actor::Sandbox, Event::WorkspaceLoaded(loaded))
            }
            Answer::Got(_) => Err(Error::bug("a workspace was loaded without a commit")),
            Answer::Refused(why) => self.lost(EndReason::WorkspaceInvalid, why).await,
            Answer::Lost(reason, message) => self.lost(reason, message).await,
        }
    }

    /// Resolves a call and keeps its handle.
    pub(super) async fn resolve(&mut self, resolve: &wire::Resolve) -> Result<Answer<wire::Canonical>, Error> {
        let answer = self.on_stream(|session| async move { session.resolve(resolve).await }).await?;
        Ok(match answer {
            Answer::Got(wire::Resolved { handle, canonical }) => {
                if let Some(attached) = &mut self.attached {
                    attached.handles.insert(resolve.key.clone(), handle);
                }
                Answer::Got(canonical)
            }
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Lost(reason, message) => Answer::Lost(reason, message),
        })
    }

    /// Makes a judged call, or finds what came of it. `Got(None)`: nobody can know.
    ///
    /// Guarantees: the call starts at most once, since the ledger refuses its key a second time; after a broken stream or a restart it is
    /// made only if the ledger says that it never started, and only if it still names what was judged.
    pub(super) async fn execute(
        &mut self,
        key: &str,
        canonical: &wire::Canonical,
        confinement: wire::Confinement,
    ) -> Result<Answer<Option<wire::Outcome>>, Error> {
        let lookup = wire::Lookup { key: key.to_owned(), wait_ms: LOOKUP_WAIT_MS };
        let mut handle = self.take_handle(key);
        let mut failed = None;
        for _ in 0..CALL_ATTEMPTS {
            if let (Some(handle), Some(attached)) = (handle.take(), &self.attached) {
                let call = wire::Call { key: key.to_owned(), handle, confinement: confinement.clone() };
                match attached.session.call(&call).await {
                    Ok(outcome) => return Ok(Answer::Got(Some(outcome))),
                    // The stream broke, or the key is known: the ledger has the truth.
                    Err(SessionError::Lost(why)) => self.stream_lost(&why),
                    Err(SessionError::Timeout | SessionError::Refused { code: code::KEY_USED | code::HANDLE, .. }) => {}
                    // It may have run before the sandbox failed.
                    Err(SessionError::Refused { code: code::INTERNAL, message }) => failed = Some(message),
                    Err(SessionError::Refused { message, .. }) => return Ok(Answer::Refused(message)),
                    Err(SessionError::Fenced) => return self.fenced().await,
                }
            }
            match self.find(&lookup).await? {
                Answer::Got(wire::Recorded::Done { outcome }) => return Ok(Answer::Got(Some(outcome))),
                Answer::Got(wire::Recorded::Unknown | wire::Recorded::Running) => return Ok(Answer::Got(None)),
                Answer::Got(wire::Recorded::Absent) => {}
                Answer::Refused(why) => return Ok(Answer::Refused(why)),
                Answer::Lost(reason, message) => return Ok(Answer::Lost(reason, message)),
            }
            let resolve = wire::Resolve { key: key.to_owned(), tool: canonical.tool, arguments: canonical.arguments.clone() };
            match self.resolve(&resolve).await? {
                Answer::Got(found) if found == *canonical => handle = self.take_handle(key),
                Answer::Got(_) => {
                    let why = "Not done: what the call names has changed since it was judged. Ask for it again.";
                    return Ok(Answer::Refused(why.to_owned()));
                }
                Answer::Refused(why) => return Ok(Answer::Refused(why)),
                Answer::Lost(reason, message) => return Ok(Answer::Lost(reason, message)),
            }
        }
        match failed {
            Some(message) => Ok(Answer::Refused(message)),
            None => Err(Error::Cut("the stream broke each time before the call started")),
        }
    }

    fn take_handle(&mut self, key: &str) -> Option<String> {
        self.attached.as_mut().and_then(|attached| attached.handles.remove(key))
    }

    /// What the ledger knows of a key; a call that runs is waited for while the run has time. `Running`: it has none left.
    pub(super) async fn find(&mut self, lookup: &wire::Lookup) -> Result<Answer<wire::Recorded>, Error> {
        loop {
            let found = self.on_stream(|session| async move { session.lookup(lookup).await }).await?;
            if matches!(found, Answer::Got(wire::Recorded::Running)) && self.left() > Duration::from_millis(1) {
                continue;
            }
            return Ok(found);
        }
    }

    /// Packs the workspace and keeps both blobs.
    pub(super) async fn pack(&mut self) -> Result<Answer<wire::Checkpointed>, Error> {
        let packed = self.on_stream(|session| async move { session.checkpoint().await }).await?;
        let Answer::Got(checkpoint) = packed else { return Ok(packed) };
        for blob in [&checkpoint.patch, &checkpoint.bundle] {
            if self.context.artifacts.renew(&blob.digest).await? {
                continue;
            }
            match self.on_stream(|session| async move { session.fetch_blob(blob).await }).await? {
                Answer::Got(bytes) => self.context.artifacts.put(bytes).await?,
                Answer::Refused(why) => return Ok(Answer::Refused(why)),
                Answer::Lost(reason, message) => return Ok(Answer::Lost(reason, message)),
            };
        }
        Ok(Answer::Got(checkpoint))
    }

    /// Does a request that may be repeated: on a stream that breaks, once more on the next one.
    async fn on_stream<T, F>(&mut self, ask: impl Fn(Arc<Session>) -> F + Send) -> Result<Answer<T>, Error>
    where
        F: Future<Output = Result<T, SessionError>> + Send,
    {
        loop {
            if let Some((reason, message)) = self.ensure_attached().await? {
                return Ok(Answer::Lost(reason, message));
            }
            let Some(attached) = &self.attached else { return Err(Error::bug("attached to nothing")) };
            match ask(Arc::clone(&attached.session)).await {
                Ok(answer) => return Ok(Answer::Got(answer)),
                Err(SessionError::Lost(why)) => self.stream_lost(&why),
                Err(SessionError::Timeout) => self.stream_lost("no answer in time"),
                Err(SessionError::Refused { message, .. }) => return Ok(Answer::Refused(message)),
                Err(SessionError::Fenced) => return self.fenced().await,
            }
        }
    }

    /// What it means that a sandbox has seen a higher epoch: another operator has taken over, and this process must not act. If the Lease
    /// still is ours, somebody else has spoken to the sandbox: only its run is lost.
    async fn fenced<T>(&self) -> Result<Answer<T>, Error> {
        let config = &self.context.config;
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(self.context.client.clone(), &config.namespace);
        let holder = leases.get(&config.lease_name).await?.spec.and_then(|spec| spec.holder_identity);
        if holder.as_ref() != Some(&config.identity) {
            return Err(Error::Fenced("the sandbox has seen a newer epoch".to_owned()));
        }
        let message = "The sandbox was told of an epoch that no operator has: somebody else has spoken to it.";
        Ok(Answer::Lost(EndReason::SandboxLost, message.to_owned()))
    }

    fn stream_lost(&mut self, why: &str) {
        let pod = match &self.log.state().sandbox {
            Sandbox::Ready(ready) => ready.pod.clone(),
            Sandbox::None | Sandbox::Requested => String::new(),
        };
        telemetry::SessionLost { pod: &pod, why }.emit();
        self.attached = None;
    }

    pub(super) async fn ensure_attached(&mut self) -> Result<Option<(EndReason, String)>, Error> {
        if self.attached.is_some() {
            return Ok(None);
        }
        let Sandbox::Ready(ready) = self.log.state().sandbox.clone() else { return Err(Error::bug("no sandbox to attach to")) };
        self.attach(&ready.pod, &ready.pod_uid).await
    }

    /// Opens the stream, again and again while the Pod runs. Some: the Pod does not run any more.
    async fn attach(&mut self, pod: &str, pod_uid: &str) -> Result<Option<(EndReason, String)>, Error> {
        let run = self.seen();
        let namespace = run.namespace().unwrap_or_default();
        let hello = wire::Hello { epoch: self.context.epoch.0, run_uid: run.uid().unwrap_or_default() };
        let give_up = Instant::now() + self.left().min(ATTACH_DEADLINE);
        let mut wait = Duration::from_millis(50);
        loop {
            let opening = self.context.surroundings.streams.open(namespace.clone(), pod.to_owned());
            let why = match Session::over_stream(opening, hello.clone()).await {
                Ok((session, _)) => {
                    self.attached = Some(Attached { session: Arc::new(session), handles: BTreeMap::new() });
                    return Ok(None);
                }
                Err(SessionError::Fenced) => {
                    return match self.fenced::<()>().await? {
                        Answer::Lost(reason, message) => Ok(Some((reason, message))),
                        Answer::Got(()) | Answer::Refused(_) => Err(Error::bug("fenced, and not lost")),
                    };
                }
                Err(SessionError::Refused { message, .. }) => return Ok(Some((EndReason::SandboxUnavailable, message))),
                Err(SessionError::Lost(why)) => why,
                Err(SessionError::Timeout) => "no answer in time".to_owned(),
            };
            if let Some(problem) = crate::sandbox::look(&self.context.client, &namespace, pod, pod_uid).await? {
                telemetry::SandboxFailed { run: &self.name(), problem: problem.as_str(), message: &problem.to_string() }.emit();
                let was_ready = matches!(self.log.state().sandbox, Sandbox::Ready(_));
                return Ok(Some((end_reason(&problem, was_ready), problem.to_string())));
            }
            if Instant::now() >= give_up {
                return Ok(Some((EndReason::SandboxLost, format!("Pod {pod} runs, but its stream cannot be opened: {why}."))));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }
}
