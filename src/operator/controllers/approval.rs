//! Approval: what people change rings the run that waits; one whose run waits no more says so.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use reeve_api::{Approval, ApprovalPhase, ApprovalStatus, ConditionStatus};
use reeve_core::conditions::{self, Say};

use super::{controller, drive, show};
use crate::cluster::find;
use crate::context::Context;
use crate::error::Error;
use crate::run::RunLog;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    drive(Arc::clone(&context), controller::<Approval>(&context, scope), reconcile)
}

async fn reconcile(context: Arc<Context>, approval: Arc<Approval>) -> Result<Action, Error> {
    let shown = approval.status.as_ref().and_then(|status| status.phase);
    if shown.is_some_and(ApprovalPhase::is_final) {
        return Ok(Action::await_change());
    }
    let run = &approval.spec.subject.uid;
    context.runs.ring(run);
    if context.runs.drives(run) {
        // Its run writes its status.
        return Ok(Action::await_change());
    }
    let state = RunLog::fold(&context, run).await?;
    // A run that has not ended gets its driver with the next look at it; then it is rung.
    if state.started.is_some() && state.finished.is_none() {
        return Ok(Action::await_change());
    }
    // The watch may be behind what the run wrote at its end: a settled approval stays settled.
    let api = Api::<Approval>::namespaced(context.client.clone(), &approval.namespace().unwrap_or_default());
    let Some(approval) = find(&api, &approval.name_any()).await?.filter(|found| found.uid() == approval.uid()) else {
        return Ok(Action::await_change());
    };
    if approval.status.as_ref().and_then(|status| status.phase).is_some_and(ApprovalPhase::is_final) {
        return Ok(Action::await_change());
    }
    let say = Say::ready(ConditionStatus::False, ApprovalPhase::Superseded.as_str(), "Its run has ended.");
    let old = approval.status.clone().unwrap_or_default();
    let status = ApprovalStatus {
        phase: Some(ApprovalPhase::Superseded),
        observed_generation: approval.metadata.generation,
        missing: old.missing,
        votes: old.votes.clone(),
        conditions: conditions::set(&old.conditions, &[say], approval.metadata.generation, context.now()),
    };
    show(&context, &approval, approval.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}
