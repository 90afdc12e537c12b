//! Standing still: for a person's word, a kill switch, or a budget; and going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use reeve_api::FIELD_MANAGER;
use reeve_core::journal::{Actor, Cause, Event, Resumption, Suspension};
use reeve_core::limits::MAX_PAUSE_SECONDS;
use reeve_core::run::Sandbox;

use super::driver::{Driver, LOOK_AGAIN};
use crate::cluster::find;
use crate::error::Error;
use crate::sandbox::job_name;
use crate::telemetry::{self, Event as _};

/// How long reaching the sandbox and its killing of processes may take together, before its Job is deleted instead: what is left of five
/// seconds is for the Pod to end.
const HALT_PATIENCE: Duration = Duration::from_millis(2_500);
/// Between two looks at a budget that nobody rang for: another operator's scope may have freed something.
const BUDGET_AGAIN: Duration = Duration::from_secs(10);

/// Says for as long as it lives that its run asks a model or calls a tool.
pub(super) struct Acting(Arc<AtomicBool>);

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Driver {
    /// The last look before an effect, whose intent is durable: None where everything is to stop. The flag is up before the look, so that
    /// whoever engages a switch and sees no flag knows that nothing follows.
    pub(super) fn act(&self) -> Option<Acting> {
        self.acting.store(true, Ordering::SeqCst);
        let acting = Acting(Arc::clone(&self.acting));
        self.context.kill.stops(&self.namespace()).is_none().then_some(acting)
    }

    /// Journals what changed of the causes to stand still.
    pub(super) async fn obey(&mut self) -> Result<(), Error> {
        let state = self.log.state();
        if state.started.is_none() || state.finished.is_some() {
            return Ok(());
        }
        let suspended = self.seen().spec.suspended.then(|| "spec.suspended is true.".to_owned());
        let killed = self.context.kill.stops(&self.namespace());
        for (cause, wanted) in [(Cause::Spec, suspended), (Cause::KillSwitch, killed)] {
            let stands = self.log.state().gates.pauses.contains_key(&cause);
            let event = match (stands, wanted) {
                (false, Some(message)) => Event::RunSuspended(Suspension { cause, message }),
                (true, None) => Event::RunResumed(Resumption { cause }),
                (true, Some(_)) | (false, None) => continue,
            };
            self.log.stage(&Actor::Operator, event)?;
        }
        if self.log.state().gates.pauses.contains_key(&Cause::Budget) && self.budget_may_fit().await? {
            self.log.stage(&Actor::Operator, Event::RunResumed(Resumption { cause: Cause::Budget }))?;
        }
        Ok(())
    }

    /// Until a cause may be gone. Under a kill switch, first of all nothing runs any more.
    pub(super) async fn stand_still(&mut self) -> Result<(), Error> {
        let pauses = &self.log.state().gates.pauses;
        let (killed, poor) = (pauses.contains_key(&Cause::KillSwitch), pauses.contains_key(&Cause::Budget));
        if !killed {
            self.halted = false;
        } else if !self.halted && self.log.state().call_in_flight().is_some() {
            self.quiet().await?;
        }
        self.commit().await?;
        self.hold_open().await?;
        self.give_place_back();
        let (mut switches, mut budgets) = (self.context.kill.changes(), self.context.budgets.subscribe());
        // A change between the look before and the subscriptions is seen here.
        if self.has_changed(killed, poor).await? {
            return Ok(());
        }
        let left = self.left();
        let budget_again = if poor { BUDGET_AGAIN } else { left };
        tokio::select! {
            biased;
            _ = self.object.changed() => {}
            _ = switches.changed() => {}
            _ = budgets.changed(), if poor => {}
            () = tokio::time::sleep(left.min(budget_again)) => {}
        }
        Ok(())
    }

    async fn has_changed(&self, killed: bool, poor: bool) -> Result<bool, Error> {
        Ok(self.context.kill.stops(&self.namespace()).is_some() != killed || (poor && self.budget_may_fit().await?))
    }

    /// Kills every tool process of the run: the sandbox does, and where it does not answer, its Pod goes.
    pub(super) async fn quiet(&mut self) -> Result<(), Error> {
        if !matches!(self.log.state().sandbox, Sandbox::Ready(_)) {
            return Ok(());
        }
        // Whoever waits for quiet waits for this too.
        self.acting.store(true, Ordering::SeqCst);
        let _acting = Acting(Arc::clone(&self.acting));
        let deadline = tokio::time::Instant::now() + HALT_PATIENCE;
        let lost = match tokio::time::timeout_at(deadline, self.ensure_attached()).await {
            Ok(Ok(Some((reason, message)))) => return self.lost(reason, message).await,
            Ok(Ok(None)) => match &self.attached {
                Some(attached) => match tokio::time::timeout_at(deadline, attached.session.halt()).await {
                    Ok(Ok(halted)) => {
                        telemetry::SandboxHalted { run: &self.name(), calls: halted.calls }.emit();
                        self.halted = true;
                        return Ok(());
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "no answer in time".to_owned(),
                },
                None => "it is not attached".to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its stream does not open in time".to_owned(),
        };
        telemetry::HaltFailed { run: &self.name(), why: &lost }.emit();
        let object = self.seen();
        super::sandbox::delete_job(&self.context, &object, &job_name(&object)).await
    }

    /// Gives the sandbox the time of a pause: its Job's own deadline runs on while the run's clock stands.
    pub(super) async fn hold_open(&mut self) -> Result<(), Error> {
        let pause = Duration::from_secs(u64::from(MAX_PAUSE_SECONDS));
        self.set_job_deadline(true, pause).await
    }

    /// Takes that time back.
    pub(super) async fn go_on(&mut self) -> Result<(), Error> {
        self.set_job_deadline(false, Duration::ZERO).await
    }

    async fn set_job_deadline(&mut self, open: bool, more: Duration) -> Result<(), Error> {
        if self.held_open == open || self.log.state().sandbox == Sandbox::None || self.log.state().finished.is_some() {
            return Ok(());
        }
        let state = self.log.state();
        let (Some(started), Some(at)) = (&state.started, state.started_at) else { return Ok(()) };
        // The Job is younger than its run, so this is never too short.
        let age = self.context.now().as_second().saturating_sub(at.as_second()).max(0);
        let left = i64::from(started.spec.limits.seconds).saturating_sub(state.worked_ms(self.context.now()) / 1000).max(1);
        let deadline = age.saturating_add(left).saturating_add(i64::try_from(more.as_secs()).unwrap_or(i64::MAX));
        let object = self.seen();
        let api: Api<Job> = Api::namespaced(self.context.client.clone(), &object.namespace().unwrap_or_default());
        let patch = serde_json::json!({ "spec": { "activeDeadlineSeconds": deadline } });
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch(&job_name(&object), &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => {}
            // Of a Job that has ended, or is gone: the next step finds its Pod lost, and says so. Any other would end while people are asked.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 422) => {
                if find(&api, &job_name(&object)).await?.is_some_and(|job| !super::sandbox::ends(&job)) {
                    return Err(kube::Error::Api(status).into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.held_open = open;
        Ok(())
    }

    /// Until the object changes or something that it waits for rings, or the run is out of time.
    pub(super) async fn wait_for_change(&mut self) {
        let left = self.left();
        let mut switches = self.context.kill.changes();
        let stopped = self.context.kill.stops(&self.namespace()).is_some();
        let known = self.log.state().gates.pauses.contains_key(&Cause::KillSwitch);
        if stopped != known && self.log.state().started.is_some() {
            return;
        }
        tokio::select! {
            biased;
            _ = self.object.changed() => {}
            _ = switches.changed() => {}
            () = tokio::time::sleep(left) => {}
        }
    }

    /// Time until the run's deadline, or the end of the longest pause; at least a moment, so that a step never waits for nothing.
    pub(super) fn left(&self) -> Duration {
        let state = self.log.state();
        let (Some(started), now) = (&state.started, self.context.now()) else { return LOOK_AGAIN };
        let left_ms = if state.gates.stands_still() {
            (i64::from(MAX_PAUSE_SECONDS) - state.pause_seconds(now)) * 1000
        } else {
            i64::from(started.spec.limits.seconds) * 1000 - state.worked_ms(now)
        };
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0).max(1))
    }
}
