//! AgentProfile: are its references there, and what is its digest.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use reeve_api::{AgentProfile, AgentProfileStatus, ConditionStatus, ModelProvider, Route};
use reeve_core::conditions::{self, Say};
use reeve_core::run::{NotReady, profile_digest};

use super::{REFERENCES_AGAIN, controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let controller = controller::<AgentProfile>(&context, scope);
    drive(context, controller, reconcile)
}

async fn reconcile(context: Arc<Context>, profile: Arc<AgentProfile>) -> Result<Action, Error> {
    let checked = check(&context, &profile).await;
    let say = match &checked {
        Ok(()) => Say::ready(ConditionStatus::True, "Valid", "Every route names a model of a provider that is there."),
        Err(why) => Say::ready(ConditionStatus::False, why.reason, why.message.clone()),
    };
    let old = profile.status.clone().unwrap_or_default();
    let digest = profile_digest(&profile).map_err(|error| Error::bug(error.to_string()))?;
    let status = AgentProfileStatus {
        observed_generation: profile.metadata.generation,
        digest: Some(digest.to_string()),
        conditions: conditions::set(&old.conditions, &[say], profile.metadata.generation, context.now()),
    };
    let changed = profile.status.as_ref() != Some(&status);
    show(&context, profile.as_ref(), profile.status.as_ref(), &status).await?;
    if changed {
        context.references.notify_waiters();
    }
    Ok(Action::requeue(REFERENCES_AGAIN))
}

async fn check(context: &Context, profile: &AgentProfile) -> Result<(), NotReady> {
    let api = Api::<ModelProvider>::namespaced(context.client.clone(), &profile.namespace().unwrap_or_default());
    let routes = &profile.spec.routes;
    for Route { provider_ref, model } in routes.planner.iter().chain(&routes.coder) {
        let name = &provider_ref.name;
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| NotReady::new("ProviderUnreadable", format!("ModelProvider {name:?} could not be read: {error}.")))?
            .ok_or_else(|| NotReady::new("ProviderNotFound", format!("ModelProvider {name:?} is not there; create it.")))?;
        if !found.spec.models.iter().any(|entry| entry.name == *model) {
            return Err(NotReady::new(
                "ModelNotFound",
                format!("ModelProvider {name:?} has no model {model:?}; add it to its spec.models."),
            ));
        }
    }
    Ok(())
}
