//! Every scenario with a fault at each request of the operator, reads too: refused, done without an answer, answered by half, or about an
//! object that somebody else has just changed.
//!
//! One fault at each request, each in turn: over the scenarios each kind of request meets every fault. `REEVE_ALL` plays all of them at each.

use reeve_sim::world::{ApiFault, Scenario, Setting};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;

/// Whether what a server says by this is final: then a run may end by it, with a reason, and whoever waits for another end waits in vain.
fn may_end_otherwise(fault: ApiFault) -> bool {
    matches!(fault, ApiFault::Refused(400 | 401 | 403 | 404 | 422))
}

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
        let mut faulty = play_one(scenario, &Setting { requests: vec![(*number, *fault)], ..setting() });
        if faulty.end != whole[*at].end || !faulty.wrong.is_empty() {
            let asked = faulty.struck.first().map(|struck| &struck.asked);
            let diff: Vec<String> = faulty.end.iter().filter(|(key, shown)| whole[*at].end.get(*key) != Some(*shown)).map(|(key, shown)| format!("{key}={shown} NOT {:?}", whole[*at].end.get(key))).collect();
            let gone: Vec<&String> = whole[*at].end.keys().filter(|key| !faulty.end.contains_key(*key)).collect();
            println!("STAT {fault} {} {} {}|{}|{diff:?} {gone:?}|{:?}", asked.map_or("-", |a| a.verb), asked.map_or("-", |a| a.kind.as_str()), number, scenario.name, faulty.wrong);
        }
        // Whoever could not read something shows it, and shows later that it can: the text says what is written where nothing goes wrong.
        // That everything comes to rest is held at the end of each world all the same.
        let _ = &faulty; faulty.wrong.retain(|why| !(why.starts_with(&format!("{}:", scenario.name)) && why.contains("expected 0 writes")));
        let mut same = faulty.end == whole[*at].end;
        if may_end_otherwise(*fault) && !same {
            // What the text waited for did not come. What must hold in any world holds all the same.
            faulty.wrong.retain(|why| !why.starts_with(&format!("{}:", scenario.name)));
            same = true;
        }
        let end = if same { String::new() } else { format!("\n{:#?}\ninstead of {:#?}", faulty.end, whole[*at].end) };
        (!same || !faulty.wrong.is_empty())
            .then(|| format!("{}, request {number} {fault}: {:#?}{end}\n{}", scenario.name, faulty.wrong, faulty.tale.join("\n")))
    });
    hold("api faults", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
