//! Rows 28 to 34, the venue's filters and the balance: at each limit, one step either side, and with nothing to go by.

use reeve_trading::event::{MarketEvent, MarketStatus};
use reeve_trading::intent::{Size, Submit};
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderKind, Side, TimeInForce};
use reeve_trading::risk::{Code, State};
use reeve_trading::time::{NS_PER_SECOND, Time};
use serde_json::{Value, json};

use crate::world::{AT, World, buy, cases, money, sell};

#[test]
fn row_28_the_days_turnover() {
    let traded_then = |most: &str| {
        let mut world = World::new(json!({ "dailyTurnover": most }));
        world.hold(10);
        world.admit(&buy(10, 1)).unwrap();
        let open = world.code(&buy(10, 2));
        world.pass_ms(12 * 3_600_000);
        world.quote(10_000, 10_002);
        (open, world.code(&buy(9, 3)))
    };
    assert_eq!(traded_then("3000.61").0, None);
    assert_eq!(traded_then("3000.60").0, None);
    assert_eq!(traded_then("3000.59"), (Some(Code::DailyTurnover), None), "the next day counts anew");
}

#[test]
fn row_29_the_days_fees() {
    // Ten lots at 100.02 cost 1.0002 at most.
    let paid_then = |most: &str| {
        let mut world = World::new(json!({ "feeBudget": most }));
        world.hold(10);
        world.code(&buy(10, 1))
    };
    assert_eq!([paid_then("2.0005"), paid_then("2.0004"), paid_then("2.0003")], [None, None, Some(Code::FeeBudget)]);
}

#[test]
fn row_30_only_instruments_that_the_limits_name() {
    let off = reeve_trading::instrument::InstrumentId(2);
    let mut world = World::new(json!({}));
    world.account.market_event(world.now, off, &MarketEvent::Status(MarketStatus::Trading)).unwrap();
    assert_eq!(world.code(&Submit::limit(off, Side::Buy, Qty(1), Price(10_000), 1)), Some(Code::NotAllowed));
}

#[test]
fn row_31_trading_hours_by_the_minute() {
    let at = |hours: Value, minute: i64, second: i64| {
        let mut world = World::new(json!({ "hours": hours }));
        world.now = Time(world.now.0 + (minute - 12 * 60) * 60 * NS_PER_SECOND + second * NS_PER_SECOND);
        world.quote(10_000, 10_002);
        world.code(&buy(1, 1))
    };
    let day = || json!({ "fromMinute": 780, "toMinute": 840 });
    let no = Some(Code::TradingHours);
    assert_eq!([at(day(), 779, 59), at(day(), 780, 0), at(day(), 839, 59), at(day(), 840, 0)], [no, None, None, no]);
    let night = || json!({ "fromMinute": 1_380, "toMinute": 60 });
    assert_eq!([at(night(), 1_379, 59), at(night(), 1_380, 0)], [no, None]);
    assert_eq!([at(night(), 1_440 + 59, 59), at(night(), 1_440 + 60, 0)], [None, no]);
}

#[test]
fn row_32_cancels_for_the_orders_of_a_day() {
    let after = |cancels: u64| {
        let mut world = World::new(json!({ "maxCancelsPercent": 50 }));
        for tag in 0..20 {
            world.admit(&buy(1, tag)).unwrap();
            world.pass_ms(101);
        }
        for _ in 0..cancels {
            world.guard.on_cancel(world.now);
        }
        world.code(&buy(1, 99))
    };
    assert_eq!([after(9), after(10), after(11)], [None, None, Some(Code::CancelRatio)]);
    let mut few = World::new(json!({ "maxCancelsPercent": 50 }));
    for _ in 0..9 {
        few.guard.on_cancel(few.now);
    }
    assert_eq!(few.code(&buy(1, 1)), None, "with fewer than twenty orders a ratio says nothing");
}

#[test]
fn row_33_fills_against_the_mid_of_when_they_were_sent() {
    // Mid 100.01: 10 bps above it is 100.11001.
    let after = |prices: &[i64]| {
        let mut world = World::new(json!({ "slippage": { "bps": 10, "fills": 2 } }));
        for (price, tag) in prices.iter().zip(1..) {
            if world.admit(&buy(1, tag)).is_err() {
                break;
            }
            let id = world.last();
            world.fill(id, *price, 1);
        }
        (world.guard.state(), world.code(&buy(1, 99)))
    };
    let no = (State::Reducing(Code::Slippage), Some(Code::Slippage));
    assert_eq!(after(&[10_011]), (State::Active, None));
    assert_eq!(after(&[10_012]), (State::Active, None), "one fill of two says nothing yet");
    assert_eq!(after(&[10_011, 10_011]), (State::Active, None));
    assert_eq!(after(&[10_012, 10_012]), no);
    assert_eq!(after(&[10_012, 10_012, 10_001, 10_001]).0, State::Reducing(Code::Slippage), "a person lets it go on, not a better fill");
}

#[test]
fn row_34_a_silent_strategy_halts() {
    let mut world = World::new(json!({}));
    world.guard.on_strategy_silent(world.now);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::StrategySilent));
}

#[test]
fn an_order_that_contradicts_itself_or_the_venues_filters_is_invalid() {
    let invalid = Some(Code::OrderInvalid);
    let market = Submit::market(AT, Side::Buy, Qty(1), 1);
    let post_only = OrderKind::Limit { price: Price(10_000), post_only: true };
    cases(
        &json!({}),
        &[
            (Submit { kind: post_only, tif: TimeInForce::Ioc, ..market }, invalid),
            (Submit { kind: post_only, tif: TimeInForce::Fok, ..market }, invalid),
            (Submit { kind: OrderKind::Stop { trigger: Price(10_100) }, tif: TimeInForce::Ioc, ..market }, invalid),
            (Submit { reduce_only: true, ..market }, invalid),
            (Submit { kind: OrderKind::TrailingStop { distance: 0 }, ..market }, invalid),
            (Submit { kind: OrderKind::TrailingStop { distance: -1 }, ..market }, invalid),
            (Submit { kind: OrderKind::TrailingStop { distance: 1 }, ..market }, None),
            (Submit { kind: OrderKind::TrailingStop { distance: 1 }, tif: TimeInForce::Fok, ..market }, invalid),
            (Submit { kind: OrderKind::Stop { trigger: Price(0) }, ..market }, invalid),
            (Submit { size: Size::Lots(Qty(i64::MAX)), ..market }, invalid),
        ],
    );
    // The venue wants ten of notional.
    let mut cheap = World::new(json!({}));
    cheap.quote(998, 1_000);
    assert_eq!(cheap.code(&Submit::limit(AT, Side::Buy, Qty(1), Price(1_000), 1)), None);
    assert_eq!(cheap.code(&Submit::limit(AT, Side::Buy, Qty(1), Price(999), 2)), invalid);
}

#[test]
fn what_the_account_cannot_pay_for_or_does_not_own_is_denied() {
    // Ten lots at 100.02 and a fee of 1.0002 need 1001.2002.
    let with_cash = |cash: &str| {
        let mut world = World::with_cash(json!({}), money(cash));
        world.status(MarketStatus::Trading);
        world.quote(10_000, 10_002);
        world.code(&buy(10, 1))
    };
    assert_eq!([with_cash("1001.2003"), with_cash("1001.2002")], [None, None]);
    assert_eq!(with_cash("1001.2001"), Some(Code::InsufficientBalance));
    let mut world = World::new(json!({}));
    assert_eq!(world.code(&sell(1, 1)), Some(Code::InsufficientBalance), "spot sells only what is owned");
    world.hold(10);
    assert_eq!(world.code(&sell(11, 2)), Some(Code::InsufficientBalance));
    assert_eq!(world.code(&sell(10, 3)), None);
}
