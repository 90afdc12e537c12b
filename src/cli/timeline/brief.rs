//! What an event says, in one line.

use reeve_core::Digest;
use reeve_core::budget::{Amounts, Dimension, Limits, usd};
use reeve_core::journal::{
    Anchored, ApprovalAsked, ApprovalVote, Cause, Event, KeptBody, ModelAnswered, Observation, Resumption, Row, RunArchived, Suspension,
    ToolAsked, Verdict,
};
use reeve_core::tool::wire;

use super::text::one_line;

/// One line of an event's body. Every kind has its own words; a body that cannot be read says so instead of hiding.
pub(crate) fn brief(row: &Row) -> String {
    if let Ok(Some(KeptBody { bytes, digest })) = row.kept() {
        return format!("{bytes} bytes, kept as artifact {digest}");
    }
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
            let from = started.forked_from.as_ref();
            let from = from.map_or_else(String::new, |from| format!(", from row {} of {} ({})", from.seq.0, from.name, from.uid));
            format!("{}/{} as {role} for {asked}{from}: {what}", started.namespace, started.name)
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
                Verdict::Allow => "Allow".to_owned(),
                Verdict::Ask { human } => format!("Ask {human}"),
                Verdict::Deny => "Deny".to_owned(),
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
        Event::ApprovalRequested(asked) => {
            let ApprovalAsked { name, action, digest, quorum, requested_by, expires_at, .. } = &**asked;
            let people = if *quorum == 1 { "1 person".to_owned() } else { format!("{quorum} people") };
            format!("{name}: {action} {}, asked by {requested_by}, needs {people} until {expires_at}", short(digest))
        }
        Event::ApprovalCreated(created) => {
            format!("{} can be voted on, held by {} admission objects", created.name, created.admission.len())
        }
        Event::ApprovalVote(vote) => say_vote(vote),
        Event::ApprovalSettled(settled) => format!("{} {}: {}", settled.name, settled.phase.as_str(), settled.message),
        Event::ApprovalConsumed(used) => format!("{} used for {}, approved by {}", used.name, short(&used.digest), used.by.join(", ")),
        Event::BudgetReserved(held) => format!("{} holds {}", held.account, amounts(&held.amounts)),
        Event::BudgetSettled(spent) => {
            let how = if spent.in_full { ", in full: what was spent is not known" } else { "" };
            format!("{} spent {}{how}", spent.account, amounts(&spent.used))
        }
        Event::BudgetLimited(limited) => match &limited.limits {
            Some(limits) => format!("{} is limited to {}", limited.account, say_limits(limits)),
            None => format!("{} was deleted: nothing may be spent from it", limited.account),
        },
        Event::Kill(seen) => {
            let how = if seen.engaged { "engaged" } else { "released" };
            format!("{}/{} {how}: {}", seen.namespace, seen.name, seen.reason)
        }
        Event::RunSuspended(Suspension { cause, message }) => say_cause(*cause, "a person stopped it", message),
        Event::RunResumed(Resumption { cause }) => match cause {
            Cause::Spec => "a person let it go on".to_owned(),
            Cause::KillSwitch => "no kill switch stops it".to_owned(),
            Cause::Budget => "its budget has enough left".to_owned(),
        },
        Event::RunFinished(finished) => {
            let how = if finished.succeeded { "Succeeded" } else { "Failed" };
            format!("{how} {}: {}", finished.reason.as_str(), finished.message)
        }
        Event::KeyIntroduced(introduced) => format!("key {} signs", introduced.key_id),
        Event::KeyRotated(rotated) => format!("key {} signs in place of {}", rotated.key_id, rotated.from),
        Event::JournalAnchored(anchored) => {
            let Anchored { key_id, heads, tree } = anchored;
            let heads = if let [one] = heads.as_slice() {
                format!("{} at {}", one.stream.as_str(), one.seq.0)
            } else {
                format!("{} heads", heads.len())
            };
            format!("{heads} signed by {key_id}; the tree has {} heads and root {}", tree.size, short(&tree.root))
        }
        Event::RunArchived(archived) => {
            let RunArchived { run, namespace, name, head, file, digest, .. } = &**archived;
            format!("{namespace}/{name} ({}), {} rows, is in {file}, {}", run.as_str(), head.seq.0, short(digest))
        }
        Event::LeaseTaken { identity } => format!("{identity} leads"),
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
        ModelAnswered::Failure { failure, message, attempts, sent: _ } => format!("{} after {attempts} tries: {message}", failure.as_str()),
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

/// Whose it is stands in the column of actors, and on a narrow line before this.
fn say_vote(vote: &ApprovalVote) -> String {
    let reason = vote.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let refused = vote.refused.as_ref().map_or_else(String::new, |why| format!(" (does not count: {why})"));
    format!("{}{refused}{reason}", vote.verdict.as_str())
}

fn say_cause(cause: Cause, by_spec: &str, message: &str) -> String {
    match (cause, message) {
        (Cause::Spec, "") => by_spec.to_owned(),
        (Cause::Spec, why) => format!("{by_spec}: {why}"),
        (Cause::KillSwitch | Cause::Budget, "") => cause.as_str().to_owned(),
        (Cause::KillSwitch | Cause::Budget, why) => format!("{}: {why}", cause.as_str()),
    }
}

/// What there is some of.
fn amounts(amounts: &Amounts) -> String {
    let some = Dimension::ALL.into_iter().filter(|dimension| amounts.of(*dimension) > 0);
    let shown: Vec<String> = some.map(|dimension| amount(dimension, amounts.of(dimension))).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

fn say_limits(limits: &Limits) -> String {
    let limited = Dimension::ALL.into_iter().filter_map(|dimension| Some(amount(dimension, limits.of_dimension(dimension)?)));
    limited.collect::<Vec<_>>().join(", ")
}

fn amount(dimension: Dimension, amount: u64) -> String {
    match dimension {
        Dimension::Tokens => format!("{amount} tokens"),
        Dimension::CostMicroUsd => format!("{} USD", usd(amount)),
        Dimension::ToolCalls => format!("{amount} tool calls"),
        Dimension::RuntimeMs => format!("{amount} ms"),
    }
}

/// Twelve hex digits of a digest: what people compare by eye.
fn short(digest: &Digest) -> String {
    format!("sha256:{}", &digest.hex()[..12])
}

fn commit(id: &str) -> String {
    id.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use reeve_core::journal::{Actor, Epoch, RowDraft, Seq, Stream};
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// What a row of this kind and body says.
    fn said(kind: &str, body: &Value) -> String {
        let event: Event = serde_json::from_value(json!({ "kind": kind, "body": body })).unwrap();
        let draft = RowDraft::of(&event, &Actor::Operator, "2026-01-31T14:03:07Z".parse().unwrap()).unwrap();
        brief(&draft.place(Stream::run("u"), 1, Seq(1), Epoch(1), Digest::ZERO).unwrap())
    }

    #[test]
    fn what_gates_a_run_is_said_in_one_line() {
        let asked = json!({
            "key": "u/1/0", "attempt": 1, "name": "mend-s1c0", "action": "merge", "digest": DIGEST, "delta": "d\n+x", "quorum": 2,
            "groups": [], "requestedBy": "alice", "expiresAt": "2026-01-31T15:00:00Z"
        });
        let vote = |reason: Value, refused: Value| json!({ "key": "u/1/0", "uid": "a", "user": "bob", "verdict": "Approve", "reason": reason, "refused": refused });
        let amounts = json!({ "tokens": 4096, "costMicroUsd": 2500, "toolCalls": 0, "runtimeMs": 0 });
        let none = json!({ "tokens": 0, "costMicroUsd": 0, "toolCalls": 0, "runtimeMs": 0 });
        let limits = json!({ "tokens": 1000, "costMicroUsd": 2_500_000, "toolCalls": null, "runtimeMs": null });
        let judgement = json!({ "key": "u/1/0", "verdict": { "Ask": { "human": 2 } }, "determining": ["default/merge"], "reason": "two keys", "sets": [], "shadow": [] });
        for (kind, body, line) in [
            ("policy.decision", judgement, "Ask 2 by default/merge: two keys"),
            (
                "approval.requested",
                asked,
                "mend-s1c0: merge sha256:ba7816bf8f01, asked by alice, needs 2 people until 2026-01-31T15:00:00Z",
            ),
            (
                "approval.created",
                json!({ "key": "k", "name": "mend-s1c0", "uid": "a", "admission": [] }),
                "mend-s1c0 can be voted on, held by 0 admission objects",
            ),
            ("approval.vote", vote(json!("read it"), Value::Null), "Approve: read it"),
            ("approval.vote", vote(Value::Null, json!("the requester has no vote")), "Approve (does not count: the requester has no vote)"),
            (
                "approval.settled",
                json!({ "key": "k", "name": "mend-s1c0", "phase": "Denied", "message": "Denied by bob" }),
                "mend-s1c0 Denied: Denied by bob",
            ),
            (
                "approval.consumed",
                json!({ "key": "k", "name": "mend-s1c0", "uid": "a", "digest": DIGEST, "by": ["bob"] }),
                "mend-s1c0 used for sha256:ba7816bf8f01, approved by bob",
            ),
            (
                "budget.reserved",
                json!({ "account": "team/default", "key": "k", "amounts": amounts }),
                "team/default holds 4096 tokens, 0.0025 USD",
            ),
            (
                "budget.settled",
                json!({ "account": "team/default", "key": "k", "used": none, "inFull": false }),
                "team/default spent nothing",
            ),
            (
                "budget.settled",
                json!({ "account": "team/default", "key": "k", "used": amounts, "inFull": true }),
                "team/default spent 4096 tokens, 0.0025 USD, in full: what was spent is not known",
            ),
            (
                "budget.limited",
                json!({ "account": "team/default", "uid": "b", "generation": 1, "limits": limits }),
                "team/default is limited to 1000 tokens, 2.5 USD",
            ),
            (
                "budget.limited",
                json!({ "account": "team/default", "uid": "b", "generation": 1, "limits": null }),
                "team/default was deleted: nothing may be spent from it",
            ),
            (
                "kill",
                json!({ "namespace": "team", "name": "kill", "uid": "k", "engaged": true, "reason": "odd\nwrites" }),
                "team/kill engaged: odd writes",
            ),
            ("run.suspended", json!({}), "a person stopped it"),
            (
                "run.suspended",
                json!({ "cause": "Budget", "message": "tokens has a limit of 9" }),
                "BudgetExhausted: tokens has a limit of 9",
            ),
            ("run.resumed", json!({}), "a person let it go on"),
            ("run.resumed", json!({ "cause": "KillSwitch" }), "no kill switch stops it"),
        ] {
            assert_eq!(said(kind, &body), line, "{kind}");
        }
    }
}
