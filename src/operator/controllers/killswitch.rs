//! KillSwitch: what it stopped, and how fast. The stopping itself is the runs' own, on [`crate::kill`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use reeve_api::{AgentRun, AgentRunPhase, ConditionStatus, KillSwitch, KillSwitchStatus};
use reeve_core::conditions::{self, Say, whole_second};
use reeve_core::journal::KillSeen;

use super::follow_up::follow_up;
use super::past::Past;
use super::{controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

/// Between two looks at whether something still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After this the status says what is known, and the next look goes on.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let controller = controller::<KillSwitch>(&context, scope);
    drive(context, controller, reconcile)
}

/// Takes in which switches the journal has engaged, so that one that is released or deleted while no operator runs is released there too.
pub(crate) fn load(context: &Context, past: Past, scopes: &[Scope]) {
    past.engaged.into_values().for_each(|(seen, at)| context.kill.record.take(seen, at));
    let out_of_sight = |namespace: &String| !scopes.iter().any(|scope| scope.covers(namespace));
    for namespace in context.kill.record.namespaces().iter().filter(|namespace| out_of_sight(namespace)) {
        tracing::warn!(
            namespace,
            "the journal has a kill switch engaged in a namespace that is not watched any more: its release will not be journaled"
        );
    }
}

/// Journals which switches are engaged and which are not any more, as runs see them, until the context stops. It does not hang on the
/// controller, which may see less: what stops a run is in the journal.
pub(crate) async fn journal(context: Arc<Context>) {
    loop {
        let to_tell = tokio::select! {
            biased;
            () = context.stop.cancelled() => return,
            to_tell = context.kill.to_tell() => to_tell,
        };
        for KillSeen { namespace, name, uid, .. } in to_tell {
            follow_up(&context, "KillSwitch", format!("{namespace}/{name}"), move |context| {
                let uid = uid.clone();
                async move { context.kill.tell(&context, &uid).await }
            });
        }
    }
}

async fn reconcile(context: Arc<Context>, switch: Arc<KillSwitch>) -> Result<Action, Error> {
    let uid = switch.uid().unwrap_or_default();
    if switch.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let old = switch.status.clone().unwrap_or_default();
    let shown = old.engaged_at.is_some() && old.released_at.is_none();
    // Engaged again after a release is another engagement, whether its release was seen here or not.
    let is_last = shown && old.engaged_at.as_ref().map(|at| at.0) == context.kill.record.engaged_at(&uid);
    match switch.spec.engaged {
        true if is_last && old.quiet_after_ms.is_none() => wait_for_quiet(&context, &switch, old).await,
        true if is_last => show_as_it_is(&context, &switch, old).await,
        true => engaged(&context, &switch).await,
        false if shown || context.kill.record.may_have(&uid) => released(&context, &switch, old, shown).await,
        false => show_as_it_is(&context, &switch, old).await,
    }
}

async fn show_as_it_is(context: &Context, switch: &KillSwitch, status: KillSwitchStatus) -> Result<Action, Error> {
    let status = with_ready(switch, status.clone(), said(switch, &status), context.now());
    show(context, switch, switch.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}

async fn engaged(context: &Arc<Context>, switch: &KillSwitch) -> Result<Action, Error> {
    // What runs do not see stops nothing: this may be a late view of a switch that is gone.
    let uid = switch.uid().unwrap_or_default();
    if !context.kill.journaled(&uid, true, LONGEST_LOOK).await {
        return Ok(Action::requeue(LOOK_EVERY));
    }
    let engaged_at = context.kill.record.engaged_at(&uid).map(Time);
    wait_for_quiet(context, switch, KillSwitchStatus { engaged_at, ..KillSwitchStatus::default() }).await
}

/// Waits until no run that it covers asks a model or calls a tool, and writes down how long that took.
///
/// Quiet means: the runs' own view has the switch too, every run that has not ended is driven (so that what ran before a restart is known),
/// and none of them acts.
async fn wait_for_quiet(context: &Arc<Context>, switch: &KillSwitch, status: KillSwitchStatus) -> Result<Action, Error> {
    let (namespace, uid) = (switch.namespace().unwrap_or_default(), switch.uid().unwrap_or_default());
    let everywhere = namespace == context.config.namespace;
    let covers = |of: &str| everywhere || of == namespace;
    let scope = if everywhere { Scope::All } else { Scope::Namespace(namespace.clone()) };
    let begun = tokio::time::Instant::now();
    let quiet = loop {
        if context.kill.engaged_since(&uid).is_some() && !context.runs.acts(covers) && all_driven(context, &scope).await? {
            break true;
        }
        if begun.elapsed() >= LONGEST_LOOK {
            break false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let since = context.kill.engaged_since(&uid).unwrap_or(begun);
    let counts = context.kill.counts(&uid);
    let status = KillSwitchStatus {
        stopped_runs: i32::try_from(context.runs.count(covers)).ok(),
        stopped_model_requests: i32::try_from(counts.model_requests).ok(),
        stopped_tool_calls: i32::try_from(counts.tool_calls).ok(),
        quiet_after_ms: if quiet { i64::try_from(since.elapsed().as_millis()).ok() } else { None },
        ..status
    };
    let status = with_ready(switch, status.clone(), said(switch, &status), context.now());
    show(context, switch, switch.status.as_ref(), &status).await?;
    Ok(if quiet { Action::await_change() } else { Action::requeue(LOOK_EVERY) })
}

/// Whether every run of the scope that has not ended has its driver; one that nobody drives may have left processes behind.
async fn all_driven(context: &Context, scope: &Scope) -> Result<bool, Error> {
    let scopes: Vec<Scope> = match (scope, context.config.watch_namespaces.as_slice()) {
        (Scope::All, [_, ..]) => context.config.watch_namespaces.iter().cloned().map(Scope::Namespace).collect(),
        (Scope::All, []) | (Scope::Namespace(_), _) => vec![scope.clone()],
    };
    for scope in scopes {
        for run in scope.api::<DeserializeGuard<AgentRun>>(&context.client).list(&ListParams::default()).await? {
            let ended = match &run.0 {
                Ok(run) => run.status.as_ref().and_then(|status| status.phase).is_some_and(AgentRunPhase::is_final),
                Err(_) => true,
            };
            if !ended && !context.runs.drives(&run.uid().unwrap_or_default()) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn released(context: &Context, switch: &KillSwitch, old: KillSwitchStatus, shown: bool) -> Result<Action, Error> {
    let uid = switch.uid().unwrap_or_default();
    if !context.kill.journaled(&uid, false, LONGEST_LOOK).await {
        return Ok(Action::requeue(LOOK_EVERY));
    }
    let released_at = if shown { Some(Time(whole_second(context.now()))) } else { old.released_at.clone() };
    show_as_it_is(context, switch, KillSwitchStatus { released_at, ..old }).await
}

fn said(switch: &KillSwitch, status: &KillSwitchStatus) -> Say {
    if !switch.spec.engaged {
        return Say::ready(ConditionStatus::True, "Released", "It stops nothing.");
    }
    let runs = status.stopped_runs.unwrap_or(0);
    match status.quiet_after_ms {
        Some(ms) => {
            Say::ready(ConditionStatus::False, "Engaged", format!("{runs} runs stand still; the last process was dead after {ms} ms."))
        }
        None => Say::ready(ConditionStatus::Unknown, "Stopping", "Processes are being killed."),
    }
}

fn with_ready(switch: &KillSwitch, status: KillSwitchStatus, say: Say, now: Timestamp) -> KillSwitchStatus {
    let generation = switch.metadata.generation;
    let conditions = conditions::set(&status.conditions, &[say], generation, now);
    KillSwitchStatus { observed_generation: generation, conditions, ..status }
}
