//! What a restart keeps.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use reeve_trading::account::Account;
use reeve_trading::event::{MarketEvent, MarketStatus, Quote};
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::risk::*;
use reeve_trading::time::{NS_PER_DAY, Time};
use serde_json::{Value, json};

use crate::world::{AT, NOON, World, buy, key, limits_spec, money, sell, universe};

/// A file, as far as latches are concerned.
#[derive(Clone, Debug, Default)]
struct OnePage {
    text: Rc<RefCell<Option<String>>>,
    broken: Rc<RefCell<bool>>,
}

impl LatchStore for OnePage {
    fn load(&self, key: &LatchKey) -> Result<Option<Latches>, LatchError> {
        self.text.borrow().as_ref().map(|text| Latches::from_text(key, text)).transpose()
    }

    fn save(&mut self, key: &LatchKey, latches: &Latches) -> Result<(), LatchError> {
        if *self.broken.borrow() {
            return Err(LatchError { key: key.clone(), why: "the disk is full".to_owned() });
        }
        *self.text.borrow_mut() = Some(latches.to_text(key));
        Ok(())
    }
}

struct Running {
    account: Account,
    guard: Guard<OnePage>,
}

/// A process with so much cash, on what an earlier one left.
fn start(page: &OnePage, cash: &str, now: Time, changes: Value) -> Running {
    let universe = Arc::new(universe());
    let limits = Limits::compile(&limits_spec(changes), &universe).unwrap();
    let mut account = Account::new(universe, limits.market_rules(), money(cash)).unwrap();
    let guard = Guard::start(GuardStart { key: key(), epoch: 2, now }, limits, &account, Inputs::of_backtest(), page.clone());
    account.market_event(now, AT, &MarketEvent::Status(MarketStatus::Trading)).unwrap();
    let quote = Quote { bid: Price(10_000), bid_qty: Qty(9), ask: Price(10_002), ask_qty: Qty(9) };
    account.market_event(now, AT, &MarketEvent::Quote(quote)).unwrap();
    Running { account, guard }
}

impl Running {
    fn ask(&mut self, now: Time) -> Option<Code> {
        self.guard.admit(&mut self.account, now, &buy(1, 1), &mut Vec::new()).err().map(|denial| denial.code)
    }
}

#[test]
fn a_restart_keeps_the_highest_equity_and_trips_on_it() {
    let page = OnePage::default();
    let mut first = start(&page, "1000000", NOON, json!({}));
    first.guard.on_equity(NOON, &first.account);
    assert_eq!(first.ask(NOON), None);
    // The next process comes up with a fifth less.
    let mut second = start(&page, "800000", NOON, json!({ "maxDailyLossBps": 500 }));
    assert_eq!(second.guard.latches().high_water, Money::whole(1_000_000));
    assert!(matches!(second.guard.on_equity(NOON, &second.account), Trip::Halt(_)));
    assert_eq!(second.ask(NOON), Some(Code::Drawdown));
    // A third one has all of it back and stays halted until a person says otherwise.
    let mut third = start(&page, "1000000", NOON, json!({}));
    assert_eq!((third.guard.state(), third.ask(NOON)), (State::Halted(Code::Drawdown), Some(Code::Drawdown)));
    assert!(third.guard.let_go_on(NOON, " ").is_err(), "a person has a name");
    third.guard.let_go_on(NOON, "alice").unwrap();
    assert_eq!(third.ask(NOON), None);
    assert_eq!(start(&page, "1000000", NOON, json!({})).guard.state(), State::Active);
}

#[test]
fn letting_go_on_does_not_lower_the_high_water_mark() {
    let page = OnePage::default();
    let mut first = start(&page, "1000000", NOON, json!({}));
    assert_eq!(first.ask(NOON), None);
    let mut second = start(&page, "700000", NOON, json!({}));
    second.guard.on_equity(NOON, &second.account);
    second.guard.let_go_on(NOON, "alice").unwrap();
    assert!(matches!(second.guard.on_equity(NOON, &second.account), Trip::Halt(_)), "the loss is still there");
    assert_eq!(second.guard.latches().high_water, Money::whole(1_000_000));
}

#[test]
fn the_days_loss_ends_at_midnight_only_where_that_was_configured() {
    let tomorrow = Time((NOON.utc_day() + 1) * NS_PER_DAY);
    for (rearm, wanted) in [(true, State::Active), (false, State::Reducing(Code::DailyLoss))] {
        let changes = || json!({ "autoRearm": rearm, "dataAgeMs": 10_000 });
        let page = OnePage::default();
        assert_eq!(start(&page, "1000000", NOON, changes()).ask(NOON), None);
        let mut low = start(&page, "950000", NOON, changes());
        assert!(matches!(low.guard.on_equity(NOON, &low.account), Trip::Reduce(_)), "five in a hundred, to the cent");
        let last_moment = Time(tomorrow.0 - 1);
        let mut evening = start(&page, "950000", last_moment, changes());
        assert_eq!(evening.ask(last_moment), Some(Code::DailyLoss));
        let mut morning = start(&page, "950000", tomorrow, changes());
        assert!(matches!(morning.guard.on_equity(tomorrow, &morning.account), Trip::None));
        assert_eq!(morning.guard.state(), wanted);
        assert_eq!(morning.guard.latches().day_start, Money::whole(950_000), "the day starts with what was left");
    }
}

#[test]
fn latches_that_cannot_be_read_halt_and_are_not_written_over() {
    let page = OnePage::default();
    assert_eq!(start(&page, "1000000", NOON, json!({})).ask(NOON), None);
    let whole = page.text.borrow().clone().unwrap();
    let cut = whole[..whole.len() - 1].to_owned();
    let changed = whole.replace("1000000", "1000001");
    let other = LatchKey { account: "other".to_owned(), ..key() };
    let foreign = Latches::from_text(&key(), &whole).unwrap().to_text(&other);
    for damaged in ["".to_owned(), "x".to_owned(), cut, changed, foreign] {
        *page.text.borrow_mut() = Some(damaged.clone());
        let mut halted = start(&page, "1000000", NOON, json!({}));
        assert_eq!((halted.guard.state(), halted.ask(NOON)), (State::Halted(Code::MissingInput), Some(Code::MissingInput)), "{damaged:?}");
        assert_eq!(page.text.borrow().as_ref(), Some(&damaged));
    }
}

#[test]
fn an_order_leaves_only_after_the_latches_are_durable() {
    let page = OnePage::default();
    let mut running = start(&page, "1000000", NOON, json!({}));
    *page.broken.borrow_mut() = true;
    let mut passed = Vec::new();
    let denied = running.guard.admit(&mut running.account, NOON, &buy(1, 1), &mut passed).unwrap_err();
    assert_eq!((denied.code, passed.len(), running.guard.state()), (Code::MissingInput, 0, State::Halted(Code::MissingInput)));
}

#[test]
fn latches_written_and_read_are_the_same() {
    let states = Code::ALL.into_iter().flat_map(|code| [State::Reducing(code), State::Halted(code)]).chain([State::Active]);
    for state in states {
        let latches = Latches {
            state,
            since: NOON,
            high_water: money("1234.000000000000000000000001"),
            day: -3,
            day_start: money("-1"),
            last_equity: Money::ZERO,
            daily_loss: state == State::Active,
            drawdown: false,
            slippage: true,
        };
        assert_eq!(Latches::from_text(&key(), &latches.to_text(&key())), Ok(latches));
    }
}

#[test]
fn deposits_and_withdrawals_move_day_start_and_high_water_mark_alike() {
    let mut world = World::new(json!({}));
    for amount in ["500000", "-900000"] {
        world.account.deposit(reeve_trading::instrument::Universe::REPORTING, money(amount)).unwrap();
        world.guard.on_transfer(world.now, money(amount)).unwrap();
        assert!(matches!(world.quote(10_000, 10_002), Trip::None), "{amount} is neither a profit nor a loss");
    }
    assert_eq!((world.guard.latches().high_water, world.guard.latches().day_start), (money("600000"), money("600000")));
    world.hold(10);
    assert_eq!(world.code(&sell(10, 1)), None);
}

#[test]
fn a_loss_trips_once_under_whatever_had_stopped_trading_before() {
    for killed in [true, false] {
        let mut world = World::new(json!({ "maxDailyLoss": "100", "maxDrawdownBps": 5, "slippage": { "bps": 10, "fills": 1 } }));
        world.hold(100);
        world.admit(&buy(1, 1)).unwrap();
        let id = world.last();
        if killed {
            world.guard.kill(world.now);
        } else {
            world.fill(id, 10_012, 1);
        }
        let before = world.guard.state();
        assert_ne!(before, State::Active);
        assert!(matches!(world.quote(9_800, 9_802), Trip::Reduce(denial) if denial.code == Code::DailyLoss), "after {before:?}");
        assert!(matches!(world.quote(9_790, 9_792), Trip::None), "once");
        assert!(matches!(world.quote(9_400, 9_402), Trip::Halt(denial) if denial.code == Code::Drawdown), "after {before:?}");
        assert!(matches!(world.quote(9_390, 9_392), Trip::None), "once");
        assert_eq!(world.guard.state(), State::Halted(if killed { Code::Killed } else { Code::Drawdown }));
    }
}

#[test]
fn midnight_does_not_let_go_what_a_person_has_to() {
    let mut world = World::new(json!({ "maxDailyLoss": "100", "autoRearm": true, "slippage": { "bps": 10, "fills": 1 } }));
    world.hold(100);
    world.admit(&buy(1, 1)).unwrap();
    let id = world.last();
    assert!(matches!(world.quote(9_800, 9_802), Trip::Reduce(_)));
    world.fill(id, 10_012, 1);
    assert_eq!(world.guard.state(), State::Reducing(Code::DailyLoss));
    world.now = Time((NOON.utc_day() + 1) * NS_PER_DAY);
    world.quote(9_800, 9_802);
    assert_eq!(world.guard.state(), State::Reducing(Code::Slippage));
    world.guard.let_go_on(world.now, "alice").unwrap();
    assert_eq!(world.guard.state(), State::Active);
}
