//! Random worlds: a seed picks a scenario, every order and delay, and what goes wrong. A failure is minimised and printed as a scenario's lines.

use std::time::Instant;

use reeve_sim::world::{Crash, Lag, Phase, Point, Scenario, Setting, WatchFault};

use crate::common::{first_seed, hold, number, play_one, scenarios, side_by_side};

/// How many worlds where nobody says.
const WORLDS: u64 = 5_000;
/// Worlds that are held at once.
const BATCH: u64 = 500;

/// What a seed makes of the scenarios.
fn world(seed: u64, scenarios: &[Scenario]) -> (&Scenario, Setting) {
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = &scenarios[random.usize(..scenarios.len())];
    let mut crashes: Vec<Crash> = (0..random.usize(..=3))
        .map(|_| Crash {
            point: Point::ALL[random.usize(..Point::ALL.len())],
            number: random.u64(1..=30),
            phase: Phase::ALL[random.usize(..Phase::ALL.len())],
        })
        .collect();
    crashes.sort();
    crashes.dedup_by_key(|crash| (crash.point, crash.number));
    let faults = WatchFault::ALL;
    let events = (0..random.usize(..=4)).map(|_| (random.u64(1..=60), faults[random.usize(..faults.len())])).collect();
    let lag = Lag { changes: random.u64(0..=8) };
    (scenario, Setting { crashes, lag, events, quiet_ms: 65_000, ..Setting::of(seed) })
}

/// Every setting with one fault less.
fn fewer(setting: &Setting) -> Vec<Setting> {
    let without = |change: &dyn Fn(&mut Setting)| {
        let mut fewer = setting.clone();
        change(&mut fewer);
        fewer
    };
    let mut all: Vec<Setting> = (0..setting.crashes.len())
        .map(|at| {
            without(&|fewer| {
                fewer.crashes.remove(at);
            })
        })
        .collect();
    all.extend((0..setting.events.len()).map(|at| {
        without(&|fewer| {
            fewer.events.remove(at);
        })
    }));
    if setting.lag != Lag::default() {
        all.push(without(&|fewer| fewer.lag = Lag::default()));
    }
    all
}

/// The fewest faults with which this world still goes wrong: none of them can be left out.
fn minimised(scenario: &Scenario, setting: &Setting) -> Setting {
    let mut least = setting.clone();
    while let Some(fewer) = fewer(&least).into_iter().find(|fewer| !play_one(scenario, fewer).wrong.is_empty()) {
        least = fewer;
    }
    least
}

#[test]
fn nothing_is_wrong_in_any_world() {
    let scenarios = scenarios();
    let (first, most) = (first_seed(), number("REEVE_WORLDS").unwrap_or(WORLDS));
    let began = Instant::now();
    let (mut played, mut wrong) = (0, Vec::new());
    while played < most {
        let upto = (most - played).min(BATCH);
        let seeds: Vec<u64> = (first + played..first + played + upto).collect();
        let found = side_by_side(&seeds, |seed| {
            let (scenario, setting) = world(*seed, &scenarios);
            let outcome = play_one(scenario, &setting);
            (!outcome.wrong.is_empty()).then(|| {
                let least = minimised(scenario, &setting);
                let outcome = play_one(scenario, &least);
                let what = format!("{:?} {:?} {:?}", least.crashes, least.lag, least.events);
                format!("REEVE_SEED={seed} REEVE_WORLDS=1: {}, {what}: {:#?}\n{}", scenario.name, outcome.wrong, outcome.tale.join("\n"))
            })
        });
        wrong.extend(found.into_iter().flatten());
        played += upto;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("FIGURE sim_worlds_per_s {:.1} 1/s a core", played as f64 / began.elapsed().as_secs_f64() / cores as f64);
    hold("random worlds", usize::try_from(played).unwrap(), &wrong);
}
