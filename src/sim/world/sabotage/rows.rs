//! What a wrong operator journals, and what a wrong journal takes.

use reeve_core::budget::Amounts;
use reeve_core::journal::{Actor, Event, Row, RowDraft, Verdict};
use reeve_store::Trust;
use serde_json::Value;

use super::Sabotage;
use crate::world::sim::Sim;

/// The drafts that are written in place of these. None: these.
pub(crate) fn bent(sim: &Sim, drafts: &[RowDraft]) -> Vec<RowDraft> {
    let Some(sabotage) = sim.sabotage else { return Vec::new() };
    let kept: Vec<RowDraft> = drafts.iter().filter_map(|draft| kept(sabotage, draft)).collect();
    if kept == drafts { Vec::new() } else { kept }
}

/// What becomes of a draft. None: nobody thought of it.
fn kept(sabotage: Sabotage, draft: &RowDraft) -> Option<RowDraft> {
    let event = serde_json::from_str(&draft.body).map(|body: Value| serde_json::json!({ "kind": draft.kind, "body": body }));
    match (sabotage, event.and_then(serde_json::from_value).ok()) {
        (Sabotage::ForgottenPermit, Some(Event::PolicyDecision(judged))) if judged.verdict == Verdict::Allow => None,
        (Sabotage::ForgottenConsumption, Some(Event::ApprovalConsumed(_))) => None,
        (Sabotage::ForgottenSettlement, Some(Event::BudgetSettled(_))) => None,
        (Sabotage::HoldsNothing, Some(Event::BudgetReserved(mut reserved))) => {
            reserved.amounts = Amounts::default();
            RowDraft::of(&Event::BudgetReserved(reserved), &Actor::Operator, draft.time.parse().ok()?).ok()
        }
        _ => Some(draft.clone()),
    }
}

/// The rules that the journal of this world does not ask.
pub(crate) fn trust(sim: &Sim) -> Trust {
    Trust { epochs: sim.sabotage == Some(Sabotage::UnfencedWrite), sums: sim.sabotage == Some(Sabotage::CachedSum) }
}

impl Sim {
    /// Rows are durable: what waited for them is done.
    pub(crate) fn journaled(&mut self, rows: &[Row]) {
        self.mind.last_rows = rows.len();
        for row in rows.iter().filter(|row| row.kind == "tool.result") {
            let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
            let key = body["key"].as_str().unwrap_or_default();
            if self.mind.owed.remove(key) {
                self.begins(key);
            }
        }
    }

    /// Whether this call is made only when its outcome is told.
    pub(crate) fn puts_off(&mut self, key: &str) -> bool {
        let late = self.sabotage == Some(Sabotage::OutcomeFirst);
        if late {
            self.mind.owed.insert(key.to_owned());
        }
        late
    }
}
