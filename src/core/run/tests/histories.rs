//! Runs that a real operator recorded, replayed: what their release did, today's code does too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use reeve_api::PolicySetSpec;

use super::*;
use crate::journal::{ApprovalVote, Row, RowDraft};
use crate::policy::Texts;

/// Read once: reading policies takes its time.
static HISTORIES: LazyLock<Vec<History>> = LazyLock::new(read);

/// A recorded run, and the policy texts that it was judged by.
#[derive(Clone)]
pub(super) struct History {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
    pub(super) texts: Texts,
    /// The same texts, to be changed.
    pub(super) specs: BTreeMap<Digest, PolicySetSpec>,
}

/// The recorded runs, by name.
pub(super) fn histories() -> Vec<History> {
    HISTORIES.clone()
}

fn read() -> Vec<History> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/histories");
    let files = |folder: &Path, extension: &str| {
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
        files.sort();
        files
    };
    // Texts that the first release kept in the artifact store only.
    let kept = files(&folder.join("policies"), "json").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>();
    files(&folder, "jsonl").iter().map(|path| history(path, &kept)).collect()
}

pub(super) fn the(name: &str) -> History {
    HISTORIES.iter().find(|history| history.name == name).unwrap().clone()
}

fn history(path: &Path, kept: &[String]) -> History {
    let text = std::fs::read_to_string(path).unwrap();
    let all: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (operator, rows): (Vec<Row>, Vec<Row>) = all.into_iter().partition(|row| row.stream.as_str() == "operator");
    let activated = |row: &Row| if let Event::PolicyActivated(activated) = row.event().unwrap() { activated.text } else { None };
    let mut texts = Texts::default();
    let mut specs = BTreeMap::new();
    for text in operator.iter().filter_map(activated).chain(kept.iter().cloned()) {
        texts.add(Digest::of(&text), text.as_bytes());
        specs.insert(Digest::of(&text), serde_json::from_str(&text).unwrap());
    }
    History { name: path.file_stem().unwrap().to_string_lossy().into_owned(), rows, texts, specs }
}

fn replayed(texts: &Texts, rows: &[Row]) -> Result<Replayed, Stopped> {
    let mut replay = Replay::new(rows[0].stream.as_str());
    rows.iter().try_for_each(|row| replay.row(texts, row))?;
    Ok(replay.finish())
}

/// The row with another event in its place.
fn edit(row: &mut Row, change: impl FnOnce(&mut Event)) {
    let mut event = row.event().unwrap();
    change(&mut event);
    let draft = RowDraft::of(&event, &crate::journal::Actor::Operator, row.time.parse().unwrap()).unwrap();
    row.body = draft.body;
}

fn first(rows: &mut [Row], kind: &str) -> usize {
    rows.iter().position(|row| row.kind == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn divergence(history: &History) -> Divergence {
    match replayed(&history.texts, &history.rows) {
        Err(Stopped::Diverged(divergence)) => *divergence,
        other => panic!("{}: {other:?}", history.name),
    }
}

#[test]
fn every_recorded_run_comes_out_the_same() {
    let histories = histories();
    assert!(histories.len() >= 7, "{} histories", histories.len());
    for History { name, rows, texts, .. } in &histories {
        let said = replayed(texts, rows).unwrap_or_else(|stopped| panic!("{name}: {stopped}\n{stopped:#?}"));
        assert_eq!(said.rows, rows.len() as u64, "{name}");
        assert_eq!(said.unjudged, [], "{name}");
        assert!(said.commands > 0 && said.outcomes > 0 && said.judged > 0, "{name}: {said:?}");
        assert_eq!(said.commands + said.outcomes + said.judged, said.rows, "{name}");
    }
}

/// What a rule of today's may decide otherwise, one row of each kind: the history, the row's kind, the edit, a field that must be named.
type Edit = (&'static str, &'static str, fn(&mut Event), &'static str);

const EDITS: &[Edit] = &[
    (
        "planner",
        "model.request",
        |event| {
            if let Event::ModelRequest(asked) = event {
                asked.digest = Digest::of("other")
            }
        },
        "digest",
    ),
    (
        "planner",
        "model.request",
        |event| {
            if let Event::ModelRequest(asked) = event {
                asked.step += 1
            }
        },
        "step",
    ),
    (
        "planner",
        "reflect",
        |event| {
            if let Event::Reflect(weighed) = event {
                weighed.same_call_in_a_row += 1
            }
        },
        "sameCallInARow",
    ),
    (
        "planner",
        "run.finished",
        |event| {
            if let Event::RunFinished(end) = event {
                end.message.push('!')
            }
        },
        "message",
    ),
    (
        "planner",
        "budget.reserved",
        |event| {
            if let Event::BudgetReserved(held) = event {
                held.key.push('0')
            }
        },
        "key",
    ),
    (
        "planner",
        "budget.reserved",
        |event| {
            if let Event::BudgetReserved(held) = event {
                held.amounts.tokens -= 1
            }
        },
        "amounts.tokens",
    ),
    (
        "planner",
        "budget.settled",
        |event| {
            if let Event::BudgetSettled(spent) = event {
                spent.used.cost_micro_usd = 0
            }
        },
        "used.costMicroUsd",
    ),
    (
        "planner",
        "policy.decision",
        |event| {
            if let Event::PolicyDecision(said) = event {
                said.verdict = Verdict::Deny
            }
        },
        "verdict",
    ),
    (
        "planner",
        "tool.requested",
        |event| {
            if let Event::ToolRequested(asked) = event {
                asked.arguments = json!({})
            }
        },
        "arguments",
    ),
    (
        "merge-denied",
        "tool.result",
        |event| {
            if let Event::ToolResult(ended) = event {
                ended.content.push('!')
            }
        },
        "content",
    ),
    (
        "merge-approved",
        "approval.requested",
        |event| {
            if let Event::ApprovalRequested(asked) = event {
                asked.quorum += 1
            }
        },
        "quorum",
    ),
    (
        "merge-approved",
        "approval.vote",
        |event| {
            if let Event::ApprovalVote(ApprovalVote { refused, .. }) = event {
                *refused = Some("no".to_owned())
            }
        },
        "refused",
    ),
    (
        "merge-approved",
        "approval.consumed",
        |event| {
            if let Event::ApprovalConsumed(used) = event {
                used.by.clear()
            }
        },
        "by",
    ),
    (
        "coder-budget-raised",
        "checkpoint.requested",
        |event| {
            if let Event::CheckpointRequested { step } = event {
                *step = 1
            }
        },
        "step",
    ),
];

#[test]
fn a_changed_row_is_found_at_its_seq() {
    for (name, kind, change, field) in EDITS {
        let mut history = the(name);
        let at = first(&mut history.rows, kind);
        edit(&mut history.rows[at], change);
        let found = divergence(&history);
        assert_eq!(found.seq, history.rows[at].seq.0, "{name} {kind}: {found:#?}");
        assert_eq!(found.recorded.what, *kind);
        assert!(found.differences.iter().any(|difference| difference.field.starts_with(field)), "{name} {kind} {field}: {found:#?}");
    }
}

#[test]
fn a_command_that_is_not_there_is_found_where_it_is_missed() {
    let mut history = the("planner");
    let at = first(&mut history.rows, "reflect");
    history.rows.remove(at);
    for (seq, row) in (1..).zip(&mut history.rows) {
        row.seq = Seq(seq);
    }
    let found = divergence(&history);
    assert_eq!(found.seq, at as u64 + 1);
    assert_eq!(found.today.what, "would append reflect");
}

#[test]
fn an_outcome_that_nobody_waits_for_is_found() {
    let mut history = the("planner");
    let answer = first(&mut history.rows, "model.response");
    let mut twice = history.rows[answer].clone();
    twice.seq = Seq(answer as u64 + 2);
    history.rows.truncate(answer + 1);
    history.rows.push(twice);
    assert_eq!(divergence(&history).seq, answer as u64 + 2);
}

#[test]
fn an_end_that_no_rule_gives_is_found() {
    let mut history = the("acceptance");
    edit(history.rows.last_mut().unwrap(), |event| {
        if let Event::RunFinished(end) = event {
            (end.succeeded, end.reason) = (false, EndReason::StepLimitReached);
        }
    });
    let found = divergence(&history);
    assert_eq!(found.seq, history.rows.len() as u64);
    assert!(found.recorded.why.starts_with("StepLimitReached") && found.today.why.starts_with("Finished"), "{found:#?}");
}

#[test]
fn a_stricter_text_under_a_recorded_digest_is_not_believed() {
    let history = the("acceptance");
    let digest = history.rows.iter().find_map(|row| match row.event().unwrap() {
        Event::PolicyDecision(judgement) => Some(judgement.sets[0].1),
        _ => None,
    });
    let mut texts = Texts::default();
    texts.add(digest.unwrap(), b"{\"cedar\":\"@id(\\\"all\\\") permit (principal, action, resource);\"}");
    let said = replayed(&texts, &history.rows).unwrap();
    assert_eq!(said.judged, 0);
    assert!(said.unjudged.iter().all(|unjudged| unjudged.why.contains("does not have this digest")), "{said:?}");
}

#[test]
fn without_its_text_a_decision_is_taken_as_recorded_and_said_so() {
    let history = the("acceptance");
    let said = replayed(&Texts::default(), &history.rows).unwrap();
    assert!(said.judged == 0 && !said.unjudged.is_empty(), "{said:?}");
}
