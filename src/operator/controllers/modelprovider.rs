//! ModelProvider: can it be asked.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use reeve_api::{ConditionStatus, ModelProvider, ModelProviderStatus, ProviderKind};
use reeve_core::conditions::{self, Say};

use super::{REFERENCES_AGAIN, controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let controller = controller::<ModelProvider>(&context, scope);
    drive(context, controller, reconcile)
}

async fn reconcile(context: Arc<Context>, provider: Arc<ModelProvider>) -> Result<Action, Error> {
    let namespace = provider.namespace().unwrap_or_default();
    let say = match context.providers.of(&context.client, &context.secrets, &namespace, &provider.spec).await {
        Ok(_) => match provider.spec.kind {
            ProviderKind::OpenaiChat => {
                Say::ready(ConditionStatus::True, "Configured", "Its settings and its key can be used; no request was sent.")
            }
            ProviderKind::Recorded => {
                Say::ready(ConditionStatus::True, "Recorded", "A simulation: its answers come from a transcript, not from a model.")
            }
        },
        Err(why) => Say::ready(ConditionStatus::False, why.reason, why.message),
    };
    let old = provider.status.clone().unwrap_or_default();
    let status = ModelProviderStatus {
        observed_generation: provider.metadata.generation,
        conditions: conditions::set(&old.conditions, &[say], provider.metadata.generation, context.now()),
    };
    let changed = provider.status.as_ref() != Some(&status);
    show(&context, provider.as_ref(), provider.status.as_ref(), &status).await?;
    if changed {
        context.references.notify_waiters();
    }
    Ok(Action::requeue(REFERENCES_AGAIN))
}
