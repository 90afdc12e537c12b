//! Worlds that differ in one fault, played as branches of one: up to its fault each is the same world, so the process that plays that splits in
//! two there, and one of the two has the fault. A branch costs what comes after its fault.
//!
//! Each core has a process with one thread, in which nothing is held by anybody else while it splits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reeve_sim::world::{ApiFault, Branches, Counts, Crash, Fault, JournalFault, Outcome, Phase, Point, Scenario, Setting, WatchFault};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, set_parent_process_death_signal, waitpid};

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
    // The longest first, so that no process is left with a long one at the end.
    let mut order: Vec<usize> = (0..trunks.len()).collect();
    order.sort_by_key(|trunk| std::cmp::Reverse(trunks[*trunk].faults.len()));
    let (work, mut queue) = pipe();
    order.iter().for_each(|trunk| queue.write_all(&u16::try_from(*trunk).unwrap().to_le_bytes()).unwrap());
    drop(queue);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let players: Vec<(Pid, File)> = (0..cores).map(|_| beside(|to| player(trunks, &judge, &work, to))).collect();
    let ended: Vec<(Vec<u8>, Result<(), String>)> = players.into_iter().map(|(player, says)| heard(player, says)).collect();
    let mut found: Vec<(usize, usize, Option<String>)> = Vec::new();
    for (said, well) in ended {
        assert_eq!(well, Ok(()), "a process that played worlds did not end well");
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
        if of.faults.is_empty() {
            continue;
        }
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
    let (its, told, name) = (Arc::clone(&taken), Arc::clone(&found), of.scenario.name.clone());
    let split = move |fault: &Fault| {
        let (from, to) = pipe();
        let Some(branch) = split_process(1) else {
            *lock(&its) = Some((fault.clone(), to));
            return true;
        };
        drop(to);
        let wrong = match heard(branch, from) {
            (said, Ok(())) => serde_json::from_slice(&said).unwrap(),
            (_, Err(how)) => Some(format!("{name}, {fault}: its process {how}")),
        };
        lock(&told).push((fault.clone(), wrong));
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

/// What a process says until it ends, and how it ended, if not well.
fn heard(process: Pid, mut from: File) -> (Vec<u8>, Result<(), String>) {
    let mut said = Vec::new();
    from.read_to_end(&mut said).unwrap();
    let (_, status) = waitpid(Some(process), WaitOptions::empty()).unwrap().unwrap();
    (said, if status.exit_status() == Some(0) { Ok(()) } else { Err(format!("ended with {status:?}")) })
}

/// Does something in a process of its own, which tells into a file.
fn beside(act: impl FnOnce(File)) -> (Pid, File) {
    let (from, to) = pipe();
    // One waits for the test to end and one plays it.
    match split_process(2) {
        Some(other) => (other, from),
        None => {
            drop(from);
            let done = catch_unwind(AssertUnwindSafe(|| act(to)));
            std::process::exit(i32::from(done.is_err()))
        }
    }
}

fn pipe() -> (File, File) {
    let (from, to): (OwnedFd, OwnedFd) = rustix::pipe::pipe().unwrap();
    (from.into(), to.into())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Splits this process, in which so many threads live at most: none in the new one, its number in the old one. The new one ends with the old.
fn split_process(threads: usize) -> Option<Pid> {
    stand_alone(threads);
    let old = getpid();
    // SAFETY: only this thread goes on in the new process. Just now it was the only one of the old one, or there was one more, that of the
    // test harness, which waits for this one to end the test. So nothing is held that nobody gives back.
    #[allow(unsafe_code, reason = "no crate in the tree splits a process safely; why this is, stands above")]
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no process could be made: {}", io::Error::last_os_error());
    let new = Pid::from_raw(pid);
    if new.is_none() {
        set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
        assert_eq!(getppid(), Some(old), "the old one has ended");
    }
    new
}

/// Fails where other threads work in this process: what they hold while it splits, nobody would ever give back in the new one.
fn stand_alone(most: usize) {
    // One that was joined may be on its way out of the kernel's list.
    const PATIENCE: Duration = Duration::from_secs(5);
    let began = Instant::now();
    loop {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        if threads <= most {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{threads} threads are at work in this process: play one lane at a time, as ./hack/test does");
        std::thread::yield_now();
    }
}

/// The promise that all lanes of branches rest on. Lines of a tale that stand side by side may change places: which of two messages that are
/// there at the same moment a stream to a sandbox takes first, rmcp draws by itself.
#[test]
fn a_branch_tells_what_its_world_tells_when_it_is_played_by_itself() {
    let (scenarios, setting) = (scenarios(), Setting { quiet_ms: 70_000, ..Setting::of(1) });
    let whole: Vec<Outcome> = scenarios.iter().map(|scenario| play_one(scenario, &setting)).collect();
    let faults = |at: usize| {
        let Counts { writes, appends, effects, events, requests } = whole[at].counts;
        let crash = |point, number: u64, turn: usize| {
            Fault::Crash(Crash { point, number: number.div_ceil(2), phase: Phase::ALL[(at + turn) % Phase::ALL.len()] })
        };
        let mut faults = vec![
            crash(Point::Write, writes, 0),
            crash(Point::Append, appends, 1),
            Fault::Append(appends.div_ceil(2), JournalFault::Refused),
            Fault::Request(requests.div_ceil(2), ApiFault::ALL[at % ApiFault::ALL.len()]),
            Fault::Event(events.div_ceil(2), WatchFault::ALL[at % WatchFault::ALL.len()]),
        ];
        faults.extend((effects > 0).then(|| crash(Point::Effect, effects, 2)));
        faults
    };
    let trunks = trunks(&scenarios, &setting, faults);
    let wrong = branches(&trunks, |at, fault, branch| {
        let (branch, alone) = (in_any_order(branch.clone()), in_any_order(play_one(&scenarios[at], &with(&setting, fault))));
        (alone != branch).then(|| format!("{}, {fault}:\n{branch:#?}\ninstead of\n{alone:#?}", scenarios[at].name))
    });
    hold("branches", count(&trunks), &wrong);
}

fn in_any_order(outcome: Outcome) -> Outcome {
    let mut tale = outcome.tale;
    tale.sort();
    Outcome { tale, ..outcome }
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
