//! What the lanes share: the scenarios, the kinds of their worlds, and two threads to play on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use reeve_sim::api::Kinds;
use reeve_sim::world::{Branches, Fault, Outcome, Scenario, Setting};

/// Root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the scenarios are.
pub(crate) fn folder() -> PathBuf {
    repository().join("tests/scenarios").canonicalize().unwrap()
}

/// The kinds that a cluster with Reeve serves.
static KINDS: LazyLock<Arc<Kinds>> = LazyLock::new(|| {
    let mut kinds = Kinds::builtin();
    let mut crds: Vec<PathBuf> = std::fs::read_dir(repository().join("crds")).unwrap().map(|entry| entry.unwrap().path()).collect();
    crds.sort();
    for crd in crds {
        kinds.add_crds(&std::fs::read_to_string(crd).unwrap()).unwrap();
    }
    Arc::new(kinds)
});

/// Every scenario, by name; only those whose names hold `REEVE_SCENARIO`, where that is set.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let wanted = std::env::var("REEVE_SCENARIO").unwrap_or_default();
    all_scenarios().into_iter().filter(|scenario| scenario.name.contains(&wanted)).collect()
}

/// Every scenario, by name.
pub(crate) fn all_scenarios() -> Vec<Scenario> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), file))
        .map(|(name, file)| Scenario::parse(&name, &std::fs::read_to_string(file).unwrap()).unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

/// The first seed.
pub(crate) fn first_seed() -> u64 {
    number("REEVE_SEED").unwrap_or(1)
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Every n-th of these, where `REEVE_EVERY` is n: for a first look.
pub(crate) fn sample<T>(cases: Vec<T>) -> Vec<T> {
    let every = number("REEVE_EVERY").and_then(|every| usize::try_from(every).ok()).unwrap_or(1).max(1);
    cases.into_iter().step_by(every).collect()
}

/// Plays one world.
pub(crate) fn play_one(scenario: &Scenario, setting: &Setting) -> Outcome {
    play_branching(scenario, setting, Branches::default())
}

/// Plays a world that may become another.
pub(crate) fn play_branching(scenario: &Scenario, setting: &Setting, branches: Branches) -> Outcome {
    reeve_sim::world::play_branching(&KINDS, scenario, setting, branches).unwrap_or_else(|error| panic!("{}: {error}", scenario.name))
}

/// What is wrong with a world that should end as that one does.
pub(crate) fn unlike(scenario: &Scenario, fault: &Fault, played: &Outcome, whole: &Outcome) -> Option<String> {
    if played.wrong.is_empty() && played.end == whole.end {
        return None;
    }
    let end = if played.end == whole.end { String::new() } else { format!("\n{:#?}\ninstead of {:#?}", played.end, whole.end) };
    Some(format!("{}, {fault}: {:#?}{end}\n{}", scenario.name, played.wrong, played.tale.join("\n")))
}

/// Does all of this, on as many threads as there are cores. Each world lives on one thread. What comes back is in the order of the work.
pub(crate) fn side_by_side<W: Sync, T: Send>(work: &[W], act: impl Fn(&W) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let play = || {
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some(item) = work.get(at) else { return };
                let outcome = act(item);
                done.lock().unwrap().insert(at, outcome);
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(play)).collect();
        // Joined, they are gone; a scope alone waits only until they have done their work.
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|why| std::panic::resume_unwind(why)));
    });
    done.into_inner().unwrap().into_values().collect()
}

/// Fails with everything that is wrong, the first of it with its tale.
pub(crate) fn hold(what: &str, played: usize, wrong: &[String]) {
    println!("{what}: {played} worlds, {} wrong", wrong.len());
    // The first line of each: what the tales below are of.
    wrong.iter().for_each(|why| println!("  {}", why.split("\n").take(3).map(str::trim).collect::<Vec<_>>().join(" ")));
    assert!(
        wrong.is_empty(),
        "{} of {played} worlds are wrong:\n{}",
        wrong.len(),
        wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n\n")
    );
}
