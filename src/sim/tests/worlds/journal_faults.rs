//! Every scenario, with the journal refusing each append once, for a while, or after it has written it, while the operator lives on: it ends as
//! if nothing had been, and nothing is done whose event is not written.

use reeve_sim::world::{JournalFault, Outcome, Scenario, Setting};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;
/// How long a disk stays full: through more than one look at the journal, and through the first retries of whoever was refused.
const FULL_MS: u64 = 12_000;

const FAULTS: [JournalFault; 3] = [JournalFault::Refused, JournalFault::Unheard, JournalFault::RefusedFor { ms: FULL_MS }];

fn setting(journal: Vec<(u64, JournalFault)>) -> Setting {
    Setting { journal, quiet_ms: QUIET_MS, ..Setting::of(1) }
}

#[test]
fn a_journal_that_refuses_changes_no_end() {
    let scenarios = scenarios();
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting(Vec::new())));
    let cases: Vec<(&Scenario, &Outcome, (u64, JournalFault))> = scenarios
        .iter()
        .zip(&whole)
        .flat_map(|(scenario, outcome)| {
            let faults = (1..=outcome.counts.appends).flat_map(|number| FAULTS.map(|fault| (number, fault)));
            faults.map(move |fault| (scenario, outcome, fault))
        })
        .collect();
    let cases = sample(cases);
    let wrong = side_by_side(&cases, |(scenario, whole, fault)| {
        let faulty = play_one(scenario, &setting(vec![*fault]));
        if faulty.wrong.is_empty() && faulty.end == whole.end {
            return None;
        }
        let end = if faulty.end == whole.end { String::new() } else { format!("\n{:#?}\ninstead of {:#?}", faulty.end, whole.end) };
        Some(format!("{}, append {} {:?}: {:#?}{end}\n{}", scenario.name, fault.0, fault.1, faulty.wrong, faulty.tale.join("\n")))
    });
    hold("journal faults", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
