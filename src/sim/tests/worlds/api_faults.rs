//! Every scenario with a fault at each request of the operator, reads too: refused, done without an answer, answered by half, or about an
//! object that somebody else has just changed.
//!
//! One fault at each request, each in turn: over the scenarios each kind of request meets every fault. `REEVE_ALL` plays all of them at each.

use reeve_sim::world::{ApiFault, Fault, Outcome, Scenario, Setting};

use crate::branches::{branches, count, trunks};
use crate::common::{hold, play_one, scenarios, side_by_side};
use crate::pardon::{differs, pardoned};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;

/// The faults of the scenario with this number, which has so many requests.
fn faults(at: usize, requests: u64) -> Vec<Fault> {
    let all = std::env::var_os("REEVE_ALL").is_some();
    let mut faults = Vec::new();
    for number in 1..=requests {
        let turn = (at + usize::try_from(number).unwrap()) % ApiFault::ALL.len();
        let chosen = if all { &ApiFault::ALL[..] } else { &ApiFault::ALL[turn..=turn] };
        faults.extend(chosen.iter().map(|fault| Fault::Request(number, *fault)));
    }
    faults
}

/// What is wrong with a world in which this happened.
fn wrong(scenario: &Scenario, fault: &Fault, faulty: &Outcome, whole: &Outcome) -> Option<String> {
    let mut wrong = pardoned(&scenario.name, faulty);
    wrong.extend(differs(faulty, whole));
    if wrong.is_empty() {
        return None;
    }
    let what = faulty.struck.first().map_or_else(String::new, |struck| format!("{} {}", struck.asked.verb, struck.asked.place));
    Some(format!("{}, {fault} {what}: {wrong:#?}\n{}", scenario.name, faulty.tale.join("\n")))
}

#[test]
fn a_fault_of_the_api_server_loses_nothing_and_repeats_nothing() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: QUIET_MS, ..Setting::of(1) });
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting));
    let trunks = trunks(&scenarios, &setting, |at| faults(at, whole[at].counts.requests));
    let wrong = branches(&trunks, |at, fault, faulty| wrong(&scenarios[at], fault, faulty, &whole[at]));
    hold("api faults", count(&trunks), &wrong);
}
