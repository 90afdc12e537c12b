//! AgentRun: every run that has not ended has one driver.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::watcher;
use reeve_api::{AgentRun, AgentRunPhase};

use super::{controller, drive};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let runs = drive(Arc::clone(&context), controller::<AgentRun>(&context, scope), reconcile);
    let deletions = forget_deleted(context, scope);
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

/// A controller is not told of deletions without a finalizer, and a finalizer costs every run two writes: a watch of its own is told.
fn forget_deleted(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let api = scope.api::<PartialObjectMeta<AgentRun>>(&context.client);
    Box::pin(async move {
        let stop = context.stop.clone();
        let events = watcher(api, watcher::Config::default());
        let deletions = kube::runtime::WatchStreamExt::default_backoff(events).for_each(|event| {
            if let Ok(watcher::Event::Delete(gone)) = &event {
                context.runs.forget(&gone.namespace().unwrap_or_default(), &gone.name_any(), None);
            }
            std::future::ready(())
        });
        tokio::select! {
            () = deletions => {}
            () = stop.cancelled() => {}
        }
    })
}
