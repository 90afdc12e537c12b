//! What objects and rows claim, held against what was done.

use std::collections::{BTreeMap, BTreeSet};

use reeve_core::budget::{self, Limits};
use reeve_core::conditions::whole_second;
use reeve_core::journal::{Event, Observation, Row};
use serde_json::Value;

use super::{Oracle, Placed};
use crate::world::objects::{reason, word_of};
use crate::world::sim::Sim;

/// What statuses said while they were written.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// UIDs of runs, each with the number and hash of a row that its status named as its last.
    heads: BTreeSet<(String, u64, String)>,
    /// Runs that a status called ended by a row.
    ended: BTreeSet<String>,
    /// UIDs of approvals that were used, each with the digest that people read on it.
    used: BTreeMap<String, String>,
}

impl Claims {
    /// The operator has written this.
    pub(super) fn take(&mut self, object: &Value) {
        let (uid, status) = (text(&object["metadata"]["uid"]), &object["status"]);
        match word_of(object) {
            Some("run") => {
                if let Some(seq) = status["journal"]["seq"].as_u64() {
                    self.heads.insert((uid.clone(), seq, text(&status["journal"]["hash"])));
                }
                // Of these two nothing can be journaled.
                let without_row = matches!(reason(object), Some("JournalLost" | "InternalError"));
                if matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) && !without_row {
                    self.ended.insert(uid);
                }
            }
            Some("approval") if status["phase"] == "Consumed" => drop(self.used.insert(uid, text(&object["spec"]["digest"]))),
            Some(_) | None => {}
        }
    }

    /// Statuses that name rows which are not their own run's, or ends that no row tells.
    fn unfounded(&self, rows: &[Row]) -> Vec<String> {
        let there: BTreeSet<(&str, u64, String)> = rows.iter().map(|row| (row.stream.as_str(), row.seq.0, row.hash.to_string())).collect();
        let finished: BTreeSet<&str> = rows.iter().filter(|row| row.kind == "run.finished").map(|row| row.stream.as_str()).collect();
        let mut wrong: Vec<String> = self
            .heads
            .iter()
            .filter(|(uid, seq, hash)| !there.contains(&(uid.as_str(), *seq, hash.clone())))
            .map(|(uid, seq, _)| format!("the status of run {uid} names row {seq}, which is not one of its own"))
            .collect();
        let untold = self.ended.iter().filter(|uid| !finished.contains(uid.as_str()));
        wrong.extend(untold.map(|uid| format!("run {uid} is shown as ended, and no row says so")));
        wrong
    }

    /// Approvals that were used for something else than what people read.
    fn misread(&self, events: &[Placed]) -> Vec<String> {
        let consumed = events.iter().filter_map(|placed| if let Event::ApprovalConsumed(used) = &placed.event { Some(used) } else { None });
        consumed
            .filter(|used| self.used.get(&used.uid).is_some_and(|read| *read != used.digest.to_string()))
            .map(|used| format!("approval {} was used for what its digest does not say", used.name))
            .collect()
    }
}

impl Oracle {
    /// Something is wrong.
    pub(crate) fn found(&mut self, what: String) {
        self.wrong.push(what);
    }
}

/// What is wrong with what was claimed.
pub(super) fn audit(sim: &Sim, rows: &[Row], events: &[Placed]) -> Vec<String> {
    let oracle = &sim.oracle;
    let mut wrong = oracle.claims.unfounded(rows);
    wrong.extend(oracle.claims.misread(events));
    wrong.extend(unmade(events, &oracle.executed));
    wrong.extend(unheld(rows, events, &oracle.executed));
    wrong.extend(unsettled(rows, events));
    wrong.extend(unlimited(sim, events));
    wrong.extend(unrecorded(sim, events));
    let there: BTreeSet<String> = sim.api.objects().map(|(_, object)| text(&object["metadata"]["uid"])).collect();
    // A Pod that is not labelled with a run is somebody else's.
    let left = sim.sandboxes.runs().into_iter().filter(|run| !run.is_empty() && !there.contains(run));
    wrong.extend(left.map(|run| format!("run {run} is gone, and its sandbox lives")));
    wrong
}

/// Calls of which a row says that they ran, and that no sandbox had begun by then.
fn unmade(events: &[Placed], executed: &[(String, u64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for placed in events {
        let Event::ToolResult(ended) = &placed.event else { continue };
        let begun = || executed.iter().any(|(key, upto)| *key == ended.key && *upto < placed.gseq);
        if matches!(ended.observation, Observation::Ran { .. }) && !begun() {
            wrong.push(format!("row {} says that call {} ran, and it had not been begun", placed.gseq, ended.key));
        }
    }
    wrong
}

/// Calls of runs with a budget for which nothing was held when they were begun.
fn unheld(rows: &[Row], events: &[Placed], executed: &[(String, u64)]) -> Vec<String> {
    let with_budget: BTreeSet<&str> = rows
        .iter()
        .zip(events)
        .filter(|(_, placed)| matches!(&placed.event, Event::RunStarted(started) if started.spec.budget.is_some()))
        .map(|(row, _)| row.stream.as_str())
        .collect();
    let held = |key: &str, upto: u64| {
        events.iter().filter(|placed| placed.gseq <= upto).any(
            |placed| matches!(&placed.event, Event::BudgetReserved(reserved) if reserved.key == key && reserved.amounts.tool_calls > 0),
        )
    };
    let of_budget = executed.iter().filter(|(key, _)| with_budget.contains(key.split('/').next().unwrap_or_default()));
    of_budget
        .filter(|(key, upto)| !held(key, *upto))
        .map(|(key, _)| format!("call {key} was begun, and nothing of its budget was held for it"))
        .collect()
}

/// What runs hold that have ended.
fn unsettled(rows: &[Row], events: &[Placed]) -> Vec<String> {
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (row, placed) in rows.iter().zip(events) {
        if let Event::BudgetReserved(reserved) = &placed.event {
            open.insert(&reserved.key, row.stream.as_str());
        } else if let Event::BudgetSettled(settled) = &placed.event {
            open.remove(settled.key.as_str());
        } else if matches!(placed.event, Event::RunFinished(_)) {
            let left = open.iter().filter(|(_, stream)| **stream == row.stream.as_str());
            wrong.extend(left.map(|(key, _)| format!("a run has ended, and still holds what it reserved for {key}")));
        }
    }
    wrong
}

/// Budgets whose limits, in the end, are not the ones that the journal holds others to, and limits in force of budgets that are gone.
fn unlimited(sim: &Sim, events: &[Placed]) -> Vec<String> {
    let mut limits: BTreeMap<&str, Option<Limits>> = BTreeMap::new();
    for placed in events {
        if let Event::BudgetLimited(limited) = &placed.event {
            limits.insert(&limited.account, limited.limits);
        }
    }
    let budgets = sim.api.objects().filter(|(key, _)| key.starts_with("reeve.dev/riskbudgets/") && sim.watched(key));
    let mut wrong = Vec::new();
    let mut gone: BTreeSet<&str> = limits.iter().filter(|(_, limits)| limits.is_some()).map(|(account, _)| *account).collect();
    for (key, object) in budgets {
        let account = budget::account(&text(&object["metadata"]["namespace"]), &text(&object["metadata"]["name"]));
        gone.remove(account.as_str());
        let spec = serde_json::from_value(object["spec"]["limits"].clone()).ok();
        let Some(wanted) = spec.and_then(|spec| Limits::of(&spec).ok()) else { continue };
        if limits.get(account.as_str()).copied().flatten() != Some(wanted) {
            wrong.push(format!("{key} has limits that are not in force"));
        }
    }
    wrong.extend(gone.into_iter().map(|account| format!("budget {account} is gone, and its limits are in force")));
    wrong
}

/// Rows of switches that say what the journal had said already; switches that it has engaged in the end and that stop nothing, and the other way
/// round; and those whose status shows another engagement than the last.
fn unrecorded(sim: &Sim, events: &[Placed]) -> Vec<String> {
    let (mut engaged, mut since) = (BTreeSet::new(), BTreeMap::new());
    let mut wrong = Vec::new();
    for placed in events {
        let Event::Kill(seen) = &placed.event else { continue };
        let is_news = if seen.engaged { engaged.insert(seen.uid.clone()) } else { engaged.remove(&seen.uid) };
        since.insert(seen.uid.clone(), whole_second(placed.time));
        if !is_news {
            wrong.push(format!("row {} says of switch {} again that engaged={}", placed.gseq, seen.uid, seen.engaged));
        }
    }
    let stops = |object: &Value| object["spec"]["engaged"] == true && !object["metadata"]["deletionTimestamp"].is_string();
    let switches =
        sim.api.objects().filter(|(key, object)| key.starts_with("reeve.dev/killswitches/") && sim.watched(key) && stops(object));
    let mut there = BTreeSet::new();
    for (_, switch) in switches {
        let uid = text(&switch["metadata"]["uid"]);
        let shown = text(&switch["status"]["engagedAt"]).parse().ok();
        if engaged.contains(&uid) && since.get(&uid).copied() != shown {
            wrong.push(format!("switch {uid} is engaged, and its status does not show since when"));
        }
        there.insert(uid);
    }
    wrong.extend(engaged.difference(&there).map(|uid| format!("switch {uid} stops nothing any more, and the journal has it engaged")));
    wrong.extend(there.difference(&engaged).map(|uid| format!("switch {uid} is engaged, and the journal does not have it so")));
    wrong
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
