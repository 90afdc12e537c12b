//! Mistakes that somebody could make in the operator: each is caught by a lane, and the matrix says by which.

use reeve_sim::world::{Crash, Outcome, Phase, Point, Sabotage, Scenario, Setting};

use crate::common::{all_scenarios, play_one, side_by_side};

/// How long these worlds must be quiet at their end.
const QUIET_MS: u64 = 65_000;

/// Where each mistake would show: the scenario in which it matters.
const fn shown_in(sabotage: Sabotage) -> &'static str {
    match sabotage {
        Sabotage::MadeUpNames | Sabotage::CallsAgain | Sabotage::ForgottenJob | Sabotage::LostStatus => "happy",
        Sabotage::SwallowedConflict => "job_name_taken",
        Sabotage::DeafToVotes => "approved",
        Sabotage::StoppedClock => "approval_expires",
    }
}

fn is_caught(scenario: &Scenario, setting: &Setting, end: Option<&Outcome>) -> bool {
    let outcome = play_one(scenario, setting);
    !outcome.wrong.is_empty() || end.is_some_and(|whole| whole.end != outcome.end)
}

#[test]
fn every_mistake_is_caught() {
    let scenarios = all_scenarios();
    let rows = side_by_side(&Sabotage::ALL, |sabotage| {
        let scenario = scenarios.iter().find(|scenario| scenario.name == shown_in(*sabotage)).unwrap();
        let setting = Setting { quiet_ms: QUIET_MS, ..Setting::of(1) };
        let whole = play_one(scenario, &setting);
        assert!(whole.wrong.is_empty(), "{}: {:?}", scenario.name, whole.wrong);
        let setting = Setting { sabotage: Some(*sabotage), ..setting };
        let by_scenario = is_caught(scenario, &setting, None);
        let crashes = Point::ALL
            .into_iter()
            .flat_map(|point| (1..=whole.counts.of(point)).flat_map(move |number| Phase::ALL.map(|phase| Crash { point, number, phase })));
        let by_crash = crashes
            .filter(|crash| !by_scenario || crash.number == 1)
            .find(|crash| is_caught(scenario, &Setting { crashes: vec![*crash], ..setting.clone() }, Some(&whole)));
        (*sabotage, by_scenario, by_crash)
    });
    println!("{:<20} {:<10} crash-matrix", "mistake", "scenarios");
    for (sabotage, by_scenario, by_crash) in &rows {
        let crash = by_crash.map_or_else(|| "-".to_owned(), |crash| crash.to_string());
        println!("{:<20} {:<10} {crash}", format!("{sabotage:?}"), if *by_scenario { "caught" } else { "-" });
    }
    let missed: Vec<_> = rows.iter().filter(|(_, by_scenario, by_crash)| !by_scenario && by_crash.is_none()).collect();
    println!("sabotage: {} worlds, {} wrong", rows.len(), missed.len());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
