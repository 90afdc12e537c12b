//! Every scenario, with the journal refusing each append once, for a while, or after it has written it, while the operator lives on: it ends as
//! if nothing had been, and nothing is done whose event is not written.

use reeve_sim::world::{Fault, JournalFault, Setting};

use crate::branches::{branches, count, trunks};
use crate::common::{hold, play_one, scenarios, side_by_side, unlike};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;
/// How long a disk stays full: through more than one look at the journal, and through the first retries of whoever was refused.
const FULL_MS: u64 = 12_000;

const FAULTS: [JournalFault; 3] = [JournalFault::Refused, JournalFault::Unheard, JournalFault::RefusedFor { ms: FULL_MS }];

#[test]
fn a_journal_that_refuses_changes_no_end() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: QUIET_MS, ..Setting::of(1) });
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting));
    let faults = |at: usize| (1..=whole[at].counts.appends).flat_map(|number| FAULTS.map(|fault| Fault::Append(number, fault))).collect();
    let trunks = trunks(&scenarios, &setting, faults);
    let wrong = branches(&trunks, |at, fault, faulty| unlike(&scenarios[at], fault, faulty, &whole[at]));
    hold("journal faults", count(&trunks), &wrong);
}
