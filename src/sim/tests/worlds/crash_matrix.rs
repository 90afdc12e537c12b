//! Every scenario, with the operator killed at every write, append and effect, before it, in it and after it: it ends as if nothing had been.

use reeve_sim::world::{Crash, Outcome, Phase, Point, Scenario, Setting};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};

/// How long a world of the matrix must be quiet at its end: longer than the slowest look at anything.
const QUIET_MS: u64 = 70_000;

fn setting(crashes: Vec<Crash>) -> Setting {
    Setting { crashes, quiet_ms: QUIET_MS, ..Setting::of(1) }
}

/// Every point of a scenario, with every phase.
fn points(outcome: &Outcome) -> Vec<Crash> {
    let of = |point: Point| (1..=outcome.counts.of(point)).flat_map(move |number| Phase::ALL.map(|phase| Crash { point, number, phase }));
    Point::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn a_crash_anywhere_loses_nothing_and_repeats_nothing() {
    let scenarios = scenarios();
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting(Vec::new())));
    let cases: Vec<(&Scenario, &Outcome, Crash)> = scenarios
        .iter()
        .zip(&whole)
        .flat_map(|(scenario, outcome)| points(outcome).into_iter().map(move |crash| (scenario, outcome, crash)))
        .collect();
    let cases = sample(cases);
    let wrong = side_by_side(&cases, |(scenario, whole, crash)| {
        let crashed = play_one(scenario, &setting(vec![*crash]));
        if crashed.wrong.is_empty() && crashed.end == whole.end {
            return None;
        }
        let end = if crashed.end == whole.end { String::new() } else { format!("\n{:#?}\ninstead of {:#?}", crashed.end, whole.end) };
        Some(format!("{}, {crash}: {:#?}{end}\n{}", scenario.name, crashed.wrong, crashed.tale.join("\n")))
    });
    hold("crash matrix", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
