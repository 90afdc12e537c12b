//! Worlds that differ in one fault, played as branches of one: up to its fault each is the same world, so the process that plays that splits in
//! two there, and one of the two has the fault. A branch costs what comes after its fault.
//!
//! Each core has a process with one thread, in which nothing is held by anybody else while it splits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reeve_sim::world::{ApiFault, Branches, Counts, Crash, Fault, JournalFault, Outcome, Phase, Point, Scenario, Setting, WatchFault};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::common::{hold, play_branching, play_one, sample, scenarios};

/// A world, and the faults that it is played with beside, one at a time.
pub(crate) struct Trunk<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) setting: Setting,
    pub(crate) faults: Vec<Fault>,
}

/// A trunk for each scenario, with those of these faults that are its; of all of them only every so many-th, where that is asked for.
pub(crate) fn trunks<'a>(scenarios: &'a [Scenario], setting: &Setting, faults: impl Fn(usize) -> Vec<Fault>) -> Vec<Trunk<'a>> {
    let all = (0..scenarios.len()).flat_map(|at| faults(at).into_iter().map(move |fault| (at, fault))).collect();
    let mut trunks: Vec<Trunk<'_>> =
        scenarios.iter().map(|scenario| Trunk { scenario, setting: setting.clone(), faults: Vec::new() }).collect();
    for (at, fault) in sample(all) {
        trunks[at].faults.push(fault);
    }
    trunks
}

/// How many branches these have.
pub(crate) fn count(trunks: &[Trunk<'_>]) -> usize {
    trunks.iter().map(|trunk| trunk.faults.len()).sum()
}

/// Plays each branch of these, and says what is wrong with each, in the order of trunks and faults.
///
/// `judge` says what is wrong with the world that a fault was in, whose trunk is known by its number.
pub(crate) fn branches(trunks: &[Trunk<'_>], judge: impl Fn(usize, &Fault, &Outcome) -> Option<String>) -> Vec<String> {
    stand_alone();
    // The longest first, so that no process is left with a long one at the end.
    let mut order: Vec<usize> = (0..trunks.len()).collect();
    order.sort_by_key(|trunk| std::cmp::Reverse(trunks[*trunk].faults.len()));
    let (work, mut queue) = pipe();
    order.iter().for_each(|trunk| queue.write_all(&u16::try_from(*trunk).unwrap().to_le_bytes()).unwrap());
    drop(queue);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let players: Vec<(Pid, File)> = (0..cores).map(|_| beside(|to| player(trunks, &judge, &work, to))).collect();
    let mut found: Vec<(usize, usize, Option<String>)> = Vec::new();
    for (player, mut says) in players {
        let mut said = Vec::new();
        says.read_to_end(&mut said).unwrap();
        assert!(ended_well(player), "a process that played worlds did not end well");
        let said: Vec<(usize, usize, Option<String>)> = serde_json::from_slice(&said).unwrap();
        found.extend(said);
    }
    found.sort();
    let places: Vec<(usize, usize)> = found.iter().map(|(trunk, fault, _)| (*trunk, *fault)).collect();
    let all: Vec<(usize, usize)> =
        trunks.iter().enumerate().flat_map(|(trunk, of)| (0..of.faults.len()).map(move |fault| (trunk, fault))).collect();
    assert_eq!(places, all, "each branch is played once");
    found.into_iter().filter_map(|(_, _, wrong)| wrong).collect()
}

/// Plays trunks as long as there are any, and tells what was wrong with their branches.
fn player(trunks: &[Trunk<'_>], judge: &dyn Fn(usize, &Fault, &Outcome) -> Option<String>, work: &File, mut to: File) {
    let mut found: Vec<(usize, usize, Option<String>)> = Vec::new();
    let mut next = [0; 2];
    while (&mut &*work).read_exact(&mut next).is_ok() {
        let trunk = usize::from(u16::from_le_bytes(next));
        let of = &trunks[trunk];
        let wrong = play_trunk(of, |fault, outcome| judge(trunk, fault, outcome));
        found.extend(of.faults.iter().enumerate().map(|(at, fault)| {
            let known = wrong.iter().find(|(known, _)| known == fault);
            let wrong =
                known.map_or_else(|| Some(format!("{}, {fault}: it was never come to", of.scenario.name)), |(_, wrong)| wrong.clone());
            (trunk, at, wrong)
        }));
    }
    serde_json::to_writer(&mut to, &found).unwrap();
}

/// What of a branch its process knows: what was asked of it, and where to tell what became of it.
type Taken = Arc<Mutex<Option<(Fault, File)>>>;

/// Plays a trunk with its branches: what was wrong with each that was come to.
fn play_trunk(of: &Trunk<'_>, judge: impl Fn(&Fault, &Outcome) -> Option<String>) -> Vec<(Fault, Option<String>)> {
    let (taken, found) = (Taken::default(), Arc::new(Mutex::new(Vec::new())));
    let (its, told) = (Arc::clone(&taken), Arc::clone(&found));
    let split = move |fault: &Fault| {
        let (from, to) = pipe();
        let Some(branch) = split_process() else {
            *lock(&its) = Some((fault.clone(), to));
            return true;
        };
        drop(to);
        let said = heard(branch, from);
        lock(&told).push((fault.clone(), said));
        false
    };
    let branches = Branches::new(of.faults.clone(), split);
    let played = catch_unwind(AssertUnwindSafe(|| play_branching(of.scenario, &of.setting, branches)));
    if let Some((fault, mut to)) = lock(&taken).take() {
        let wrong = match &played {
            Ok(outcome) => judge(&fault, outcome),
            Err(_) => Some(format!("{}, {fault}: whoever plays it panicked", of.scenario.name)),
        };
        serde_json::to_writer(&mut to, &wrong).unwrap();
        drop(to);
        std::process::exit(0);
    }
    if let Err(why) = played {
        resume_unwind(why);
    }
    let found = std::mem::take(&mut *lock(&found));
    found
}

/// What a branch says of itself.
fn heard(branch: Pid, mut from: File) -> Option<String> {
    let mut said = Vec::new();
    let read = from.read_to_end(&mut said);
    match (ended_well(branch), read.ok().and_then(|_| serde_json::from_slice(&said).ok())) {
        (true, Some(wrong)) => wrong,
        _ => Some("its process did not end well".to_owned()),
    }
}

/// Does something in a process of its own, which tells into a file.
fn beside(act: impl FnOnce(File)) -> (Pid, File) {
    let (from, to) = pipe();
    match split_process() {
        Some(other) => (other, from),
        None => {
            drop(from);
            let done = catch_unwind(AssertUnwindSafe(|| act(to)));
            std::process::exit(i32::from(done.is_err()))
        }
    }
}

fn ended_well(process: Pid) -> bool {
    let ended = waitpid(Some(process), WaitOptions::empty());
    ended.ok().flatten().and_then(|(_, status)| status.exit_status()) == Some(0)
}

fn pipe() -> (File, File) {
    let (from, to): (OwnedFd, OwnedFd) = rustix::pipe::pipe().unwrap();
    (from.into(), to.into())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Splits this process: none in the new one, its number in the old one.
fn split_process() -> Option<Pid> {
    // SAFETY: whoever else lives in this process waits for this thread and holds nothing (`stand_alone` counts them).
    #[allow(unsafe_code, reason = "no crate in the tree splits a process safely; why this is, stands above")]
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no process could be made: {}", io::Error::last_os_error());
    Pid::from_raw(pid)
}

/// Fails where other threads work in this process: what they hold while it splits, nobody would ever give back in the new one.
fn stand_alone() {
    let threads = std::fs::read_dir(Path::new("/proc/self/task")).unwrap().count();
    assert!(threads <= 2, "{threads} threads are at work in this process: play one lane at a time, as ./hack/test does");
}

/// The promise that all lanes of branches rest on.
#[test]
fn a_branch_tells_what_its_world_tells_when_it_is_played_by_itself() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: 70_000, ..Setting::of(1) });
    let whole: Vec<Outcome> = scenarios.iter().map(|scenario| play_one(scenario, &setting)).collect();
    let faults = |at: usize| {
        let Counts { writes, appends, events, requests, .. } = whole[at].counts;
        let crash = Crash { point: Point::Write, number: writes.div_ceil(2), phase: Phase::ALL[at % 3] };
        vec![
            Fault::Crash(crash),
            Fault::Append(appends.div_ceil(2), JournalFault::Refused),
            Fault::Request(requests.div_ceil(2), ApiFault::ALL[at % 14]),
            Fault::Event(events.div_ceil(2), WatchFault::ALL[at % 4]),
        ]
    };
    let trunks = trunks(&scenarios, &setting, faults);
    let wrong = branches(&trunks, |at, fault, branch| {
        let alone = play_one(&scenarios[at], &with(&setting, fault));
        let same = alone.tale == branch.tale && alone.end == branch.end && alone.wrong == branch.wrong && alone.counts == branch.counts;
        (!same).then(|| format!("{}, {fault}:\n{}\ninstead of\n{}", scenarios[at].name, branch.tale.join("\n"), alone.tale.join("\n")))
    });
    hold("branches", count(&trunks), &wrong);
}

fn with(setting: &Setting, fault: &Fault) -> Setting {
    let mut setting = setting.clone();
    match fault {
        Fault::Crash(crash) => setting.crashes.push(*crash),
        Fault::Append(number, fault) => setting.journal.push((*number, *fault)),
        Fault::Request(number, fault) => setting.requests.push((*number, *fault)),
        Fault::Event(number, fault) => setting.events.push((*number, *fault)),
        Fault::Lag(lag) => setting.lag = *lag,
        Fault::Refusal(refusal) => setting.refusals.push(refusal.clone()),
    }
    setting
}
