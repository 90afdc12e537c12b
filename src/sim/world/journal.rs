//! The door of the journal: counts what goes through, tells it, and lets nothing through that a dead operator sends.

use std::sync::{Arc, Weak};

use reeve_core::journal::{Event, Row, RowDraft, Stream};
use reeve_store::{Gate, Lost, Trust};

use super::faults::{JournalFault, Phase, Point};
use super::sabotage;
use super::sim::{End, Shared, Sim};

/// Stands at the door of the journal of a world.
struct Door {
    world: Weak<Shared>,
    phase: std::sync::Mutex<Option<Phase>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Door")
    }
}

impl Shared {
    /// Puts a door before the journal.
    pub(crate) fn watch_journal(self: &Arc<Shared>) {
        self.journal.set_gate(Arc::new(Door { world: Arc::downgrade(self), phase: std::sync::Mutex::default() }));
    }
}

impl Gate for Door {
    fn bent(&self, drafts: &[RowDraft]) -> Vec<RowDraft> {
        self.world.upgrade().map(|world| sabotage::bent(&world.lock(), drafts)).unwrap_or_default()
    }

    fn trust(&self) -> Trust {
        self.world.upgrade().map(|world| sabotage::trust(&world.lock())).unwrap_or_default()
    }

    fn before(&self, _: &Stream, _: &[RowDraft]) -> bool {
        let Some(world) = self.world.upgrade() else { return true };
        let mut sim = world.lock();
        if sim.end == End::Now {
            return false;
        }
        let phase = sim.pass(Point::Append);
        if phase == Some(Phase::Before) {
            world.kill(&mut sim);
            return false;
        }
        *self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = phase;
        if let Some(lost) = fault(&mut sim) {
            world.journal.lose_next_append(lost);
        }
        true
    }

    fn after(&self, rows: &[Row]) -> bool {
        let Some(world) = self.world.upgrade() else { return true };
        let phase = self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let mut sim = world.lock();
        sim.oracle.appended(rows.len() as u64);
        sim.journaled(rows);
        for row in rows {
            let told = row.event().map_or_else(|error| error.to_string(), |event| brief(&event));
            sim.tale.tell(format!("journal   {} {}{told}", row.stream.as_str(), row.kind));
        }
        match phase {
            Some(Phase::Lost) => {
                world.kill(&mut sim);
                return false;
            }
            Some(Phase::After) => world.kill_soon(&mut sim),
            Some(Phase::Before) | None => {}
        }
        true
    }
}

/// What becomes of the append that was counted last, if it does not just go through.
fn fault(sim: &mut Sim) -> Option<Lost> {
    let (number, now) = (sim.counts.appends, sim.now_ms());
    let planned = sim.plan.append(number);
    if let Some(JournalFault::RefusedFor { ms }) = planned {
        sim.no_rows_until_ms = now.saturating_add(ms);
    }
    let lost = match planned {
        Some(JournalFault::Unheard) => Lost::AfterCommit,
        Some(JournalFault::Refused | JournalFault::RefusedFor { .. }) => Lost::BeforeCommit,
        None if now < sim.no_rows_until_ms => Lost::BeforeCommit,
        None => return None,
    };
    sim.oracle.troubled();
    sim.tale.tell(match lost {
        Lost::BeforeCommit => "journal   refuses",
        Lost::AfterCommit => "journal   is not heard",
    });
    Some(lost)
}

/// What of a row a tale tells beside its kind: what was decided, and why.
#[allow(clippy::wildcard_enum_match_arm, reason = "a tale tells the few kinds that decide something")]
fn brief(event: &Event) -> String {
    match event {
        Event::PolicyDecision(judgement) => format!(" {:?} {}", judgement.verdict, judgement.determining.join(" ")),
        Event::ToolRequested(asked) => format!(" {}", asked.name),
        Event::ToolResult(ended) => {
            let how = serde_json::to_value(&ended.observation).unwrap_or_default();
            format!(" {}", how["how"].as_str().unwrap_or_default())
        }
        Event::RunSuspended(suspension) => format!(" {:?}", suspension.cause),
        Event::RunResumed(resumption) => format!(" {:?}", resumption.cause),
        Event::RunStarted(started) => {
            started.forked_from.as_ref().map_or_else(String::new, |from| format!(" from row {} of {}", from.seq.0, from.uid))
        }
        Event::RunFinished(finished) => format!(" {}", finished.reason.as_str()),
        Event::ApprovalSettled(settled) => format!(" {}", settled.phase.as_str()),
        Event::ApprovalVote(vote) => format!(" {} {:?}", vote.user, vote.verdict),
        Event::Kill(seen) => format!(" engaged={}", seen.engaged),
        Event::LeaseTaken { identity } => format!(" identity={identity}"),
        _ => String::new(),
    }
}
