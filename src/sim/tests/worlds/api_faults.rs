//! Every scenario with a fault at each request of the operator, reads too: refused, done without an answer, answered by half, or about an
//! object that somebody else has just changed.
//!
//! One fault at each request, each in turn: over the scenarios each kind of request meets every fault. `REEVE_ALL` plays all of them at each.

use reeve_sim::world::{ApiFault, Scenario, Setting};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};
use crate::pardon::{differs, pardoned};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;

#[test]
fn a_fault_of_the_api_server_loses_nothing_and_repeats_nothing() {
    let scenarios = scenarios();
    let setting = || Setting { quiet_ms: QUIET_MS, ..Setting::of(1) };
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting()));
    let all = std::env::var_os("REEVE_ALL").is_some();
    let mut cases: Vec<(usize, &Scenario, u64, ApiFault)> = Vec::new();
    for (at, scenario) in scenarios.iter().enumerate() {
        for number in 1..=whole[at].counts.requests {
            let turn = (at + usize::try_from(number).unwrap()) % ApiFault::ALL.len();
            let faults = if all { &ApiFault::ALL[..] } else { &ApiFault::ALL[turn..=turn] };
            cases.extend(faults.iter().map(|fault| (at, scenario, number, *fault)));
        }
    }
    let cases = sample(cases);
    let wrong = side_by_side(&cases, |(at, scenario, number, fault)| {
        let faulty = play_one(scenario, &Setting { requests: vec![(*number, *fault)], ..setting() });
        let mut wrong = pardoned(&scenario.name, &faulty);
        wrong.extend(differs(&faulty, &whole[*at]));
        (!wrong.is_empty()).then(|| {
            let what = faulty.struck.first().map_or_else(String::new, |struck| format!("{} {}", struck.asked.verb, struck.asked.place));
            format!("{}, request {number} {fault} {what}: {wrong:#?}\n{}", scenario.name, faulty.tale.join("\n"))
        })
    });
    hold("api faults", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
