//! Every interleaving of three operators that want one Lease, one journal and one sandbox.
//!
//! What decides is what decides in production: [`decide`], [`vouched_until`], [`may_claim`], [`Record::same_leadership`] and
//! [`Epoch::is_fenced_by`] (the journal's and the sandbox's rule). The model gives them a world that pauses anyone for any time, loses
//! answers, kills a process, deletes the Lease, and has clocks 30 s apart. Each rule is also taken out, and must then be missed.

use std::time::Duration;

use jiff::Timestamp;
use reeve_core::journal::Epoch;
use stateright::{Checker as _, Model, Property};
use tokio::time::Instant;

use super::LeaseConfig;
use super::rules::{Action as Decision, Record, Seen, decide, may_claim, vouched_until};

const PROCESSES: usize = 3;
const NAMES: [&str; PROCESSES] = ["pod-a", "pod-b", "pod-c"];
/// How far each one's clock is off, seconds.
const SKEW: [i64; PROCESSES] = [-30, 0, 30];
const MOST_WRITES: u8 = 3;

const FENCED: &str = "after a newer epoch the journal takes no row and the sandbox no call of an older leader";
const ONE_EPOCH: &str = "an epoch is one process's alone";
const ONE_IN_FLIGHT: &str = "at most one model request of an older leader still leaves";
const CHARGED: &str = "every model request that left is reserved for";
const ALONE: &str = "while a holder may vouch for itself nobody else may";
const SOMEONE_LEADS: &str = "someone leads soon after the faults end";

/// A rule of Reeve, to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    JournalEpoch,
    SandboxEpoch,
    ResourceVersion,
    Claim,
    Patience,
    CountedFromAsked,
    IntentFirst,
    TakesTheSilent,
}

#[derive(Clone, Debug)]
struct Leadership {
    without: Option<Rule>,
    /// The Lease may be deleted, once. Only the epoch then holds: the times prove nothing about a Lease that is gone.
    deletion: bool,
    /// How many of the processes do anything.
    active: usize,
    /// Whether to ask of each world if someone leads soon: dear, so with fewer worlds.
    liveness: bool,
    start: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    lease: Option<Kept>,
    /// Writes of the Lease so far: the server's resourceVersion.
    writes: u8,
    /// So that histories end. A third leader, a deletion and renewals between fit.
    most_writes: u8,
    deleted: bool,
    crashed: bool,
    journal: Rows,
    sandbox: Epoch,
    processes: [Process; PROCESSES],
    /// What must never happen and did.
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    record: Record,
    version: u8,
}

/// The journal, as far as it fences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rows {
    highest: Epoch0,
    /// Who wrote under the highest epoch first.
    owner: Option<usize>,
    /// Rows of the operator's stream: each claim is one.
    own_head: u8,
    reserved: u8,
    sent: u8,
}

/// An epoch that begins at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Epoch0(u64);

impl From<Epoch0> for Epoch {
    fn from(epoch: Epoch0) -> Epoch {
        Epoch(epoch.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Process {
    /// Wants the Lease.
    Waits { floor: u64, seen: Option<Record>, silent: u8, read: Option<u8>, looked: bool, asked: Option<Request> },
    /// Has it, as far as it knows.
    Leads(Lead),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lead {
    epoch: Epoch,
    record: Record,
    version: u8,
    /// Seconds until it must give up.
    good_for: u8,
    asked: Option<Request>,
    work: Work,
    /// Model requests that left after a newer epoch's first row.
    late: u8,
}

/// A PUT of the Lease whose answer is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    /// Seconds since it was sent.
    age: u8,
    record: Record,
    /// The version written; None for a conflict.
    written: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// The epoch is not claimed yet.
    Unclaimed,
    /// The head of the operator's stream was read,
    Read {
        head: u8,
    },
    /// and after it, that no such epoch was there.
    Claiming {
        head: u8,
    },
    Idle,
    /// An intent is durable.
    Intended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A second passes for everyone, at work or paused.
    Second,
    Look(usize),
    Ask(usize),
    Answer(usize),
    LoseAnswer(usize),
    GiveUp(usize),
    ReadHead(usize),
    ReadHighest(usize),
    Claim(usize),
    Intend(usize),
    AskModel(usize),
    CallTool(usize),
    Crash(usize),
    DeleteLease,
}

fn config(process: usize) -> LeaseConfig {
    LeaseConfig {
        duration: Duration::from_secs(2),
        renew_deadline: Duration::from_secs(1),
        retry_period: Duration::from_millis(500),
        ..LeaseConfig::new("reeve", "reeve-operator", NAMES[process])
    }
}

fn waits(floor: u64) -> Process {
    Process::Waits { floor, seen: None, silent: 0, read: None, looked: false, asked: None }
}

impl Process {
    fn asked(&self) -> Option<&Request> {
        let (Process::Waits { asked, .. } | Process::Leads(Lead { asked, .. })) = self;
        asked.as_ref()
    }

    fn asked_mut(&mut self) -> &mut Option<Request> {
        let (Process::Waits { asked, .. } | Process::Leads(Lead { asked, .. })) = self;
        asked
    }
}

impl Leadership {
    fn with_everything() -> Leadership {
        Leadership { without: None, deletion: true, active: PROCESSES, liveness: false, start: Instant::now() }
    }

    fn without(rule: Rule) -> Leadership {
        Leadership { without: Some(rule), active: 2, deletion: rule == Rule::Claim, ..Leadership::with_everything() }
    }

    fn lacks(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    fn at(&self, seconds: u8) -> Instant {
        self.start + Duration::from_secs(seconds.into())
    }

    /// What this process's decision makes it write, if anything.
    fn wanted(&self, world: &World, process: usize) -> Option<(Option<u8>, Record)> {
        let record = |epoch| Record {
            holder: Some(NAMES[process].to_owned()),
            transitions: epoch,
            renewed: Timestamp::from_second(i64::from(world.writes) + SKEW[process]).ok(),
            duration: Some(config(process).duration),
        };
        match &world.processes[process] {
            Process::Leads(lead) => Some((Some(lead.version), record(lead.epoch.0))),
            Process::Waits { looked: false, .. } => None,
            Process::Waits { floor, seen, silent, read, .. } => {
                let silent = match self.without {
                    Some(Rule::Patience) => u8::MAX,
                    Some(Rule::TakesTheSilent) => 0,
                    Some(_) | None => *silent,
                };
                let seen = Seen { record: seen.clone(), since: self.start };
                match decide(self.at(silent), &seen, *floor, &config(process)) {
                    Decision::Create { epoch } => Some((None, record(epoch))),
                    Decision::Take { epoch } => Some((*read, record(epoch))),
                    Decision::Wait(_) => None,
                }
            }
        }
    }

    /// The API server: a PUT by another resourceVersion than the one that is there conflicts.
    fn put(&self, world: &mut World, version: Option<u8>, record: &Record) -> Option<u8> {
        let current = world.lease.as_ref().map(|kept| kept.version);
        (current == version || self.lacks(Rule::ResourceVersion)).then(|| {
            world.writes += 1;
            world.lease = Some(Kept { record: record.clone(), version: world.writes });
            world.writes
        })
    }

    fn answered(&self, world: &World, process: usize, request: Request) -> Process {
        let counted = if self.lacks(Rule::CountedFromAsked) { 0 } else { request.age };
        let good = vouched_until(self.start, &config(process)).saturating_duration_since(self.at(counted)).as_secs();
        let good_for = u8::try_from(good).unwrap_or(u8::MAX);
        match (&world.processes[process], request.written) {
            (Process::Waits { .. }, Some(version)) => Process::Leads(Lead {
                epoch: Epoch(request.record.transitions),
                record: request.record,
                version,
                good_for,
                asked: None,
                work: Work::Unclaimed,
                late: 0,
            }),
            (Process::Leads(lead), Some(version)) => {
                Process::Leads(Lead { record: request.record, version, good_for, asked: None, ..lead.clone() })
            }
            (Process::Waits { floor, .. }, None) => waits(*floor),
            // A conflict: only whose leadership it is counts.
            (Process::Leads(lead), None) => match &world.lease {
                Some(kept) if kept.record.same_leadership(&lead.record) => {
                    Process::Leads(Lead { version: kept.version, asked: None, ..lead.clone() })
                }
                Some(_) | None => waits(world.journal.highest.0),
            },
        }
    }

    /// The journal: takes a row, or says that the writer is fenced.
    fn row(&self, world: &mut World, process: usize, epoch: Epoch) -> bool {
        if epoch.is_fenced_by(world.journal.highest.into()) && !self.lacks(Rule::JournalEpoch) {
            return false;
        }
        if epoch > world.journal.highest.into() {
            (world.journal.highest, world.journal.owner) = (Epoch0(epoch.0), Some(process));
        } else if epoch < world.journal.highest.into() {
            world.broken = Some(FENCED);
        } else if world.journal.owner != Some(process) {
            world.broken = Some(ONE_EPOCH);
        }
        true
    }

    /// The sandbox: whoever calls has said hello on its line.
    fn call(&self, world: &mut World, epoch: Epoch) {
        if !epoch.is_fenced_by(world.sandbox) {
            world.sandbox = epoch;
        } else if self.lacks(Rule::SandboxEpoch) {
            world.broken = Some(FENCED);
        }
    }

    /// What a leader does next, and what becomes of it.
    fn work(&self, world: &mut World, process: usize, mut lead: Lead, act: Act) -> Process {
        let highest = Epoch::from(world.journal.highest);
        match (act, lead.work) {
            (Act::ReadHead(_), _) => lead.work = Work::Read { head: world.journal.own_head },
            (Act::ReadHighest(_), Work::Read { head }) if may_claim(lead.epoch, highest) || self.lacks(Rule::Claim) => {
                lead.work = Work::Claiming { head };
            }
            (Act::ReadHighest(_), _) => return waits(highest.0),
            (Act::Claim(_), Work::Claiming { head }) if head == world.journal.own_head || self.lacks(Rule::Claim) => {
                if !self.row(world, process, lead.epoch) {
                    return waits(highest.0);
                }
                world.journal.own_head += 1;
                lead.work = Work::Idle;
            }
            // Somebody else's row came first: look again.
            (Act::Claim(_), _) => lead.work = Work::Unclaimed,
            (Act::Intend(_), _) => {
                if !self.row(world, process, lead.epoch) {
                    return waits(highest.0);
                }
                world.journal.reserved += 1;
                lead.work = Work::Intended;
            }
            (Act::AskModel(_), _) => {
                world.journal.sent += 1;
                lead.late += u8::from(lead.epoch < highest);
                lead.work = Work::Idle;
            }
            (Act::CallTool(_), _) => {
                self.call(world, lead.epoch);
                lead.work = Work::Idle;
            }
            (other, work) => unreachable!("{other:?} while {work:?}"),
        }
        Process::Leads(lead)
    }

    /// From here on nothing goes wrong and nobody is paused, but one may be gone for ever: does another lead, within the time of one Lease
    /// and a few requests?
    fn someone_leads_soon(&self, world: &World) -> bool {
        (0..=PROCESSES).all(|gone| self.another_leads_soon(world, gone))
    }

    fn another_leads_soon(&self, world: &World, gone: usize) -> bool {
        let mut world = World { most_writes: u8::MAX, ..world.clone() };
        for process in &mut world.processes {
            *process.asked_mut() = None;
        }
        for _ in 0..6 {
            for process in (0..PROCESSES).filter(|process| *process != gone) {
                for act in
                    [Act::GiveUp, Act::Look, Act::Ask, Act::Answer, Act::ReadHead, Act::ReadHighest, Act::Claim].map(|act| act(process))
                {
                    let mut acts = Vec::new();
                    self.actions(&world, &mut acts);
                    if acts.contains(&act) {
                        world = self.next_state(&world, act).unwrap_or(world);
                    }
                }
            }
            let leads =
                |process: &Process| matches!(process, Process::Leads(Lead { work: Work::Idle | Work::Intended, good_for: 1.., .. }));
            if world.processes.iter().enumerate().any(|(number, process)| number != gone && leads(process)) {
                return true;
            }
            world = self.next_state(&world, Act::Second).unwrap_or(world);
        }
        false
    }
}

impl Model for Leadership {
    type State = World;
    type Action = Act;

    /// Nobody ever led; and the first of them does, with its epoch claimed.
    fn init_states(&self) -> Vec<World> {
        let nobody = World {
            lease: None,
            writes: 0,
            most_writes: MOST_WRITES,
            deleted: false,
            crashed: false,
            journal: Rows::default(),
            sandbox: Epoch(0),
            processes: [waits(0), waits(0), waits(0)],
            broken: None,
        };
        let first = [Act::Look(0), Act::Ask(0), Act::Answer(0), Act::ReadHead(0), Act::ReadHighest(0), Act::Claim(0)];
        let take = |world: World, act| self.next_state(&world, act).unwrap_or(world);
        vec![nobody.clone(), first.into_iter().fold(nobody, take)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.push(Act::Second);
        if self.deletion && !world.deleted && world.lease.is_some() {
            acts.push(Act::DeleteLease);
        }
        for (number, process) in world.processes.iter().enumerate().take(self.active) {
            match process.asked() {
                Some(_) => acts.extend([Act::Answer(number), Act::LoseAnswer(number)]),
                None if world.writes < world.most_writes && self.wanted(world, number).is_some() => acts.push(Act::Ask(number)),
                None => {}
            }
            match process {
                Process::Waits { .. } => acts.push(Act::Look(number)),
                Process::Leads(lead) => {
                    if lead.good_for == 0 {
                        acts.push(Act::GiveUp(number));
                    }
                    match lead.work {
                        Work::Unclaimed => acts.push(Act::ReadHead(number)),
                        Work::Read { .. } => acts.push(Act::ReadHighest(number)),
                        Work::Claiming { .. } => acts.push(Act::Claim(number)),
                        Work::Idle if self.lacks(Rule::IntentFirst) => acts.push(Act::AskModel(number)),
                        Work::Idle if world.journal.reserved < 2 => acts.push(Act::Intend(number)),
                        Work::Idle => {}
                        Work::Intended => acts.extend([Act::AskModel(number), Act::CallTool(number)]),
                    }
                    if !world.crashed && self.without.is_none() {
                        acts.push(Act::Crash(number));
                    }
                }
            }
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        match act {
            Act::Second => second(&mut next),
            Act::DeleteLease => (next.lease, next.deleted) = (None, true),
            Act::Look(process) => {
                let Process::Waits { seen, silent, read, looked, .. } = &mut next.processes[process] else { return None };
                let found = next.lease.as_ref().map(|kept| kept.record.clone());
                let mut known = Seen { record: seen.clone(), since: self.start };
                known.observe(self.at(*silent), found);
                if *seen != known.record || !*looked {
                    (*seen, *silent) = (known.record, 0);
                }
                (*read, *looked) = (next.lease.as_ref().map(|kept| kept.version), true);
            }
            Act::Ask(process) => {
                let (version, record) = self.wanted(world, process)?;
                let written = self.put(&mut next, version, &record);
                *next.processes[process].asked_mut() = Some(Request { age: 0, record, written });
            }
            Act::Answer(process) => {
                let request = next.processes[process].asked_mut().take()?;
                next.processes[process] = self.answered(world, process, request);
            }
            Act::LoseAnswer(process) => {
                *next.processes[process].asked_mut() = None;
            }
            Act::GiveUp(process) => next.processes[process] = waits(world.journal.highest.0),
            Act::Crash(process) => {
                next.crashed = true;
                next.processes[process] = waits(world.journal.highest.0);
            }
            Act::ReadHead(process)
            | Act::ReadHighest(process)
            | Act::Claim(process)
            | Act::Intend(process)
            | Act::AskModel(process)
            | Act::CallTool(process) => {
                let Process::Leads(lead) = world.processes[process].clone() else { return None };
                next.processes[process] = self.work(&mut next, process, lead, act);
            }
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Leadership>> {
        vec![
            Property::always(FENCED, |_, world: &World| world.broken != Some(FENCED)),
            Property::always(ONE_EPOCH, |_, world: &World| world.broken != Some(ONE_EPOCH)),
            Property::always(ONE_IN_FLIGHT, |_, world: &World| {
                world.processes.iter().all(|process| matches!(process, Process::Waits { .. } | Process::Leads(Lead { late: ..=1, .. })))
            }),
            Property::always(CHARGED, |_, world: &World| world.journal.sent <= world.journal.reserved),
            Property::always(ALONE, |_, world: &World| {
                let vouches = |process: &&Process| matches!(process, Process::Leads(Lead { good_for: 1.., .. }));
                world.deleted || world.processes.iter().filter(vouches).count() <= 1
            }),
            Property::always(SOMEONE_LEADS, |model: &Leadership, world| !model.liveness || model.someone_leads_soon(world)),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.broken.is_none() || self.without.is_some()
    }
}

/// Monotonic clocks advance, also of whoever is paused. What has passed its bound stays there, so that worlds are finitely many.
fn second(world: &mut World) {
    for process in &mut world.processes {
        match process {
            Process::Waits { silent, asked, .. } => {
                *silent = (*silent + 1).min(2);
                age(asked);
            }
            Process::Leads(lead) => {
                lead.good_for = lead.good_for.saturating_sub(1);
                age(&mut lead.asked);
            }
        }
    }
}

fn age(request: &mut Option<Request>) {
    if let Some(request) = request {
        request.age = (request.age + 1).min(2);
    }
}

/// Looks at every history of up to so many acts.
fn explored(model: Leadership, acts: usize) -> impl stateright::Checker<Leadership> {
    // The first state is counted too, and what lies at the bound is not looked at.
    model.checker().threads(2).target_max_depth(acts + 2).spawn_bfs().join()
}

#[test]
fn every_interleaving_of_three_operators_keeps_the_promises() {
    explored(Leadership::with_everything(), 8).assert_properties();
}

#[test]
fn every_longer_interleaving_of_two_operators_keeps_the_promises() {
    explored(Leadership { active: 2, ..Leadership::with_everything() }, 10).assert_properties();
}

#[test]
fn whatever_happened_someone_leads_soon_after() {
    explored(Leadership { liveness: true, ..Leadership::with_everything() }, 6).assert_properties();
}

/// A model that finds nothing when a rule is gone proves nothing by finding nothing when it is there.
#[test]
fn each_rule_is_missed_when_it_is_taken_out() {
    let table = [
        (Rule::JournalEpoch, FENCED, 10),
        (Rule::JournalEpoch, ONE_IN_FLIGHT, 12),
        (Rule::SandboxEpoch, FENCED, 12),
        (Rule::ResourceVersion, ALONE, 10),
        (Rule::Claim, ONE_EPOCH, 11),
        (Rule::Patience, ALONE, 10),
        (Rule::CountedFromAsked, ALONE, 10),
        (Rule::IntentFirst, CHARGED, 10),
    ];
    for (rule, promise, acts) in table {
        let found = explored(Leadership::without(rule), acts).discovery(promise);
        assert!(found.is_some(), "without {rule:?}, `{promise}` still holds");
    }
    let nobody_dares = Leadership { liveness: true, ..Leadership::without(Rule::TakesTheSilent) };
    assert!(explored(nobody_dares, 2).discovery(SOMEONE_LEADS).is_some(), "whoever takes no silent Lease leads all the same");
}
