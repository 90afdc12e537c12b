//! What a step would append, and how it is said.

use jiff::Timestamp;

use super::asked_by;
use crate::budget::{self, Amounts};
use crate::journal::{BudgetReserved, Event, SandboxAsked};
use crate::names;
use crate::run::conversation::RequestForm;
use crate::run::{RunState, Sandbox, Step, approval_asked};
use crate::tool::ToolName;

/// The row that is appended first for this step, where the rows before say all of it but what the comments name; None where the world has
/// the word.
pub(super) fn row_of(state: &RunState, form: &RequestForm, step: &Step, now: Timestamp) -> Option<Event> {
    match step {
        Step::StartSandbox if state.sandbox == Sandbox::None => {
            let started = state.started.as_ref()?;
            let asked = SandboxAsked { job: names::join(&[&started.name], names::MAX_JOB), image: started.spec.sandbox.image.clone() };
            Some(Event::SandboxRequested(asked))
        }
        Step::LoadWorkspace => Some(Event::WorkspaceRequested { digest: state.started.as_ref()?.spec.workspace.digest }),
        Step::CallModel { step, route, .. } => match reserve_for_model(state, form, *route) {
            Some(reserved) => Some(Event::BudgetReserved(reserved)),
            None => Some(Event::ModelRequest(asked_by(state, *step, *route, form.digest(*route)?, form.messages()))),
        },
        // It may be held for less: the run or its budget may have less time left.
        Step::CallTool { key, confinement, .. } => {
            reserve(state, key, Amounts { tool_calls: 1, runtime_ms: confinement.timeout_ms, ..Amounts::default() })
        }
        Step::Refuse(asked, _) => Some(Event::ToolRequested(asked.clone())),
        // Of a merge, the patch is an artifact: its delta is not in the rows.
        Step::AskApproval { call, quorum, attempt } => {
            let open = call.approval.as_ref().is_some_and(|before| before.is_open() && before.asked.attempt == *attempt);
            let delta = match &call.stage {
                crate::run::CallStage::Judged(canonical, _) if canonical.tool != ToolName::Merge => crate::approval::delta(canonical),
                crate::run::CallStage::Judged(..) | crate::run::CallStage::Wanted | crate::run::CallStage::Requested(_) => String::new(),
            };
            let asked = approval_asked(state, call, *quorum, *attempt, delta, now).ok().filter(|_| !open)?;
            Some(Event::ApprovalRequested(Box::new(asked)))
        }
        Step::SettleInFull(settled) => Some(Event::BudgetSettled(settled.clone())),
        Step::Checkpoint => Some(Event::CheckpointRequested { step: state.step }),
        Step::Answer(ended) => Some(Event::ToolResult(ended.clone())),
        Step::Reflect(reflection) => Some(Event::Reflect(reflection.clone())),
        Step::End(ending) => Some(Event::RunFinished(ending.clone().finished(now))),
        Step::StartSandbox
        | Step::Begin
        | Step::Decide(_)
        | Step::AwaitApproval(_)
        | Step::UseApproval(_)
        | Step::Merge { .. }
        | Step::AwaitAnswer { .. }
        | Step::Wait
        | Step::Done => None,
    }
}

/// What is held for the next model request. How long it may take depends on the time that is left.
fn reserve_for_model(state: &RunState, form: &RequestForm, route: usize) -> Option<BudgetReserved> {
    let key = format!("{}/m{}", state.uid, state.gates.model_requests + 1);
    let account = account(state, &key)?;
    let spec = &state.started.as_ref()?.spec;
    let price = spec.prices.get(route).copied().unwrap_or_default();
    let amounts = budget::of_request_bytes(form.bytes(route)?, spec.max_output_tokens, &price, u64::MAX);
    Some(BudgetReserved { account, key, amounts })
}

fn reserve(state: &RunState, key: &str, amounts: Amounts) -> Option<Event> {
    let account = account(state, key)?;
    Some(Event::BudgetReserved(BudgetReserved { account, key: key.to_owned(), amounts }))
}

/// The account that something still has to be held on under this key.
fn account(state: &RunState, key: &str) -> Option<String> {
    let held = state.gates.reserved.as_ref().is_some_and(|open| open.key == key);
    state.started.as_ref().and_then(|started| started.spec.budget.clone()).filter(|_| !held)
}

/// A step in words, as what it would do.
pub(super) fn words(state: &RunState, step: &Step) -> String {
    match step {
        Step::Begin => "would begin the run".to_owned(),
        Step::StartSandbox => "would start the sandbox".to_owned(),
        Step::LoadWorkspace => "would load the workspace".to_owned(),
        Step::CallModel { step, route, .. } => {
            let named = state.started.as_ref().and_then(|started| started.spec.routes.get(*route));
            format!("would ask model {} (route {route}, step {step})", named.map_or("", |(_, model)| model))
        }
        Step::Decide(call) => format!("would resolve and judge {} ({})", call.call.name, call.key),
        Step::Refuse(asked, ended) => format!("would refuse {} ({}): {}", asked.name, asked.key, ended.content),
        Step::CallTool { key, canonical, .. } => format!("would call {} ({key})", canonical.tool),
        Step::AskApproval { call, quorum, attempt } => {
            format!("would ask {quorum} people for {} ({}), attempt {attempt}", call.call.name, call.key)
        }
        Step::AwaitApproval(call) => format!("would wait for votes on {} ({})", call.call.name, call.key),
        Step::UseApproval(call) => format!("would use the approval of {} ({})", call.call.name, call.key),
        Step::SettleInFull(settled) => format!("would settle {} in full", settled.key),
        Step::Merge { key, proposal, .. } => format!("would merge {} ({key})", proposal.head_commit),
        Step::AwaitAnswer { question_id, .. } => format!("would wait for the answer to {question_id}"),
        Step::Checkpoint => "would take a checkpoint".to_owned(),
        Step::Answer(ended) => format!("would answer {} itself: {}", ended.key, ended.content),
        Step::Reflect(reflection) => format!("would weigh step {}", reflection.step),
        Step::End(ending) => format!("would end the run, {}: {}", ending.reason.as_str(), ending.message),
        Step::Wait => "would stand still".to_owned(),
        Step::Done => "would do nothing more".to_owned(),
    }
}
