//! What must hold in every world, whatever goes wrong in it.

pub(crate) mod anchors;
mod claims;
mod votes;

use std::collections::{BTreeMap, BTreeSet};

use reeve_core::budget::Limits;
use reeve_core::journal::{Actor, Epoch, Event, Row, RowDraft, Stream, Verdict};
use reeve_store::{Artifacts, Journal};
use serde_json::Value;

use super::network::MADE_UP;
use super::objects::{key_of, reason, word_of};
use super::sim::{BEGAN, Shared, Sim};

/// Bytes of a status at most.
const MAX_STATUS_BYTES: usize = 16 * 1024;
/// Phases that end an object's life, of whatever kind.
const FINAL: [&str; 6] = ["Succeeded", "Failed", "Denied", "Expired", "Superseded", "Consumed"];

/// What was seen, and what was wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// The phase that ended an object, by UID.
    ended: BTreeMap<String, String>,
    /// Keys of calls that a sandbox began, each with how many rows the journal had then.
    executed: Vec<(String, u64)>,
    /// Rows that are durable.
    rows: u64,
    claims: claims::Claims,
    votes: votes::Votes,
    /// Objects whose status has named a refusal that was made up here.
    pub(crate) named: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Oracle {
    /// The operator has written this.
    pub(crate) fn written(&mut self, object: &Value) {
        let Some(word) = word_of(object) else { return };
        self.claims.take(object);
        let (name, uid) = (object["metadata"]["name"].as_str().unwrap_or_default(), object["metadata"]["uid"].as_str().unwrap_or_default());
        let status = object["status"].to_string();
        if status.contains(MADE_UP) {
            self.named.insert(key_of(object));
        }
        if status.len() > MAX_STATUS_BYTES
            && matches!(word, "run" | "goal" | "approval" | "budget" | "policy" | "kill" | "profile" | "provider")
        {
            self.wrong.push(format!("the status of {word}/{name} has {} bytes", status.len()));
        }
        if !matches!(word, "run" | "goal" | "approval") {
            return;
        }
        let phase = object["status"]["phase"].as_str().unwrap_or_default();
        match self.ended.get(uid) {
            Some(before) if before != phase => self.wrong.push(format!("{word}/{name} was {before}, and became {phase}")),
            None if FINAL.contains(&phase) => drop(self.ended.insert(uid.to_owned(), phase.to_owned())),
            Some(_) | None => {}
        }
    }

    /// Somebody has voted, and this is the approval since.
    pub(crate) fn voted(&mut self, user: &str, approval: &Value, at_ms: u64) {
        self.votes.cast(user, approval, at_ms);
    }

    /// Something that the operator sent or waited for was lost or refused.
    pub(crate) fn troubled(&mut self) {
        self.votes.trouble();
    }

    /// An operator starts anew.
    pub(crate) fn restarted(&mut self, at_ms: u64) {
        self.votes.restarted(at_ms);
    }

    /// A sandbox begins this call.
    pub(crate) fn executed(&mut self, key: &str) {
        if self.executed.iter().any(|(known, _)| known == key) {
            self.wrong.push(format!("call {key} was begun twice"));
        }
        self.executed.push((key.to_owned(), self.rows));
    }

    /// So many more rows are durable.
    pub(crate) fn appended(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// So many that were durable are not.
    pub(crate) fn forgotten(&mut self, rows: u64) {
        self.rows = self.rows.saturating_sub(rows);
    }
}

impl Sim {
    /// What is wrong at the end: what was found on the way, and what the objects and rows say.
    pub(crate) fn verdict(&mut self, rows: &[Row]) -> Vec<String> {
        let mut wrong = std::mem::take(&mut self.oracle.wrong);
        wrong.extend(self.unexplained());
        match read(rows) {
            Ok(events) => {
                wrong.extend(gated(&events, &self.oracle.executed));
                wrong.extend(overdrawn(&events));
                wrong.extend(after_the_end(rows));
                wrong.extend(claims::audit(self, rows, &events));
                wrong.extend(self.oracle.votes.unheard(&events));
            }
            Err(why) => wrong.push(why),
        }
        let twice = self.sandboxes.begun().iter().filter(|(_, times)| **times > 1);
        wrong.extend(twice.map(|(key, times)| format!("call {key} was begun {times} times")));
        let doubled = self.sandboxes.doubled();
        wrong.extend(doubled.iter().map(|run| format!("run {run} has two sandboxes")));
        let living = self.sandboxes.runs();
        let left = self.oracle.ended.keys().filter(|run| living.contains(*run));
        wrong.extend(left.map(|run| format!("run {run} has ended, and its sandbox lives")));
        wrong.iter().map(|what| self.tale.named(what)).collect()
    }

    /// Objects of ours that say nothing of why they are as they are.
    fn unexplained(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, object) in self.api.objects().filter(|(key, _)| key.starts_with("reeve.dev/")) {
            if object["metadata"]["deletionTimestamp"].is_string() {
                continue;
            }
            match reason(object) {
                Some(said) if !said.is_empty() && !self.watched(key) => {
                    wrong.push(format!("{key} is none of the operator's, and says {said}"))
                }
                None | Some("") if self.watched(key) => wrong.push(format!("{key} has no reason")),
                None | Some(_) => {}
            }
        }
        wrong
    }
}

struct Placed {
    gseq: u64,
    time: jiff::Timestamp,
    event: Event,
}

fn read(rows: &[Row]) -> Result<Vec<Placed>, String> {
    rows.iter()
        .map(|row| {
            let event = row.event().map_err(|error| format!("row {}: {error}", row.gseq))?;
            let time = row.time.parse().map_err(|error| format!("row {}: {error}", row.gseq))?;
            Ok(Placed { gseq: row.gseq, time, event })
        })
        .collect()
}

/// Calls that were begun without their durable intent, or gated without a consumed approval that had not expired.
fn gated(events: &[Placed], executed: &[(String, u64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, upto) in executed {
        let before = || events.iter().filter(|placed| placed.gseq <= *upto);
        let judged: Vec<&Verdict> = before()
            .filter_map(|placed| if let Event::PolicyDecision(found) = &placed.event { Some(found) } else { None })
            .filter(|judgement| judgement.key == *key)
            .map(|judgement| &judgement.verdict)
            .collect();
        if judged.last() != Some(&&Verdict::Allow) {
            wrong.push(format!("call {key} was begun, and the journal had no permit for it"));
        }
        if !judged.iter().any(|verdict| matches!(verdict, Verdict::Ask { .. })) {
            continue;
        }
        let expires = before().filter_map(|placed| if let Event::ApprovalRequested(asked) = &placed.event { Some(asked) } else { None });
        let expires: BTreeMap<&str, jiff::Timestamp> =
            expires.filter(|asked| asked.key == *key).map(|asked| (asked.name.as_str(), asked.expires_at)).collect();
        let in_force = |placed: &Placed| {
            let Event::ApprovalConsumed(consumed) = &placed.event else { return false };
            consumed.key == *key && expires.get(consumed.name.as_str()).is_some_and(|expires| placed.time < *expires)
        };
        if !before().any(in_force) {
            wrong.push(format!("call {key} needed people, and was begun without an approval in force"));
        }
    }
    let mut consumed = BTreeSet::new();
    for placed in events {
        if let Event::ApprovalConsumed(used) = &placed.event
            && !consumed.insert(used.uid.clone())
        {
            wrong.push(format!("approval {} was used twice", used.name));
        }
    }
    wrong
}

/// Reservations that did not fit: what was used and held, and this one, were more than the limits.
fn overdrawn(events: &[Placed]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut limits: BTreeMap<&str, Option<Limits>> = BTreeMap::new();
    let mut held: BTreeMap<&str, (&str, u64, u64)> = BTreeMap::new();
    let mut used: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for placed in events {
        if let Event::BudgetLimited(limited) = &placed.event {
            limits.insert(&limited.account, limited.limits);
        } else if let Event::BudgetReserved(reserved) = &placed.event {
            held.insert(&reserved.key, (&reserved.account, reserved.amounts.tokens, reserved.amounts.tool_calls));
            let of_account = held.values().filter(|(account, ..)| *account == reserved.account);
            let (tokens, calls) = of_account.fold((0, 0), |(tokens, calls), (_, more, one)| (tokens + more, calls + one));
            let spent = used.get(reserved.account.as_str()).copied().unwrap_or_default();
            let Some(Some(limit)) = limits.get(reserved.account.as_str()) else {
                wrong.push(format!("row {} reserves from {}, which is not in force", placed.gseq, reserved.account));
                continue;
            };
            let over = |limit: Option<u64>, sum: u64| limit.is_some_and(|limit| sum > limit);
            if over(limit.tokens, tokens + spent.0) || over(limit.tool_calls, calls + spent.1) {
                wrong.push(format!("row {} overdraws {}", placed.gseq, reserved.account));
            }
        } else if let Event::BudgetSettled(settled) = &placed.event {
            held.remove(settled.key.as_str());
            let spent = used.entry(&settled.account).or_default();
            *spent = (spent.0 + settled.used.tokens, spent.1 + settled.used.tool_calls);
        }
    }
    wrong
}

/// Rows of a run behind its last.
fn after_the_end(rows: &[Row]) -> Vec<String> {
    let mut ended = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows {
        if ended.contains(&row.stream) {
            wrong.push(format!("row {} follows the last row of its run", row.gseq));
        }
        if row.kind == "run.finished" {
            ended.insert(row.stream.clone());
        }
    }
    wrong
}

/// Every row of a journal that lies in memory, each with its body, or why it does not verify.
pub(crate) async fn rows_of(journal: &Journal, artifacts: &Artifacts) -> Result<Vec<Row>, String> {
    const PAGE: u32 = 500;
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let from = rows.last().map_or(1, |row| row.gseq + 1);
        let page = journal.scan(from, PAGE).await.map_err(|error| error.to_string())?;
        if page.is_empty() {
            break;
        }
        for row in page {
            rows.push(artifacts.with_body(row).await.map_err(|error| format!("a body is not kept: {error}"))?);
        }
    }
    journal.verify([]).await.map_err(|error| format!("the journal does not verify: {error}"))?;
    journal.check_budgets().await.map_err(|error| format!("the accounts are not what the rows say: {error}"))?;
    Ok(rows)
}

/// Whether the first operator of a world, which leads no more, still gets a row into the journal behind those of a later one.
pub(crate) async fn writes_too_late(shared: &Shared) -> bool {
    {
        // Nothing that was planned for those who lead is for it.
        let mut sim = shared.lock();
        sim.plan = super::faults::Plan::default();
        sim.end = super::sim::End::None;
    }
    let journal = shared.journal.open();
    let last = journal.last().await.ok().flatten();
    let stream = Stream::operator();
    let Ok(head) = journal.head(&stream).await else { return false };
    let Ok(draft) = RowDraft::of(&Event::LeaseTaken { identity: "operator".to_owned() }, &Actor::Operator, BEGAN) else { return false };
    let written = journal.append(Epoch(1), &stream, head.map(|head| head.seq), vec![draft]).await;
    written.is_ok() && last.is_some_and(|row| row.epoch > Epoch(1))
}
