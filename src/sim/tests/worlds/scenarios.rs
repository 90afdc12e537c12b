//! Every scenario ends as it says, with nothing wrong on the way, and its tale is the one that is kept beside it.

use expect_test::expect_file;
use reeve_sim::world::Setting;

use crate::common::{folder, hold, play_one, scenarios, side_by_side};

#[test]
fn every_scenario_ends_as_it_says() {
    let scenarios = scenarios();
    let outcomes = side_by_side(&scenarios, |scenario| play_one(scenario, &Setting::of(1)));
    let wrong: Vec<String> = scenarios
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| !outcome.wrong.is_empty())
        .map(|(scenario, outcome)| format!("{}: {:#?}\n{}", scenario.name, outcome.wrong, outcome.tale.join("\n")))
        .collect();
    hold("scenarios", scenarios.len(), &wrong);
    // Only a world in which nothing is wrong has a tale to keep.
    for (scenario, outcome) in scenarios.iter().zip(&outcomes) {
        expect_file![folder().join(format!("{}.log", scenario.name))].assert_eq(&(outcome.tale.join("\n") + "\n"));
    }
}

#[test]
fn the_same_seed_tells_the_same_tale() {
    let scenarios = scenarios();
    let differing = side_by_side(&scenarios, |scenario| {
        let setting = Setting { quiet_ms: 1_000, ..Setting::of(7) };
        let (first, second) = (play_one(scenario, &setting), play_one(scenario, &setting));
        let at = first.tale.iter().zip(&second.tale).position(|(a, b)| a != b);
        (first != second).then(|| format!("{} differs at line {at:?}", scenario.name))
    });
    hold("determinism", scenarios.len(), &differing.into_iter().flatten().collect::<Vec<_>>());
}
