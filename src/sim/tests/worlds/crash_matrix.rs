//! Every scenario, with the operator killed at every write, append and effect, before it, in it and after it: it ends as if nothing had been.

use reeve_sim::world::{Crash, Fault, Outcome, Phase, Point, Setting};

use crate::branches::{branches, count, trunks};
use crate::common::{hold, play_one, scenarios, side_by_side, unlike};

/// How long a world of the matrix must be quiet at its end: longer than the slowest look at anything.
const QUIET_MS: u64 = 70_000;

/// Every point of a scenario, with every phase.
fn points(outcome: &Outcome) -> Vec<Fault> {
    let crash = |point, number| Phase::ALL.map(|phase| Fault::Crash(Crash { point, number, phase }));
    let of = |point: Point| (1..=outcome.counts.of(point)).flat_map(move |number| crash(point, number));
    Point::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn a_crash_anywhere_loses_nothing_and_repeats_nothing() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: QUIET_MS, ..Setting::of(1) });
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting));
    let trunks = trunks(&scenarios, &setting, |at| points(&whole[at]));
    let wrong = branches(&trunks, |at, crash, crashed| unlike(&scenarios[at], crash, crashed, &whole[at]));
    hold("crash matrix", count(&trunks), &wrong);
}
