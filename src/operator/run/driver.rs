//! One run from its first row to its last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::ResourceExt as _;
use reeve_api::AgentRun;
use reeve_core::budget::Amounts;
use reeve_core::journal::{Actor, Event, Observation, RunStarted, ToolEnded};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_core::run::{self, Branch, EndReason, Ending, NotReady, Sandbox, Step};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::sandbox::Attached;
use super::status::Publisher;
use super::{RunLog, crash, fork, workspace};
use crate::cluster::find;
use crate::context::Context;
use crate::error::Error;
use crate::sandbox::job_name;
use crate::telemetry::{Event as _, ReconcileFailed, RunFinished};

/// How long a run that waits for a reference sleeps before it looks again without being rung.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Bugs in a row after which a run ends: what a second look at the same rows does not mend, a third will not.
const BUGS_AT_MOST: u32 = 3;

/// The budget of runs that name none.
const DEFAULT_BUDGET: &str = "default";

/// Drives a run to its end, again and again where the cluster or the disk fails.
pub(super) async fn supervise(context: Arc<Context>, object: watch::Receiver<Arc<AgentRun>>, acting: Arc<AtomicBool>) {
    let publisher = Publisher::start(&context, &object.borrow());
    let mut bugs = 0;
    loop {
        let outcome = match Driver::new(&context, object.clone(), publisher.clone(), Arc::clone(&acting)).await {
            Ok(mut driver) => {
                let before = driver.log.reached();
                let outcome = if bugs < BUGS_AT_MOST { Box::pin(driver.drive()).await } else { Box::pin(driver.end_after_bugs()).await };
                let outcome = driver.keep(outcome).await;
                if driver.log.reached() != before {
                    context.backoff.reset(&publisher.name().to_owned());
                    bugs = 0;
                }
                outcome
            }
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(()) => {
                context.backoff.reset(&publisher.name().to_owned());
                publisher.finish().await;
                return;
            }
            Err(error) => error,
        };
        bugs = if matches!(error, Error::Bug(_)) { bugs + 1 } else { 0 };
        if bugs > BUGS_AT_MOST || matches!(error, Error::JournalLost(_)) {
            // Not even its end can be journaled: its rows do not fold. The status says so, and nothing more is done for it.
            publisher.ended_without_a_row(&error);
            publisher.finish().await;
            return;
        }
        match again(&context, &publisher, &error) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return,
        }
    }
}

/// Says what went wrong, and when to try again. None: this process must not.
fn again(context: &Context, publisher: &Publisher, error: &Error) -> Option<Duration> {
    if error.is_fenced() {
        context.stop.cancel();
        return None;
    }
    if matches!(error, Error::Stopping(_)) {
        return None;
    }
    let wait = context.again_in(publisher.name());
    ReconcileFailed { kind: "AgentRun", object: publisher.name(), class: error.class(), error: &error.to_string(), again_in: wait }.emit();
    publisher.interrupted(error);
    Some(wait)
}

/// A run while it is driven.
pub(super) struct Driver {
    pub(super) context: Arc<Context>,
    pub(super) object: watch::Receiver<Arc<AgentRun>>,
    pub(super) log: RunLog,
    pub(super) attached: Option<Attached>,
    publisher: Publisher,
    /// What a call needed that did not fit the budget.
    pub(super) budget_wish: Option<Amounts>,
    /// Set while a model is asked or a tool called.
    pub(super) acting: Arc<AtomicBool>,
    /// Whether the sandbox has killed everything since the run was last stopped.
    pub(super) halted: bool,
    /// Whether the sandbox was given the time of a pause.
    pub(super) held_open: bool,
    /// Held while the run works; given back while it waits for a person or for what it refers to.
    place: Option<OwnedSemaphorePermit>,
}

impl Driver {
    async fn new(
        context: &Arc<Context>,
        object: watch::Receiver<Arc<AgentRun>>,
        publisher: Publisher,
        acting: Arc<AtomicBool>,
    ) -> Result<Driver, Error> {
        let run = Arc::clone(&object.borrow());
        let uid = run.uid().ok_or_else(|| Error::bug("an AgentRun without a UID"))?;
        let namespace = run.namespace().unwrap_or_default();
        context.providers.learn_keys(&context.client, &context.secrets, &namespace).await?;
        let log = RunLog::open(Arc::clone(context), &namespace, &uid).await?;
        let shown = run.status.as_ref().and_then(|status| status.journal.as_ref()).map_or(0, |head| head.seq);
        let kept = log.head().map_or(0, |head| i64::try_from(head.seq.0).unwrap_or(i64::MAX));
        if shown > kept {
            let message =
                format!("the status names row {shown}, the journal ends at {kept}: it was restored, or lost. Create the run again");
            return Err(Error::JournalLost(message));
        }
        // A call that was in flight before this process may run on in its sandbox.
        acting.store(log.state().call_in_flight().is_some(), Ordering::SeqCst);
        Ok(Driver {
            context: Arc::clone(context),
            object,
            log,
            attached: None,
            publisher,
            budget_wish: None,
            acting,
            halted: false,
            held_open: false,
            place: None,
        })
    }

    /// After a failure of the cluster, makes durable what was learned before it: an answer was paid for, and would be asked for again.
    async fn keep(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(error @ (Error::Api(_) | Error::Write(_) | Error::Unanswered(_) | Error::AdmissionNotInForce(_))) => {
                self.log.commit().await?;
                Err(error)
            }
            other => other,
        }
    }

    async fn end_after_bugs(&mut self) -> Result<(), Error> {
        if self.log.state().started.is_none() {
            return Err(Error::bug("the run cannot begin"));
        }
        self.end(Ending::new(EndReason::InternalError, "A bug of Reeve, met again at each try; the operator's log has it.")).await?;
        Box::pin(self.drive()).await
    }

    /// Waits for a place among the runs that work.
    async fn take_place(&mut self) -> Result<(), Error> {
        if self.place.is_some() {
            return Ok(());
        }
        let places = Arc::clone(&self.context.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            self.place = Some(place);
            return Ok(());
        }
        if self.log.state().started.is_none() {
            let most = self.context.config.max_concurrent_runs;
            let message =
                format!("{most} runs work already, which is the operator's --max-concurrent-runs; this one is next when one ends.");
            self.publisher.waiting(&NotReady::new("WaitingForPlace", message));
        }
        self.place = Some(places.acquire_owned().await.map_err(|_| Error::Stopping("the places are closed"))?);
        Ok(())
    }

    /// The object as last seen.
    pub(super) fn seen(&self) -> Arc<AgentRun> {
        Arc::clone(&self.object.borrow())
    }

    /// Makes everything staged durable and shows it.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        self.log.commit().await?;
        self.publish();
        Ok(())
    }

    /// Shows what is durable.
    pub(super) fn publish(&self) {
        self.publisher.publish(self.log.state(), self.log.head(), self.object.borrow().metadata.generation);
    }

    /// Does one step after the other.
    async fn drive(&mut self) -> Result<(), Error> {
        self.show_settled().await?;
        loop {
            self.obey().await?;
            let step = run::next(self.log.state(), self.context.now());
            // Who waits for people needs no place, or those who work could have their time run out.
            if step.works() && self.place.is_none() {
                self.take_place().await?;
                continue;
            }
            if !self.log.state().gates.stands_still() {
                self.go_on().await?;
            }
            match step {
                Step::Begin => self.begin().await?,
                Step::StartSandbox => Box::pin(self.start_sandbox()).await?,
                Step::LoadWorkspace => self.load_workspace().await?,
                Step::CallModel { position, step, route } => self.call_model(position, step, route).await?,
                Step::Decide(call) => self.decide(call).await?,
                Step::Refuse(asked, ended) => self.refuse(asked, ended)?,
                Step::CallTool { key, call_id, canonical, confinement } => self.call_tool(key, call_id, canonical, confinement).await?,
                Step::AwaitAnswer { key, call_id, question_id, .. } => self.await_answer(key, call_id, &question_id).await?,
                Step::AskApproval { call, quorum, attempt } => self.ask_approval(&call, quorum, attempt).await?,
                Step::AwaitApproval(call) => self.await_approval(&call).await?,
                Step::UseApproval(call) => self.use_approval(&call).await?,
                Step::Merge { key, call_id, proposal } => self.merge(key, call_id, *proposal).await?,
                Step::SettleInFull(settled) => self.log.stage(&Actor::Operator, Event::BudgetSettled(settled))?,
                Step::Checkpoint => self.checkpoint().await?,
                Step::Answer(ended) => self.log.stage(&Actor::Operator, Event::ToolResult(ended))?,
                Step::Reflect(reflection) => self.log.stage(&Actor::Operator, Event::Reflect(reflection))?,
                Step::End(ending) => self.end(ending).await?,
                Step::Wait => self.stand_still().await?,
                Step::Done => {
                    self.log.commit().await?;
                    self.publisher.is_over();
                    // Before the final status: a run that shows one is not looked at again, and its sandbox would outlive a crash between.
                    self.close_sandbox().await?;
                    self.publish();
                    return Ok(());
                }
            }
        }
    }

    /// Reads once what the run needs to know, and journals it with the intent of its sandbox.
    async fn begin(&mut self) -> Result<(), Error> {
        let object = self.seen();
        if object.spec.suspended {
            self.publisher.waiting(&NotReady::new("Suspended", "spec.suspended is true."));
            self.place = None;
            let _ = self.object.changed().await;
            return Ok(());
        }
        if let Some(why) = self.context.kill.stops(&object.namespace().unwrap_or_default()) {
            self.publisher.waiting(&NotReady::new("KillSwitchEngaged", why));
            self.place = None;
            let mut switches = self.context.kill.changes();
            tokio::select! {
                biased;
                _ = self.object.changed() => {}
                _ = switches.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            return Ok(());
        }
        match self.snapshot(&object).await {
            Ok((started, branch)) => {
                match self.log.begin(branch).stage(&Actor::Person(started.requested_by.clone()), Event::RunStarted(Box::new(started))) {
                    Err(Error::TooLarge { bytes, .. }) => {
                        let message =
                            format!("spec and profile come to {bytes} bytes, the most is {MAX_EVENT_BODY_BYTES}: create a smaller run.");
                        self.publisher.waiting(&NotReady::new("SpecTooLarge", message));
                        self.place = None;
                        let _ = self.object.changed().await;
                        Ok(())
                    }
                    staged => staged,
                }
            }
            Err(why) => {
                self.publisher.waiting(&why);
                self.place = None;
                let rung = self.context.references.notified();
                tokio::select! {
                    biased;
                    _ = self.object.changed() => {}
                    () = rung => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
                Ok(())
            }
        }
    }

    async fn snapshot(&self, run: &AgentRun) -> Result<(RunStarted, Option<Branch>), NotReady> {
        let namespace = run.namespace().unwrap_or_default();
        let client = self.context.client.clone();
        let requested_by = run.spec.requested_by.clone().filter(|name| !name.is_empty()).ok_or_else(|| {
            NotReady::new(
                "RequesterUnknown",
                "spec.requestedBy is empty: this API server did not stamp it. Create the run again with your own user name there.",
            )
        })?;
        let name = &run.spec.profile_ref.name;
        let profile = kube::Api::<reeve_api::AgentProfile>::namespaced(client.clone(), &namespace)
            .get_opt(name)
            .await
            .map_err(|error| NotReady::new("ProfileUnreadable", format!("AgentProfile {name:?} could not be read: {error}.")))?
            .ok_or_else(|| {
                NotReady::new(
                    "ProfileNotFound",
                    format!("AgentProfile {name:?} is not there; create it, or name another in spec.profileRef."),
                )
            })?;
        let routes = match run.spec.role {
            reeve_api::Role::Planner => &profile.spec.routes.planner[..],
            reeve_api::Role::Coder => &profile.spec.routes.coder[..],
            reeve_api::Role::Acceptance | reeve_api::Role::Merge => &[],
        };
        let mut providers = std::collections::BTreeMap::new();
        for route in routes {
            let name = &route.provider_ref.name;
            let found = kube::Api::<reeve_api::ModelProvider>::namespaced(client.clone(), &namespace)
                .get_opt(name)
                .await
                .map_err(|error| NotReady::new("ProviderUnreadable", format!("ModelProvider {name:?} could not be read: {error}.")))?;
            if let Some(found) = found {
                self.context.providers.of(&client, &self.context.secrets, &namespace, &found.spec).await?;
                providers.insert(name.clone(), found);
            }
        }
        let branch = match &run.spec.fork_of {
            Some(of) => Some(fork::branch_of(&self.context, &namespace, of).await?),
            None => None,
        };
        let packed = match &branch {
            Some(branch) => branch.workspace.clone(),
            None => workspace::pack(&self.context, &namespace, run.spec.workspace.as_ref()).await?,
        };
        let budget = self.budget_of(run).await?;
        let today = self.context.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let mut spec = run::snapshot(run, &profile, |name| providers.get(name).cloned(), budget, packed, today)?;
        if let Some(branch) = &branch {
            run::go_on(&mut spec, branch)?;
        }
        let forked_from = branch.as_ref().map(|branch| branch.from.clone());
        Ok((RunStarted { namespace, name: run.name_any(), requested_by, spec, forked_from }, branch))
    }

    /// The account that a run spends from: of the budget that it names, or of its namespace's `default`, if there is one.
    async fn budget_of(&self, run: &AgentRun) -> Result<Option<String>, NotReady> {
        let namespace = run.namespace().unwrap_or_default();
        let name = run.spec.budget_ref.as_ref().map_or(DEFAULT_BUDGET, |budget| budget.name.as_str());
        let api = kube::Api::<reeve_api::RiskBudget>::namespaced(self.context.client.clone(), &namespace);
        let found = find(&api, name)
            .await
            .map_err(|error| NotReady::unanswered("BudgetUnreadable", format!("RiskBudget {name:?} could not be read: {error}.")))?;
        match (found, &run.spec.budget_ref) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                let message =
                    format!("RiskBudget {name:?} is not there; create it (that needs the verb raise), or name another in spec.budgetRef.");
                return Err(NotReady::new("BudgetNotFound", message));
            }
            (Some(_), _) => {}
        }
        let account = reeve_core::budget::account(&namespace, name);
        let unreadable = |error: reeve_store::StoreError| NotReady::unanswered("BudgetUnreadable", error.to_string());
        if self.context.journal.balance(&account).await.map_err(unreadable)?.limits.is_none() {
            return Err(NotReady::new(
                "BudgetNotInForce",
                format!("RiskBudget {name:?} is not in force yet; look at its condition Ready."),
            ));
        }
        Ok(Some(account))
    }

    async fn await_answer(&mut self, key: String, call_id: String, question_id: &str) -> Result<(), Error> {
        let answer = self.seen().spec.answers.as_ref().and_then(|answers| answers.get(question_id).cloned());
        match answer {
            Some(text) => {
                let ended = ToolEnded { key, call_id, observation: Observation::Answered, content: text };
                self.log.stage(&Actor::Spec, Event::ToolResult(ended))
            }
            None => {
                self.commit().await?;
                self.hold_open().await?;
                self.give_place_back();
                self.wait_for_change().await;
                Ok(())
            }
        }
    }

    /// Lets another run work while this one waits.
    pub(super) fn give_place_back(&mut self) {
        self.place = None;
    }

    /// Ends the run: the last row first, then (as the step after it) the sandbox and the final status.
    pub(super) async fn end(&mut self, ending: Ending) -> Result<(), Error> {
        self.close_approval().await?;
        self.settle(None)?;
        let finished = ending.finished(self.context.now());
        self.tell_end(&finished);
        self.log.stage(&Actor::Operator, Event::RunFinished(finished))?;
        self.log.commit().await
    }

    /// The sandbox is gone: the call in flight has an outcome that nobody knows, and the run has ended.
    pub(super) async fn lost(&mut self, reason: EndReason, message: String) -> Result<(), Error> {
        let in_flight = self.log.state().call_in_flight().map(|call| (call.key.clone(), call.call.id.clone()));
        if let Some((key, call_id)) = in_flight {
            let content = "Whether this ran cannot be known: the sandbox is gone.".to_owned();
            self.log.stage(&Actor::Operator, Event::ToolResult(ToolEnded { key, call_id, observation: Observation::Unknown, content }))?;
        }
        self.settle(None)?;
        self.end(Ending::new(reason, message)).await
    }

    /// Ends what is left of the sandbox. The run has its last row: nothing here can change its outcome, and a failure is tried again.
    async fn close_sandbox(&mut self) -> Result<(), Error> {
        if self.log.state().sandbox == Sandbox::None {
            return Ok(());
        }
        crash::point("effect.shutdown.before");
        let closed = match self.attached.take() {
            Some(attached) => attached.session.shutdown().await.is_ok(),
            None => false,
        };
        if closed {
            return Ok(());
        }
        let object = self.seen();
        super::sandbox::delete_job(&self.context, &object, &job_name(&object)).await
    }

    fn tell_end(&self, finished: &reeve_core::journal::RunFinished) {
        let state = self.log.state();
        let took = state.started_at.map_or(0, |at| finished.at.as_millisecond().saturating_sub(at.as_millisecond()));
        RunFinished {
            run: self.publisher.name(),
            uid: &state.uid,
            role: state.started.as_ref().map_or("", |started| started.spec.role.as_str()),
            reason: finished.reason.as_str(),
            steps: state.step,
            took: Duration::from_millis(u64::try_from(took).unwrap_or(0)),
        }
        .emit();
    }
}
