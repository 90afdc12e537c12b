//! A run's status, as its rows have it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reeve_api::{
    AgentRunPhase, AgentRunStatus, CheckpointStatus, Condition, ConditionStatus, ConditionType, JournalHead, PendingApproval, Question,
    RunArtifact, RunResult, StepStatus, Task, UsageStatus,
};

use super::{RunState, Sandbox};
use crate::conditions::{self, Say};
use crate::journal::{CheckpointTaken, Head};
use crate::tool::Role;
use crate::{approval, budget};

/// The status of a run, its head not yet signed. `old` gives the times of conditions that did not change.
pub fn project(
    state: &RunState,
    head: Option<Head>,
    old: &[Condition],
    generation: Option<i64>,
    job: &str,
    now: Timestamp,
) -> AgentRunStatus {
    let (phase, say) = phase(state);
    let spec = state.started.as_ref().map(|started| &started.spec);
    AgentRunStatus {
        phase: Some(phase),
        observed_generation: generation,
        step: Some(int(state.step)),
        max_steps: spec.map(|spec| int(if spec.commands.is_empty() { spec.limits.steps } else { spec.commands.len() as u32 })),
        steps: state.steps.iter().map(|brief| StepStatus { step: int(brief.step), calls: brief.calls.clone() }).collect(),
        usage: Some(usage(state)),
        journal: head.map(|head| JournalHead { seq: long(head.seq.0), hash: head.hash.to_string(), key_id: None, signature: None }),
        question: question(state),
        pending_approval: pending_approval(state),
        job: (state.sandbox != Sandbox::None).then(|| job.to_owned()),
        checkpoint: state.checkpoint.as_ref().map(checkpoint),
        result: state.finished.as_ref().map(|finished| RunResult {
            reason: finished.reason.as_str().to_owned(),
            message: clip(&finished.message, 4096),
            tasks: finished.tasks.iter().map(|task| Task { name: task.name.clone(), description: task.description.clone() }).collect(),
            finished_at: Some(Time(conditions::whole_second(finished.at))),
        }),
        conditions: conditions::set(old, &[say, sandbox(state)], generation, now),
    }
}

/// What a run used, for its status and its Goal's. What its parent used, if it was forked, is not in it.
pub fn usage(state: &RunState) -> UsageStatus {
    let before = &state.inherited;
    UsageStatus {
        model_answers: i64::from(state.answers.saturating_sub(before.answers)),
        input_tokens: long(state.usage.input_tokens),
        output_tokens: long(state.usage.output_tokens),
        tool_calls: i64::from(state.tool_calls.saturating_sub(before.tool_calls)),
        denied_calls: i64::from(state.denied.saturating_sub(before.denied)),
        output_bytes: long(state.output_bytes.saturating_sub(before.output_bytes)),
        cost_usd: budget::usd(state.cost_micro_usd),
    }
}

fn pending_approval(state: &RunState) -> Option<PendingApproval> {
    let asked = &open_approval(state)?.asked;
    Some(PendingApproval {
        name: asked.name.clone(),
        action: asked.action.clone(),
        quorum: i32::try_from(asked.quorum).unwrap_or(i32::MAX),
    })
}

fn open_approval(state: &RunState) -> Option<&approval::State> {
    let call = state.pending.front().filter(|_| state.finished.is_none())?;
    call.approval.as_deref().filter(|approval| approval.is_open())
}

/// A checkpoint as status shows it.
pub fn checkpoint(taken: &CheckpointTaken) -> CheckpointStatus {
    const SHOWN: usize = 50;
    let workspace = &taken.workspace;
    let artifact = |name: &str, blob: &crate::tool::wire::Blob| RunArtifact {
        name: name.to_owned(),
        digest: blob.digest.to_string(),
        bytes: long(blob.bytes),
    };
    CheckpointStatus {
        base_commit: workspace.base_commit.clone(),
        head_commit: workspace.head_commit.clone(),
        changed: workspace.changed.iter().take(SHOWN).map(|path| clip(path, 4096)).collect(),
        artifacts: vec![artifact("patch", &workspace.patch), artifact("bundle", &workspace.bundle)],
    }
}

fn phase(state: &RunState) -> (AgentRunPhase, Say) {
    use AgentRunPhase as Phase;
    let ready = |status, reason: &str, message: String| Say::ready(status, reason, message);
    if let Some(finished) = &state.finished {
        let (phase, status) =
            if finished.succeeded { (Phase::Succeeded, ConditionStatus::True) } else { (Phase::Failed, ConditionStatus::False) };
        return (phase, ready(status, finished.reason.as_str(), clip(&finished.message, 4096)));
    }
    // In the order of the causes: who finds a run stopped by a kill switch need not look further.
    if let Some((cause, message)) = state.gates.pauses.first_key_value() {
        return (Phase::Suspended, ready(ConditionStatus::Unknown, cause.as_str(), clip(message, 4096)));
    }
    if let Some(approval) = open_approval(state) {
        let asked = &approval.asked;
        let missing = match approval.tally() {
            approval::Tally::Open { missing } => missing,
            approval::Tally::Approved { .. } | approval::Tally::Denied { .. } => 0,
        };
        let message = format!(
            "{} waits for {missing} of {} approvals until {}: kubectl reeve approve {} (not by {}, who asked).",
            asked.action, asked.quorum, asked.expires_at, asked.name, asked.requested_by
        );
        return (Phase::Suspended, ready(ConditionStatus::Unknown, "AwaitingApproval", message));
    }
    if let Some((question_id, _)) = state.question() {
        let message = format!("The agent asks a question: answer it in spec.answers[{question_id:?}].");
        return (Phase::Suspended, ready(ConditionStatus::Unknown, "AwaitingAnswer", message));
    }
    let role = state.started.as_ref().map(|started| started.spec.role);
    match state.sandbox {
        Sandbox::None if role == Some(Role::Merge) => {
            (Phase::Running, ready(ConditionStatus::Unknown, "Running", format!("Step {}.", state.step)))
        }
        Sandbox::None => (Phase::Pending, ready(ConditionStatus::Unknown, "Pending", "The run is about to start.".to_owned())),
        Sandbox::Requested => {
            (Phase::Starting, ready(ConditionStatus::Unknown, "SandboxStarting", "The sandbox is being made.".to_owned()))
        }
        Sandbox::Ready(_) => (Phase::Running, ready(ConditionStatus::Unknown, "Running", format!("Step {}.", state.step))),
    }
}

fn sandbox(state: &RunState) -> Say {
    let (status, reason, message) = match (&state.sandbox, state.finished.is_some()) {
        (Sandbox::Ready(_), true) => (ConditionStatus::False, "RunFinished", "The sandbox was closed with the run.".to_owned()),
        (Sandbox::Ready(ready), false) => (ConditionStatus::True, "Attached", format!("Pod {} answers.", ready.pod)),
        (Sandbox::Requested | Sandbox::None, true) => {
            (ConditionStatus::False, "RunFinished", "The run ended before its sandbox was ready.".to_owned())
        }
        (Sandbox::Requested, false) => (ConditionStatus::Unknown, "Starting", "The sandbox is being made.".to_owned()),
        (Sandbox::None, false) => (ConditionStatus::Unknown, "Pending", "No sandbox was asked for yet.".to_owned()),
    };
    Say { kind: ConditionType::SandboxReady, status, reason: reason.to_owned(), message }
}

fn question(state: &RunState) -> Option<Question> {
    let (id, text) = state.question().filter(|_| state.finished.is_none())?;
    Some(Question { id, text: clip(&text, 4096) })
}

fn clip(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn long(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
