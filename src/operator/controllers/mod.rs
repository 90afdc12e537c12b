//! One controller a kind, in every namespace that is watched.
//!
//! Each file reads: observe → validate → plan (in `reeve-core`) → apply → status.

mod agentprofile;
mod agentrun;
mod approval;
mod deletions;
mod follow_up;
mod goal;
mod killswitch;
mod modelprovider;
mod past;
mod policyset;
mod riskbudget;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config as ControllerConfig, Error as Driven};
use kube::runtime::{Controller, watcher};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::cluster::{classify_watch, write_status};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;
use crate::telemetry::{Event as _, ReconcileFailed, Reconciled, StatusWritten, WatchFailed};

pub(crate) use killswitch::{journal as journal_switches, load as load_switches};
pub(crate) use past::Past;
pub(crate) use policyset::{ensure_default, load};
pub(crate) use riskbudget::{Budgets, load as load_budgets};

/// Objects of one kind that are looked at side by side. A reconcile is short (runs have tasks of their own), so a few keep up.
const CONCURRENCY: u16 = 8;

/// Every controller of a scope, to be awaited side by side. They end when the context stops.
pub(crate) fn all(context: &Arc<Context>, scope: &Scope) -> Vec<BoxFuture<'static, ()>> {
    vec![
        agentprofile::run(Arc::clone(context), scope),
        modelprovider::run(Arc::clone(context), scope),
        policyset::run(Arc::clone(context), scope),
        agentrun::run(Arc::clone(context), scope),
        goal::run(Arc::clone(context), scope),
        approval::run(Arc::clone(context), scope),
        riskbudget::run(Arc::clone(context), scope),
        killswitch::run(Arc::clone(context), scope),
    ]
}

/// What the operator's own namespace needs where it is not among those that are watched: its policy sets and kill switches apply everywhere.
pub(crate) fn everywhere(context: &Arc<Context>, scope: &Scope) -> Vec<BoxFuture<'static, ()>> {
    vec![policyset::run(Arc::clone(context), scope), killswitch::run(Arc::clone(context), scope)]
}

/// A kind as these controllers know it.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

/// A controller of this kind. Objects that cannot be read as the kind are delivered as such, and stop nothing.
fn controller<K: Kind>(context: &Context, scope: &Scope) -> Controller<DeserializeGuard<K>> {
    let config = ControllerConfig::default().concurrency(CONCURRENCY);
    Controller::new(scope.api::<DeserializeGuard<K>>(&context.client), watcher::Config::default()).with_config(config)
}

/// Runs a controller with this reconciler until the context stops.
fn drive<K, F>(
    context: Arc<Context>,
    controller: Controller<DeserializeGuard<K>>,
    reconcile: impl Fn(Arc<Context>, Arc<K>) -> F + Clone + Send + Sync + 'static,
) -> BoxFuture<'static, ()>
where
    K: Kind,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let stop = context.stop.clone();
    let reconciler = move |object: Arc<DeserializeGuard<K>>, context: Arc<Context>| {
        let reconcile = reconcile.clone();
        async move {
            let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
            let started = Instant::now();
            let typed = match &object.0 {
                Ok(typed) => Arc::new(typed.clone()),
                Err(invalid) => return Err(Failure { name, error: Error::Unreadable(invalid.error.clone()) }),
            };
            let done = reconcile(Arc::clone(&context), typed).await;
            match done {
                Ok(action) => {
                    Reconciled { kind: &K::kind(&()), name: &name, took: started.elapsed() }.emit();
                    context.backoff.reset(&key::<K>(&name));
                    Ok(action)
                }
                Err(error) => Err(Failure { name, error }),
            }
        }
    };
    let on_error = |_: Arc<DeserializeGuard<K>>, failure: &Failure, context: Arc<Context>| {
        let Failure { name, error } = failure;
        if error.is_fenced() {
            context.stop.cancel();
            return Action::await_change();
        }
        let wait = context.again_in(&key::<K>(name));
        ReconcileFailed { kind: &K::kind(&()), object: name, class: error.class(), error: &error.to_string(), again_in: wait }.emit();
        // Nothing changes about an object that cannot be read until somebody edits it.
        if matches!(error, Error::Unreadable(_)) { Action::await_change() } else { Action::requeue(wait) }
    };
    let run = controller.graceful_shutdown_on(stop.cancelled_owned()).run(reconciler, on_error, context);
    Box::pin(run.for_each(|done| {
        // What became of an object is told above; that none is heard of any more is told here.
        if let Err(Driven::QueueError(error)) = done {
            WatchFailed { kind: &K::kind(&()), class: classify_watch(&error), error: &error.to_string() }.emit();
        }
        std::future::ready(())
    }))
}

fn key<K: Kind>(name: &str) -> String {
    format!("{} {name}", K::kind(&()))
}

#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
struct Failure {
    name: String,
    error: Error,
}

/// Writes a status if it differs from the one shown.
async fn show<K, S>(context: &Context, object: &K, shown: Option<&S>, wanted: &S) -> Result<(), Error>
where
    K: Kind,
    S: Serialize + PartialEq + Sync,
{
    let value = |status: &S| serde_json::to_value(status).map_err(|error| Error::bug(error.to_string()));
    // What a server said of something that went wrong stands in a message, whatever it quotes.
    let wanted = context.secrets.redacted_messages(object.meta().namespace.as_deref().unwrap_or_default(), value(wanted)?);
    let shown = shown.map(value).transpose()?;
    if shown.as_ref() == Some(&wanted) {
        return Ok(());
    }
    write_status(&context.client, object, shown.as_ref(), &wanted).await?;
    StatusWritten { kind: &K::kind(&()) }.emit();
    Ok(())
}

/// A Goal that has not ended is looked at again this often, so that no single event can be the one it depended on.
const GOALS_AGAIN: Duration = Duration::from_secs(60);

/// What was judged on a reference is looked at again this often, since references are not watched.
const REFERENCES_AGAIN: Duration = Duration::from_secs(60);
