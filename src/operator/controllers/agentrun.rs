//! AgentRun: every run that has not ended has one driver.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use reeve_api::{AgentRun, AgentRunPhase};

use super::deletions::{Kept, forget_deleted};
use super::{controller, drive};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let runs = drive(Arc::clone(&context), controller::<AgentRun>(&context, scope), reconcile);
    let kept = Kept { uids: |context, scope| context.runs.uids(scope), forget: |context, uid| context.runs.forget_uid(uid) };
    let deletions = forget_deleted::<AgentRun>(context, scope, kept);
    Box::pin(async move {
        futures::future::join(runs, deletions).await;
    })
}

async fn reconcile(context: Arc<Context>, run: Arc<AgentRun>) -> Result<Action, Error> {
    let uid = run.uid().unwrap_or_default();
    let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
    // An object made anew under the same name is another run.
    context.runs.forget(&namespace, &name, Some(&uid));
    if run.metadata.deletion_timestamp.is_some() {
        context.runs.forget(&namespace, &name, None);
        return Ok(Action::await_change());
    }
    // Only the operator can write a status, and writes a final one only after the last row.
    let ended = run.status.as_ref().and_then(|status| status.phase).is_some_and(AgentRunPhase::is_final);
    if !ended || context.runs.drives(&uid) {
        context.runs.drive(&context, run);
    }
    Ok(Action::await_change())
}
