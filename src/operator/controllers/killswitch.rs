//! KillSwitch: what it stopped, and how fast. The stopping itself is the runs' own, on [`crate::kill`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use reeve_api::{ConditionStatus, KillSwitch, KillSwitchStatus};
use reeve_core::conditions::{self, Say, whole_second};
use reeve_core::journal::{Actor, Event, KillSeen, RowDraft};

use super::{controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

/// Between two looks at whether something still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After this the status says what is known, and the next look goes on.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    drive(Arc::clone(&context), controller::<KillSwitch>(&context, scope), reconcile)
}

async fn reconcile(context: Arc<Context>, switch: Arc<KillSwitch>) -> Result<Action, Error> {
    if switch.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let old = switch.status.clone().unwrap_or_default();
    // Engaged again after a release is another engagement.
    let was_engaged = old.engaged_at.is_some() && old.released_at.is_none();
    match (switch.spec.engaged, was_engaged) {
        (true, false) => engaged(&context, &switch).await,
        (false, true) => released(&context, &switch, old).await,
        (true, true) if old.quiet_after_ms.is_none() => wait_for_quiet(&context, &switch, old).await,
        (true, true) | (false, false) => {
            let status = with_ready(&switch, old.clone(), said(&switch, &old));
            show(&context, switch.as_ref(), switch.status.as_ref(), &status).await?;
            Ok(Action::await_change())
        }
    }
}

async fn engaged(context: &Arc<Context>, switch: &KillSwitch) -> Result<Action, Error> {
    journal(context, switch, true).await?;
    let at = Time(whole_second(Timestamp::now()));
    let status = KillSwitchStatus { engaged_at: Some(at), ..KillSwitchStatus::default() };
    wait_for_quiet(context, switch, status).await
}

/// Waits until no run that it covers asks a model or calls a tool, and writes down how long that took.
async fn wait_for_quiet(context: &Arc<Context>, switch: &KillSwitch, status: KillSwitchStatus) -> Result<Action, Error> {
    let namespace = switch.namespace().unwrap_or_default();
    let everywhere = namespace == context.config.namespace;
    let since = tokio::time::Instant::now();
    let acts = || context.runs.acts(|of| everywhere || of == namespace);
    while acts() && since.elapsed() < LONGEST_LOOK {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let quiet = !acts();
    let counts = context.kill.counts(&switch.uid().unwrap_or_default());
    let small = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let status = KillSwitchStatus {
        stopped_runs: Some(small(counts.runs.len())),
        stopped_model_requests: Some(i32::try_from(counts.model_requests).unwrap_or(i32::MAX)),
        stopped_tool_calls: Some(i32::try_from(counts.tool_calls).unwrap_or(i32::MAX)),
        quiet_after_ms: if quiet { i64::try_from(since.elapsed().as_millis()).ok() } else { None },
        ..status
    };
    let status = with_ready(switch, status.clone(), said(switch, &status));
    show(context, switch, switch.status.as_ref(), &status).await?;
    Ok(if quiet { Action::await_change() } else { Action::requeue(LOOK_EVERY) })
}

async fn released(context: &Arc<Context>, switch: &KillSwitch, old: KillSwitchStatus) -> Result<Action, Error> {
    journal(context, switch, false).await?;
    context.kill.forget_counts(&switch.uid().unwrap_or_default());
    let status = KillSwitchStatus { released_at: Some(Time(whole_second(Timestamp::now()))), ..old };
    let status = with_ready(switch, status.clone(), said(switch, &status));
    show(context, switch, switch.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}

async fn journal(context: &Context, switch: &KillSwitch, engaged: bool) -> Result<(), Error> {
    let namespace = switch.namespace().unwrap_or_default();
    let seen = KillSeen {
        namespace: namespace.clone(),
        name: switch.name_any(),
        uid: switch.uid().unwrap_or_default(),
        engaged,
        reason: switch.spec.reason.clone(),
    };
    let event = context.secrets.redacted(&namespace, Event::Kill(seen));
    let draft = RowDraft::of(&event, &Actor::Spec, Timestamp::now()).map_err(|error| Error::bug(error.to_string()))?;
    context.append_own(draft).await
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

fn with_ready(switch: &KillSwitch, status: KillSwitchStatus, say: Say) -> KillSwitchStatus {
    let generation = switch.metadata.generation;
    let conditions = conditions::set(&status.conditions, &[say], generation, Timestamp::now());
    KillSwitchStatus { observed_generation: generation, conditions, ..status }
}
