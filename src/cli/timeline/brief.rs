//! What an event says, in one line.

use reeve_core::Digest;
use reeve_core::journal::{Event, ModelAnswered, Observation, Row, ToolAsked, Verdict};
use reeve_core::tool::wire;

use super::text::one_line;

/// One line of an event's body. Every kind has its own words; a body that cannot be read says so instead of hiding.
pub(crate) fn brief(row: &Row) -> String {
    match row.event() {
        Ok(event) => one_line(&say(&event)),
        Err(unreadable) => one_line(&unreadable.to_string()),
    }
}

fn say(event: &Event) -> String {
    match event {
        Event::RunStarted(started) => {
            let spec = &started.spec;
            let asked = if started.requested_by.is_empty() { "an unknown person" } else { started.requested_by.as_str() };
            let role = spec.role.as_str();
            let what = if spec.objective.is_empty() { format!("{} commands", spec.commands.len()) } else { spec.objective.clone() };
            format!("{}/{} as {role} for {asked}: {what}", started.namespace, started.name)
        }
        Event::SandboxRequested(asked) => format!("Job {} with image {}", asked.job, asked.image),
        Event::SandboxReady(ready) => format!("Pod {} answers", ready.pod),
        Event::WorkspaceRequested { digest } => format!("workspace {}", short(digest)),
        Event::WorkspaceLoaded(loaded) => format!("{} files at {}", loaded.files, commit(&loaded.head_commit)),
        Event::ModelRequest(asked) => format!("step {}: {}/{}, {} messages", asked.step, asked.provider, asked.model, asked.messages),
        Event::ModelResponse(answered) => say_answer(answered),
        Event::ThoughtSummary { text } => text.clone(),
        Event::ToolRequested(asked) => say_call(asked),
        Event::PolicyDecision(judgement) => {
            let verdict = match judgement.verdict {
                Verdict::Allow => "Allow",
                Verdict::Deny => "Deny",
            };
            let by = if judgement.determining.is_empty() { String::new() } else { format!(" by {}", judgement.determining.join(", ")) };
            let shadow = if judgement.shadow.is_empty() { String::new() } else { format!(" (shadow: {})", judgement.shadow.join("; ")) };
            format!("{verdict}{by}: {}{shadow}", judgement.reason)
        }
        Event::ToolResult(ended) => format!("{}: {}", say_observation(&ended.observation), ended.content),
        Event::Reflect(reflection) => {
            let tests = match reflection.tests {
                Some(true) => ", tests pass",
                Some(false) => ", tests fail",
                None => "",
            };
            let advice = reflection.advice.as_ref().map_or_else(String::new, |advice| format!(": {advice}"));
            let (ok, failed, denied) = (reflection.succeeded, reflection.failed, reflection.denied);
            format!("step {}: {ok} succeeded, {failed} failed, {denied} denied{tests}{advice}", reflection.step)
        }
        Event::CheckpointRequested { step } => format!("step {step}"),
        Event::Checkpoint(taken) => {
            let workspace = &taken.workspace;
            let changed = workspace.changed.len();
            format!("{} from {}, {changed} files changed", commit(&workspace.head_commit), commit(&workspace.base_commit))
        }
        Event::RunSuspended {} => "a person stopped it".to_owned(),
        Event::RunResumed {} => "a person let it go on".to_owned(),
        Event::RunFinished(finished) => {
            let how = if finished.succeeded { "Succeeded" } else { "Failed" };
            format!("{how} {}: {}", finished.reason.as_str(), finished.message)
        }
        Event::PolicyActivated(activated) => format!("{}/{} is now {}", activated.namespace, activated.name, short(&activated.digest)),
    }
}

fn say_answer(answered: &ModelAnswered) -> String {
    match answered {
        ModelAnswered::Answer { response, .. } => {
            let tokens = format!("{} tokens in, {} out", response.usage.input_tokens, response.usage.output_tokens);
            if response.tool_calls.is_empty() {
                return format!("says: {} ({tokens})", response.text);
            }
            let calls: Vec<&str> = response.tool_calls.iter().map(|call| call.name.as_str()).collect();
            format!("calls {} ({tokens})", calls.join(", "))
        }
        ModelAnswered::Failure { failure, message, attempts } => format!("{} after {attempts} tries: {message}", failure.as_str()),
    }
}

fn say_call(asked: &ToolAsked) -> String {
    match &asked.canonical {
        Some(canonical) if !canonical.argv.is_empty() => format!("{} {}", asked.name, canonical.argv.join(" ")),
        Some(canonical) if !canonical.paths.is_empty() => {
            let paths: Vec<&str> = canonical.paths.iter().map(|touched| touched.path.as_str()).collect();
            format!("{} {}", asked.name, paths.join(" "))
        }
        Some(_) | None => format!("{} {}", asked.name, asked.arguments),
    }
}

fn say_observation(observation: &Observation) -> String {
    match observation {
        Observation::Ran { status, exit_code, duration_ms, .. } => {
            let how = match status {
                wire::Status::Ok => "ok",
                wire::Status::Error => "error",
                wire::Status::Timeout => "timeout",
                wire::Status::Killed => "killed",
                wire::Status::Halted => "halted",
            };
            let code = exit_code.map_or_else(String::new, |code| format!(" exit {code}"));
            format!("{how}{code} in {duration_ms} ms")
        }
        Observation::Invalid => "invalid".to_owned(),
        Observation::Denied => "denied".to_owned(),
        Observation::Unknown => "unknown whether it ran".to_owned(),
        Observation::Answered => "answered".to_owned(),
        Observation::Refused => "refused".to_owned(),
    }
}

/// Twelve hex digits of a digest: what people compare by eye.
fn short(digest: &Digest) -> String {
    format!("sha256:{}", &digest.hex()[..12])
}

fn commit(id: &str) -> String {
    id.chars().take(10).collect()
}
