//! Random worlds: a seed picks a scenario, every order and delay, and what goes wrong. A failure is made small and printed as a scenario.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use reeve_sim::world::{ApiFault, Crash, JournalFault, Lag, Phase, Point, Scenario, Setting, WatchFault, minimised};

use crate::common::{first_seed, hold, number, play_one, scenarios, side_by_side};
use crate::pardon::pardoned;

/// How many worlds where nobody says.
const WORLDS: u64 = 5_000;
/// Worlds that are held at once.
const BATCH: u64 = 500;
/// How long a disk stays full at most.
const FULL_MS: u64 = 15_000;

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
    let requests = (0..random.usize(..=3)).map(|_| (random.u64(1..=150), ApiFault::ALL[random.usize(..ApiFault::ALL.len())])).collect();
    let journal = (0..random.usize(..=2)).map(|_| (random.u64(1..=30), journal_fault(&mut random))).collect();
    (scenario, Setting { crashes, lag, events, requests, journal, quiet_ms: 65_000, ..Setting::of(seed) })
}

fn journal_fault(random: &mut fastrand::Rng) -> JournalFault {
    match random.u8(..3) {
        0 => JournalFault::Refused,
        1 => JournalFault::Unheard,
        _ => JournalFault::RefusedFor { ms: random.u64(1_000..=FULL_MS) },
    }
}

/// Plays a world, and leaves out of what is wrong what its faults may bring about.
fn play_pardoned(scenario: &Scenario, setting: &Setting) -> reeve_sim::world::Outcome {
    let mut outcome = play_one(scenario, setting);
    outcome.wrong = pardoned(&scenario.name, &outcome);
    outcome
}

/// A world that goes wrong, as small as it gets.
fn told(seed: u64, scenario: &Scenario, setting: &Setting) -> String {
    let name = &scenario.name;
    let (wrong, least) = (play_pardoned(scenario, setting), minimised(scenario, setting, play_pardoned));
    let least = least.map_or_else(
        || format!("as a scenario it ends well: {:?}", setting.faults()),
        |least| format!("tests/scenarios/{name}_{seed}.txt ({} worlds were played for it):\n{}", least.replays, least.text),
    );
    format!("REEVE_SEED={seed} REEVE_WORLDS=1: {name}: {:#?}\n{least}\nits tale:\n{}", wrong.wrong, wrong.tale.join("\n"))
}

#[test]
fn nothing_is_wrong_in_any_world() {
    let scenarios = scenarios();
    let (first, most) = (first_seed(), number("REEVE_WORLDS").unwrap_or(WORLDS));
    let began = Instant::now();
    let (mut played, mut wrong) = (0, Vec::new());
    let (steps, fewest) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    while played < most {
        let upto = (most - played).min(BATCH);
        let seeds: Vec<u64> = (first + played..first + played + upto).collect();
        let found = side_by_side(&seeds, |seed| {
            let (scenario, setting) = world(*seed, &scenarios);
            let outcome = play_pardoned(scenario, &setting);
            steps.fetch_add(outcome.steps, Ordering::Relaxed);
            fewest.fetch_min(outcome.steps, Ordering::Relaxed);
            (!outcome.wrong.is_empty()).then(|| told(*seed, scenario, &setting))
        });
        wrong.extend(found.into_iter().flatten());
        played += upto;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let core_seconds = began.elapsed().as_secs_f64() * cores as f64;
    let (steps, fewest) = (steps.into_inner(), fewest.into_inner());
    println!(
        "FIGURE sim_worlds_per_s {:.1} 1/s a core: {} steps a world, {fewest} at least",
        played as f64 / core_seconds,
        steps / played.max(1)
    );
    println!("FIGURE sim_steps_per_s {:.0} 1/s a core", steps as f64 / core_seconds);
    hold("random worlds", usize::try_from(played).unwrap(), &wrong);
}
