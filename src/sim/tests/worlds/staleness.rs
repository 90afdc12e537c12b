//! Every scenario behind caches that are late, and with each event of a watch lost, doubled, its stream
//! cut, or followed by a list from an older server: it ends as if nothing had been.

use reeve_sim::world::{Fault, Lag, Scenario, Setting, WatchFault};

use crate::branches::{branches, count, trunks};
use crate::common::{hold, play_one, sample, scenarios, side_by_side, unlike};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;
/// The most changes that a cache is behind.
const MOST_CHANGES: u64 = 8;

#[test]
fn a_stale_cache_changes_no_end() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: QUIET_MS, ..Setting::of(1) });
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting));
    let faults =
        |at: usize| (1..=whole[at].counts.events).flat_map(|number| WatchFault::ALL.map(|fault| Fault::Event(number, fault))).collect();
    let trunks = trunks(&scenarios, &setting, faults);
    let mut wrong = branches(&trunks, |at, fault, stale| unlike(&scenarios[at], fault, stale, &whole[at]));
    // What is late from the beginning has nothing in common with what is not.
    let lags = (0..scenarios.len()).flat_map(|at| (1..=MOST_CHANGES).map(move |changes| (at, Lag { changes })));
    let lags: Vec<(usize, Lag)> = sample(lags.collect());
    let late = side_by_side(&lags, |(at, lag)| {
        let scenario: &Scenario = &scenarios[*at];
        let late = play_one(scenario, &Setting { lag: *lag, ..setting.clone() });
        unlike(scenario, &Fault::Lag(*lag), &late, &whole[*at])
    });
    wrong.extend(late.into_iter().flatten());
    hold("staleness", count(&trunks) + lags.len(), &wrong);
}
