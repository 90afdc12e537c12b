//! Every scenario behind caches that are late, and with each event of a watch lost, doubled, its stream
//! cut, or followed by a list from an older server: it ends as if nothing had been.

use reeve_sim::world::{Lag, Scenario, Setting, WatchFault};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;
/// The most changes that a cache is behind.
const MOST_CHANGES: u64 = 8;

#[test]
fn a_stale_cache_changes_no_end() {
    let scenarios = scenarios();
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &Setting { quiet_ms: QUIET_MS, ..Setting::of(1) }));
    let mut cases: Vec<(&Scenario, usize, String, Setting)> = Vec::new();
    for (at, scenario) in scenarios.iter().enumerate() {
        let setting = || Setting { quiet_ms: QUIET_MS, ..Setting::of(1) };
        for changes in 1..=MOST_CHANGES {
            cases.push((scenario, at, format!("lag {changes}"), Setting { lag: Lag { changes }, ..setting() }));
        }
        for number in 1..=whole[at].counts.events {
            for fault in WatchFault::ALL {
                cases.push((scenario, at, format!("event {number} {fault:?}"), Setting { events: vec![(number, fault)], ..setting() }));
            }
        }
    }
    let cases = sample(cases);
    let wrong = side_by_side(&cases, |(scenario, at, what, setting)| {
        let stale = play_one(scenario, setting);
        let same = stale.end == whole[*at].end;
        (!same || !stale.wrong.is_empty())
            .then(|| format!("{}, {what}: {:#?} {:#?}\n{}", scenario.name, stale.wrong, stale.end, stale.tale.join("\n")))
    });
    hold("staleness", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
