//! Every interleaving of reserving, spending, crashing and settling over one account, by the rules of [`Ledger`] itself.
//!
//! Three runs reserve before they spend. Any of them may crash at any moment, and then does not know whether what it reserved for was sent;
//! a limit is lowered meanwhile. Each rule is also broken, and the model must then find the world in which it is missed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hash::{Hash, Hasher};

use reeve_core::budget::{Amounts, Dimension, Limits};
use reeve_core::journal::{BudgetLimited, BudgetReserved, BudgetSettled};
use stateright::{Checker, Model, Property};

use super::{Ledger, Posting};

const RUNS: usize = 3;
const ACCOUNT: &str = "team/daily";
const LIMIT: u64 = 5;
/// What it is lowered to while runs spend.
const LOWER: u64 = 3;
/// What a request may cost. It costs 1 or all of it.
const WISH: u64 = 2;
/// Requests of one run.
const REQUESTS: u8 = 2;

const NEVER_OVER: &str = "nothing is reserved past the limit that holds";
const ALL_CHARGED: &str = "everything that was spent is charged or still reserved for";
const HELD: &str = "an account holds what its open reservations hold";

/// A rule, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// Judged by a copy of the account that is read before the transaction.
    JudgedByACopy,
    /// Given back after a crash: it may have been spent.
    GivenBackAfterACrash,
    /// Spent, then reserved.
    SpentFirst,
    /// Settled twice.
    SettledTwice,
}

#[derive(Clone, Debug)]
struct Account {
    broken: Option<Broken>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    ledger: Ledger,
    lowered: bool,
    runs: [Run; RUNS],
    spent: u64,
    /// Something was let in over the limit that held.
    over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    number: u8,
    at: At,
    /// The account as last read.
    copy: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Reserved,
    Spent(u64),
    /// Knows only that something is reserved.
    Crashed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Read(usize),
    Reserve(usize),
    Spend(usize, u64),
    Crash(usize),
    Settle(usize),
    Lower,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Amounts and limits are plain numbers; their text tells them apart as well as their fields would.
        format!("{:?}", self.ledger).hash(state);
        (self.lowered, &self.runs, self.spent, self.over).hash(state);
    }
}

fn tokens(tokens: u64) -> Amounts {
    Amounts { tokens, ..Amounts::default() }
}

fn limited(tokens: u64) -> Posting {
    let limits = Some(Limits { tokens: Some(tokens), ..Limits::default() });
    Posting::Limited(BudgetLimited { account: ACCOUNT.to_owned(), uid: "u".to_owned(), generation: 1, limits })
}

fn reserved(key: &str) -> Posting {
    Posting::Reserved(BudgetReserved { account: ACCOUNT.to_owned(), key: key.to_owned(), amounts: tokens(WISH) })
}

fn settled(key: &str, used: u64, in_full: bool) -> Posting {
    Posting::Settled(BudgetSettled { account: ACCOUNT.to_owned(), key: key.to_owned(), used: tokens(used), in_full })
}

fn taken(ledger: &Ledger) -> u64 {
    ledger.accounts.get(ACCOUNT).map_or(0, |balance| balance.used.of(Dimension::Tokens) + balance.reserved.of(Dimension::Tokens))
}

impl Account {
    fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// Whether the ledger took the reservation. A judge that looks at a copy lets in what the copy has room for.
    fn reserve(&self, world: &mut World, run: usize, key: &str) -> bool {
        let limit = if world.lowered { LOWER } else { LIMIT };
        let let_in = if self.is(Broken::JudgedByACopy) {
            let room = world.runs[run].copy.is_some_and(|taken| taken + WISH <= limit);
            // Past the judge, the ledger's sums are the same: only its limit is not asked.
            room && world.ledger.post(&limited(u64::MAX)).and_then(|()| world.ledger.post(&reserved(key))).is_ok()
        } else {
            world.ledger.post(&reserved(key)).is_ok()
        };
        if self.is(Broken::JudgedByACopy) {
            world.ledger.post(&limited(limit)).unwrap();
        }
        world.over |= let_in && taken(&world.ledger) > limit;
        let_in
    }

    fn settle(&self, world: &mut World, run: usize, key: &str) {
        let posting = match world.runs[run].at {
            At::Spent(used) => settled(key, used, false),
            At::Crashed if self.is(Broken::GivenBackAfterACrash) => settled(key, 0, false),
            At::Crashed => settled(key, WISH, true),
            At::Idle | At::Reserved => unreachable!("nothing to settle"),
        };
        if let Err(refused) = world.ledger.post(&posting) {
            assert!(self.is(Broken::SettledTwice), "{refused}");
            return;
        }
        let again = world.ledger.clone().post(&posting).is_ok();
        if self.is(Broken::SettledTwice) {
            let balance = world.ledger.accounts.get_mut(ACCOUNT).unwrap();
            balance.reserved = balance.reserved.minus(&tokens(WISH)).unwrap_or_default();
        }
        assert!(!again, "a key is settled once");
    }
}

impl Model for Account {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut ledger = Ledger::default();
        ledger.post(&limited(LIMIT)).unwrap();
        let run = Run { number: 0, at: At::Idle, copy: None };
        vec![World { ledger, lowered: false, runs: [run.clone(), run.clone(), run], spent: 0, over: false }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if !world.lowered {
            acts.push(Act::Lower);
        }
        for (number, run) in world.runs.iter().enumerate() {
            match run.at {
                At::Idle if run.number < REQUESTS => {
                    if self.is(Broken::JudgedByACopy) {
                        acts.push(Act::Read(number));
                    }
                    if self.is(Broken::SpentFirst) {
                        acts.push(Act::Spend(number, WISH));
                    }
                    acts.push(Act::Reserve(number));
                }
                At::Idle => {}
                At::Reserved => acts.extend([Act::Spend(number, 1), Act::Spend(number, WISH), Act::Crash(number)]),
                At::Spent(_) => acts.extend([Act::Settle(number), Act::Crash(number)]),
                At::Crashed => acts.push(Act::Settle(number)),
            }
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        match act {
            Act::Lower => {
                next.ledger.post(&limited(LOWER)).unwrap();
                next.lowered = true;
            }
            Act::Read(run) => next.runs[run].copy = Some(taken(&world.ledger)),
            Act::Reserve(run) => {
                let key = format!("{run}/{}", world.runs[run].number);
                if self.reserve(&mut next, run, &key) {
                    next.runs[run].at = At::Reserved;
                    let again = next.ledger.clone().post(&reserved(&key)).is_ok();
                    assert!(!again, "a key is reserved once");
                }
            }
            Act::Spend(run, tokens) => {
                next.spent += tokens;
                next.runs[run].at = if self.is(Broken::SpentFirst) { At::Idle } else { At::Spent(tokens) };
                next.runs[run].number += u8::from(self.is(Broken::SpentFirst));
            }
            Act::Crash(run) => next.runs[run].at = At::Crashed,
            Act::Settle(run) => {
                let key = format!("{run}/{}", world.runs[run].number);
                self.settle(&mut next, run, &key);
                next.runs[run] = Run { number: world.runs[run].number + 1, at: At::Idle, copy: None };
            }
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Account>> {
        vec![
            Property::always(NEVER_OVER, |_, world: &World| !world.over),
            Property::always(ALL_CHARGED, |_, world: &World| world.spent <= taken(&world.ledger)),
            Property::always(HELD, |_, world: &World| {
                let open: u64 = world.ledger.open.values().map(|held| held.amounts.of(Dimension::Tokens)).sum();
                world.ledger.accounts[ACCOUNT].reserved.of(Dimension::Tokens) == open
            }),
        ]
    }
}

#[test]
fn no_interleaving_overdraws_an_account_or_loses_what_was_spent() {
    let checked = Account { broken: None }.checker().spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 1_000, "only {} worlds", checked.unique_state_count());
}

/// A model that finds nothing when a rule is broken proves nothing by finding nothing when it holds.
#[test]
fn each_rule_is_missed_when_it_is_broken() {
    let table = [
        (Broken::JudgedByACopy, NEVER_OVER),
        (Broken::GivenBackAfterACrash, ALL_CHARGED),
        (Broken::SpentFirst, ALL_CHARGED),
        (Broken::SettledTwice, HELD),
    ];
    for (broken, promise) in table {
        let found = Account { broken: Some(broken) }.checker().target_max_depth(9).spawn_bfs().join();
        assert!(found.discovery(promise).is_some(), "with {broken:?}, `{promise}` still holds");
    }
}
