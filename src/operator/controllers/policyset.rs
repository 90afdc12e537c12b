//! PolicySet: valid text comes into force, journaled; an invalid edit leaves the one before in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use reeve_api::{ConditionStatus, FIELD_MANAGER, PolicyMode, PolicySet, PolicySetSpec, PolicySetStatus, label};
use reeve_core::Digest;
use reeve_core::conditions::{self, Say};
use reeve_core::journal::{Actor, Event, PolicyActivated, RowDraft};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_core::policy::{self, ActiveSet, CompiledSet, Mode, Scope as PolicyScope};

use super::deletions::{Kept, forget_deleted};
use super::past::Past;
use super::{controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::policies::InForce;
use crate::scope::Scope;

/// Name of the set that the operator creates in its own namespace where there is none.
const DEFAULT: &str = "default";

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let sets = drive(Arc::clone(&context), controller::<PolicySet>(&context, scope), reconcile);
    let kept = Kept { uids: |context, scope| context.policies.uids(scope), forget: |context, uid| context.policies.remove(uid) };
    let deletions = forget_deleted::<PolicySet>(context, scope, kept);
    Box::pin(async move {
        futures::future::join(sets, deletions).await;
    })
}

/// Creates the default set at the first start, and brings one that nobody has edited up to date after an upgrade. One that a person has
/// edited is left alone, and one that a person has deleted stays away: without a set of the operator's nothing is allowed, which may be
/// just what was wanted.
pub(crate) async fn ensure_default(context: &Context, past: &Past) -> Result<(), Error> {
    let api: Api<PolicySet> = Api::namespaced(context.client.clone(), &context.config.namespace);
    let spec = policy::default_spec().map_err(|error| Error::bug(error.to_string()))?;
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    if let Some(found) = api.get_opt(DEFAULT).await? {
        return if found.spec == *spec { Ok(()) } else { bring_up_to_date(&api, &parameters, found, spec).await };
    }
    let default = (context.config.namespace.clone(), DEFAULT.to_owned());
    if past.activations.contains_key(&default) {
        tracing::warn!(
            policyset = format!("{}/{DEFAULT}", default.0),
            "it was deleted and is not created again; without any, nothing is allowed"
        );
        return Ok(());
    }
    let metadata = ObjectMeta {
        name: Some(DEFAULT.to_owned()),
        namespace: Some(context.config.namespace.clone()),
        annotations: Some(BTreeMap::from([(label::SHIPPED.to_owned(), digest(spec)?.to_string())])),
        ..ObjectMeta::default()
    };
    match api.create(&parameters, &PolicySet { metadata, spec: spec.clone(), status: None }).await {
        Ok(_) => Ok(()),
        // Another 409 (the namespace is ending, an answer that is not the server's own) says nothing of a set that would be there.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn digest(spec: &PolicySetSpec) -> Result<Digest, Error> {
    Digest::of_canonical(spec).map_err(|error| Error::bug(error.to_string()))
}

async fn bring_up_to_date(api: &Api<PolicySet>, parameters: &PostParams, mut found: PolicySet, spec: &PolicySetSpec) -> Result<(), Error> {
    let there = digest(&found.spec)?;
    let untouched = match found.annotations().get(label::SHIPPED) {
        Some(shipped) => *shipped == there.to_string(),
        // The first release wrote no annotation; a set of its first generation is what it wrote.
        None => found.metadata.generation == Some(1),
    };
    if !untouched {
        tracing::warn!(policyset = DEFAULT, "a person has edited it; what this version of Reeve ships is not taken over");
        return Ok(());
    }
    found.spec = spec.clone();
    found.annotations_mut().insert(label::SHIPPED.to_owned(), digest(spec)?.to_string());
    // Guarded by the resource version that was read: whoever edits it in between wins.
    match api.replace(DEFAULT, parameters, &found).await {
        Ok(_) => {
            tracing::info!(policyset = DEFAULT, "brought up to date: nobody had edited it");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts in force what was in force before, and what is there now, before any run is judged.
pub(crate) async fn load(context: &Arc<Context>, past: &Past, scopes: &[Scope]) -> Result<(), Error> {
    for scope in scopes {
        for set in scope.api::<DeserializeGuard<PolicySet>>(&context.client).list(&ListParams::default()).await? {
            let (namespace, name) = (set.namespace().unwrap_or_default(), set.name_any());
            let shown = format!("{namespace}/{name}");
            if let Some(before) = past.activations.get(&(namespace, name)).filter(|before| Some(&before.uid) == set.uid().as_ref()) {
                restore(context, before).await?;
            }
            match set.0 {
                Ok(set) => {
                    let status = judge(context, &set).await?;
                    // The controller shows it as soon as it can; what is in force does not hang on what is shown.
                    if let Err(error) = show(context, &set, set.status.as_ref(), &status).await {
                        tracing::warn!(policyset = shown, %error, "its status cannot be written yet");
                    }
                }
                Err(invalid) => {
                    tracing::error!(policyset = shown, error = invalid.error, "it cannot be read; what was in force before stays")
                }
            }
        }
    }
    Ok(())
}

/// Puts in force again what the journal says was.
async fn restore(context: &Context, before: &PolicyActivated) -> Result<(), Error> {
    let bytes = context.artifacts.get(&before.digest).await?;
    let unreadable = |error: &dyn std::fmt::Display| Error::bug(format!("policy set {}: {error}", before.digest));
    let spec: PolicySetSpec = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    if before.text.is_none() {
        // Of an earlier release: from here on an export tells what was decided by.
        let text = String::from_utf8(bytes).map_err(|error| unreadable(&error))?;
        let told = with_text(context, before.clone(), text)?;
        if told.text.is_some() {
            context.append_own(draft(context, &told)?).await?;
        }
    }
    match policy::accepted(&spec) {
        Ok(compiled) => context.policies.activate(&before.namespace, &before.name, in_force(context, before, &spec, compiled)),
        // A text that a stricter version of Reeve does not take any more: nothing of it is in force, and its status says so.
        Err(why) => {
            tracing::error!(policyset = format!("{}/{}", before.namespace, before.name), why, "what was in force is not valid any more");
        }
    }
    Ok(())
}

async fn reconcile(context: Arc<Context>, set: Arc<PolicySet>) -> Result<Action, Error> {
    if set.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let status = judge(&context, &set).await?;
    show(&context, set.as_ref(), set.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}

/// Puts the set in force if it is valid, and says what to show of it.
async fn judge(context: &Context, set: &PolicySet) -> Result<PolicySetStatus, Error> {
    let (namespace, name) = (set.namespace().unwrap_or_default(), set.name_any());
    let digest = digest(&set.spec)?;
    let uid = set.uid().unwrap_or_default();
    let holds = context.policies.get(&namespace, &name).is_some_and(|active| active.uid == uid && active.digest == digest);
    // What is in force is not compiled again, nor are its cases tried: that is most of what a look at a set costs.
    let compiled = if holds { Ok(None) } else { policy::accepted(&set.spec).map(Some) };
    let say = match compiled {
        Ok(compiled) => {
            if let Some(compiled) = compiled {
                activate(context, set, digest, compiled).await?;
            }
            Say::ready(ConditionStatus::True, "Active", "The policies are valid, their cases hold, and they are in force.")
        }
        Err(why) => Say::ready(ConditionStatus::False, "Invalid", why),
    };
    let active = context.policies.get(&namespace, &name).filter(|active| active.uid == uid);
    let old = set.status.clone().unwrap_or_default();
    Ok(PolicySetStatus {
        observed_generation: set.metadata.generation,
        active_digest: active.as_ref().map(|active| active.digest.to_string()),
        policies: active.as_ref().map(|active| i32::try_from(active.policies).unwrap_or(i32::MAX)),
        conditions: conditions::set(&old.conditions, &[say], set.metadata.generation, context.now()),
    })
}

fn in_force(context: &Context, activated: &PolicyActivated, spec: &PolicySetSpec, compiled: Arc<CompiledSet>) -> InForce {
    let PolicyActivated { namespace, name, uid, digest, generation: _, text: _ } = activated;
    let scope = if *namespace == context.config.namespace { PolicyScope::Operator } else { PolicyScope::Namespace };
    let mode = match spec.mode {
        PolicyMode::Enforce => Mode::Enforce,
        PolicyMode::Shadow => Mode::Shadow,
    };
    let name = format!("{namespace}/{name}");
    let policies = compiled.len();
    InForce { uid: uid.clone(), digest: *digest, policies, set: ActiveSet { name, digest: *digest, scope, mode, compiled } }
}

async fn activate(context: &Context, set: &PolicySet, digest: Digest, compiled: Arc<CompiledSet>) -> Result<(), Error> {
    let bug = |error: serde_json::Error| Error::bug(error.to_string());
    let (namespace, name) = (set.namespace().unwrap_or_default(), set.name_any());
    let text = serde_json_canonicalizer::to_string(&set.spec).map_err(bug)?;
    context.artifacts.put(text.clone().into_bytes()).await?;
    let activated = PolicyActivated {
        namespace: namespace.clone(),
        name: name.clone(),
        uid: set.uid().unwrap_or_default(),
        digest,
        generation: set.metadata.generation.unwrap_or_default(),
        text: None,
    };
    let activated = with_text(context, activated, text)?;
    context.append_own(draft(context, &activated)?).await?;
    context.policies.activate(&namespace, &name, in_force(context, &activated, &set.spec, compiled));
    context.references.notify_waiters();
    Ok(())
}

/// The activation with its text, where that may stand in a row: it fits, and holds nothing that is to be masked.
fn with_text(context: &Context, activated: PolicyActivated, text: String) -> Result<PolicyActivated, Error> {
    if context.secrets.redacted_text(&activated.namespace, &text) != text {
        return Ok(activated);
    }
    let told = PolicyActivated { text: Some(text), ..activated.clone() };
    Ok(if draft(context, &told)?.body.len() > MAX_EVENT_BODY_BYTES { activated } else { told })
}

fn draft(context: &Context, activated: &PolicyActivated) -> Result<RowDraft, Error> {
    RowDraft::of(&Event::PolicyActivated(activated.clone()), &Actor::Operator, context.now()).map_err(|error| Error::bug(error.to_string()))
}
