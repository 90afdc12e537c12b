//! Goal: one run after the other, as `reeve_core::goal::plan` says.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::watcher;
use kube::{Api, Resource as _, ResourceExt as _};
use reeve_api::{AgentRun, AgentRunPhase, AgentRunSpec, FIELD_MANAGER, Goal, GoalPhase, label};
use reeve_core::goal::{self, Child, Plan};
use reeve_core::journal::{Event, Stream};
use reeve_core::run::RunState;

use super::{GOALS_AGAIN, controller, drive, show};
use crate::cluster::{WriteError, create_owned, find};
use crate::context::Context;
use crate::error::Error;
use crate::run::RunLog;
use crate::scope::Scope;

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let runs = scope.api::<DeserializeGuard<AgentRun>>(&context.client);
    let controller = controller::<Goal>(&context, scope).owns(runs, watcher::Config::default());
    drive(context, controller, reconcile)
}

async fn reconcile(context: Arc<Context>, goal: Arc<Goal>) -> Result<Action, Error> {
    let ended = goal.status.as_ref().and_then(|status| status.phase).is_some_and(GoalPhase::is_final);
    if ended || goal.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let children = observe(&context, &goal).await?;
    let plan = goal::plan(&goal, |name| children.get(name).cloned().unwrap_or(Child::Absent), context.now());
    // A status that says Suspended stands before a run is suspended for it, and one that says that a run is there after it was created.
    let (first, last): (Vec<_>, Vec<_>) =
        plan.actions.iter().partition(|action| !matches!(action, goal::Action::Suspend { suspended: true, .. }));
    for action in first {
        if let Err(error) = apply(&context, &goal, action).await {
            tell(&context, &goal, &plan, action, &error).await;
            return Err(error);
        }
    }
    show(&context, goal.as_ref(), goal.status.as_ref(), &plan.status).await?;
    for action in last {
        apply(&context, &goal, action).await?;
    }
    let ended = plan.status.phase.is_some_and(GoalPhase::is_final);
    Ok(if ended { Action::await_change() } else { Action::requeue(GOALS_AGAIN) })
}

/// Shows why a run could not be created, in the server's words. The caller tries again, with backoff.
async fn tell(context: &Context, goal: &Goal, plan: &Plan, action: &goal::Action, error: &Error) {
    let (goal::Action::CreateRun { name, .. }, Error::Write(refusal)) = (action, error) else { return };
    let why = match refusal {
        WriteError::Api { source: kube::Error::Api(status), .. } => status.message.clone(),
        // No answer is no refusal.
        WriteError::Api { .. } | WriteError::Unread { .. } => return,
        WriteError::NameTaken { .. } | WriteError::MadeAnew { .. } | WriteError::MovedOn { .. } | WriteError::Incomplete { .. } => {
            refusal.to_string()
        }
    };
    let status = goal::refused(goal, &plan.status, name, &why, context.now());
    if let Err(error) = show(context, goal, goal.status.as_ref(), &status).await {
        tracing::warn!(goal = format!("{}/{}", goal.namespace().unwrap_or_default(), goal.name_any()), %error, "its status cannot be written");
    }
}

/// The runs under the names that this Goal may use, each with what the journal says of it.
async fn observe(context: &Arc<Context>, goal: &Goal) -> Result<BTreeMap<String, Child>, Error> {
    let (namespace, name) = (goal.namespace().unwrap_or_default(), goal.name_any());
    let api: Api<AgentRun> = Api::namespaced(context.client.clone(), &namespace);
    let mut children = BTreeMap::new();
    let planner = goal::planner_name(&name);
    let planned = match look(context, &api, goal, &planner).await? {
        Child::Ours { state, suspended, waiting } => {
            let tasks = state.finished.as_ref().map(|finished| finished.tasks.clone()).unwrap_or_default();
            children.insert(planner, Child::Ours { state, suspended, waiting });
            tasks.into_iter().map(|task| task.name).collect()
        }
        other @ (Child::Absent | Child::Foreign) => {
            children.insert(planner, other);
            Vec::new()
        }
    };
    let tasks = match &goal.spec.tasks {
        Some(tasks) => tasks.iter().map(|task| task.name.clone()).collect(),
        None => planned,
    };
    for run in tasks.iter().map(|task| goal::task_name(&name, task)).chain([goal::acceptance_name(&name), goal::merge_name(&name)]) {
        let child = look(context, &api, goal, &run).await?;
        let absent = child == Child::Absent;
        children.insert(run, child);
        if absent {
            // Runs come one after the other: behind one that is not there, there is none.
            break;
        }
    }
    Ok(children)
}

async fn look(context: &Arc<Context>, api: &Api<AgentRun>, goal: &Goal, name: &str) -> Result<Child, Error> {
    let Some(run) = find(api, name).await? else { return Ok(Child::Absent) };
    if !goal::owns(goal, &run) {
        return Ok(Child::Foreign);
    }
    let uid = run.uid().unwrap_or_default();
    let waiting = run.status.as_ref().filter(|status| status.phase == Some(AgentRunPhase::Pending)).and_then(|status| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "False")?;
        Some((ready.reason.clone(), ready.message.clone()))
    });
    Ok(Child::Ours { suspended: run.spec.suspended, waiting, state: Box::new(state(context, &uid).await?) })
}

/// The run's state if it has ended; a blank one while it works, since nothing is decided on it before.
async fn state(context: &Arc<Context>, uid: &str) -> Result<RunState, Error> {
    let stream = Stream::run(uid);
    let Some(head) = context.journal.head(&stream).await? else { return Ok(RunState::new(uid)) };
    let last = context.journal.read(&stream, head.seq, 1).await?;
    let ended = last.first().and_then(|row| row.event().ok()).is_some_and(|event| matches!(event, Event::RunFinished(_)));
    if !ended {
        return Ok(RunState::new(uid));
    }
    RunLog::fold(context, uid).await
}

async fn apply(context: &Context, goal: &Goal, action: &goal::Action) -> Result<(), Error> {
    tracing::info!(goal = format!("{}/{}", goal.namespace().unwrap_or_default(), goal.name_any()), %action, "goal");
    match action {
        goal::Action::CreateRun { name, spec, .. } => {
            create_owned(&context.client, &child(goal, name, spec)).await?;
        }
        goal::Action::Suspend { name, suspended } => {
            let api: Api<AgentRun> = Api::namespaced(context.client.clone(), &goal.namespace().unwrap_or_default());
            let patch = serde_json::json!({ "spec": { "suspended": suspended } });
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            api.patch(name, &parameters, &Patch::Merge(&patch)).await?;
        }
    }
    Ok(())
}

fn child(goal: &Goal, name: &str, spec: &AgentRunSpec) -> AgentRun {
    let uid = goal.uid().unwrap_or_default();
    AgentRun {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: goal.namespace(),
            labels: Some(BTreeMap::from([(label::GOAL_UID.to_owned(), uid.clone())])),
            owner_references: Some(vec![OwnerReference {
                api_version: Goal::api_version(&()).into_owned(),
                kind: Goal::kind(&()).into_owned(),
                name: goal.name_any(),
                uid,
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: spec.clone(),
        status: None,
    }
}
