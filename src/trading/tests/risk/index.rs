//! Every code comes out of something that a strategy, a market, a venue or a person can do. The other files hold each at its limit.
//!
//! Rows 9, 23 and 24 of the controls belong to admission and to gates, and rows 25 to 27 to alerts, to reports and to a gate: none is in the
//! order path, and none has a code. Row 14 alters an order and denies none; row 16 denies as row 22 does.

use reeve_trading::event::{MarketEvent, MarketStatus};
use reeve_trading::instrument::InstrumentId;
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::Side;
use reeve_trading::risk::{Code, State};
use reeve_trading::time::NS_PER_MS;
use serde_json::json;

use crate::world::{AT, World, buy, limit, money, sell};

/// What is denied with this code, as it comes out.
fn shown(code: Code) -> Option<Code> {
    let under = World::new;
    match code {
        Code::MaxOrderQty => under(json!({})).code(&buy(101, 1)),
        Code::MaxOrderNotional => under(json!({ "maxOrderNotional": "100" })).code(&buy(1, 1)),
        Code::PriceCollar => under(json!({})).code(&limit(Side::Buy, 1, 20_000)),
        Code::RateLimit => twice(under(json!({ "ordersPerSecond": 1 })), &buy(1, 1), &buy(1, 2)),
        Code::RepeatHalt => twice(under(json!({ "repeat": { "count": 1, "windowMs": 1_000 } })), &buy(1, 1), &buy(1, 2)),
        Code::Duplicate => twice(under(json!({})), &buy(1, 1), &buy(1, 1)),
        Code::MaxPosition => under(json!({ "maxPositionNotional": "100" })).code(&buy(1, 1)),
        Code::Exposure => under(json!({ "maxGrossExposure": "100" })).code(&buy(1, 1)),
        Code::OpenOrders => twice(under(json!({ "maxOpenOrders": 1 })), &buy(1, 1), &buy(1, 2)),
        Code::DailyLoss => after_a_loss(json!({ "maxDailyLoss": "1" })),
        Code::Drawdown => after_a_loss(json!({ "maxDrawdownBps": 1 })),
        Code::LossStreak => under(json!({ "maxTradeRiskBps": 1 })).code(&Submit { stop: Some(Price(1)), ..buy(100, 1) }),
        Code::SelfTrade => {
            let mut world = under(json!({}));
            world.hold(20);
            twice(world, &limit(Side::Sell, 10, 10_050), &limit(Side::Buy, 1, 10_050))
        }
        Code::StaleData => later(under(json!({})), 10_001, &buy(1, 1)),
        Code::PriceJump => {
            let mut world = World::without_market(json!({ "maxJumpBps": 100 }));
            world.status(MarketStatus::Trading);
            world.traded_at(10_000);
            world.traded_at(20_000);
            world.code(&limit(Side::Buy, 1, 20_000))
        }
        Code::BookCrossed => {
            let mut world = under(json!({}));
            world.quote(10_001, 10_000);
            world.code(&buy(1, 1))
        }
        Code::MarketStatus => {
            let mut world = under(json!({}));
            world.status(MarketStatus::Halt);
            world.code(&buy(1, 1))
        }
        Code::ShutdownWindow => {
            let mut world = under(json!({ "shutdownLeadMs": 1_000 }));
            world.guard.inputs.shutdown_at = Some(world.now.plus_ns(NS_PER_MS));
            world.code(&buy(1, 1))
        }
        Code::ErrorRate => {
            let mut world = under(json!({ "errors": { "count": 1, "windowMs": 1_000 } }));
            world.guard.on_venue_error(world.now);
            world.code(&buy(1, 1))
        }
        Code::ClockSkew => {
            let mut world = under(json!({}));
            world.guard.inputs.clock_skew_ms = Some(1_001);
            world.code(&buy(1, 1))
        }
        Code::Unreconciled => {
            let mut world = under(json!({}));
            world.guard.inputs.reconciled = Some(false);
            world.code(&buy(1, 1))
        }
        Code::Killed => {
            let mut world = under(json!({}));
            world.guard.kill(world.now);
            world.code(&buy(1, 1))
        }
        Code::MissingInput => {
            let mut world = under(json!({}));
            world.guard.inputs.clock_skew_ms = None;
            world.code(&buy(1, 1))
        }
        Code::DailyTurnover => under(json!({ "dailyTurnover": "100" })).code(&buy(1, 1)),
        Code::FeeBudget => under(json!({ "feeBudget": "0.1" })).code(&buy(1, 1)),
        Code::NotAllowed => {
            let mut world = under(json!({}));
            let off = InstrumentId(2);
            world.account.market_event(world.now, off, &MarketEvent::Status(MarketStatus::Trading)).unwrap();
            world.code(&Submit::limit(off, Side::Buy, Qty(1), Price(10_000), 1))
        }
        Code::TradingHours => under(json!({ "hours": { "fromMinute": 0, "toMinute": 1 } })).code(&buy(1, 1)),
        Code::CancelRatio => {
            let mut world = under(json!({ "maxCancelsPercent": 1 }));
            for tag in 0..20 {
                world.admit(&buy(1, tag)).unwrap();
                world.guard.on_cancel(world.now);
                world.pass_ms(101);
            }
            world.code(&buy(1, 99))
        }
        Code::Slippage => {
            let mut world = under(json!({ "slippage": { "bps": 1, "fills": 1 } }));
            world.admit(&buy(1, 1)).unwrap();
            let id = world.last();
            world.fill(id, 10_050, 1);
            world.code(&buy(1, 2))
        }
        Code::StrategySilent => {
            let mut world = under(json!({}));
            world.guard.on_strategy_silent(world.now);
            world.code(&buy(1, 1))
        }
        Code::OrderInvalid => under(json!({})).code(&buy(0, 1)),
        Code::Dust => {
            let mut world = under(json!({}));
            world.hold(1);
            world.quote(998, 1_000);
            world.code(&Submit::limit(AT, Side::Sell, Qty(1), Price(998), 2))
        }
        Code::InsufficientBalance => under(json!({})).code(&sell(1, 1)),
        Code::LedgerOverflow => overflowing().code(&buy(1, 2)),
    }
}

fn twice(mut world: World, first: &Submit, second: &Submit) -> Option<Code> {
    assert_eq!(world.code(first), None, "{first:?}");
    world.code(second)
}

fn later(mut world: World, ms: i64, submit: &Submit) -> Option<Code> {
    world.pass_ms(ms);
    world.code(submit)
}

fn after_a_loss(limits: serde_json::Value) -> Option<Code> {
    let mut world = World::new(limits);
    world.account.deposit(reeve_trading::instrument::Universe::REPORTING, money("-200")).unwrap();
    world.quote(10_000, 10_002);
    world.code(&buy(1, 1))
}

/// A deposit took the high-water mark out of the ledger's range.
fn overflowing() -> World {
    let mut world = World::new(json!({}));
    assert_eq!(world.guard.on_transfer(world.now, money("170141183460469")).unwrap_err().code, Code::LedgerOverflow);
    world
}

#[test]
fn every_code_comes_out_of_something() {
    for code in Code::ALL {
        assert_eq!(shown(code), Some(code));
        assert_eq!(Code::named(code.name()), Some(code));
    }
}

#[test]
fn an_amount_that_leaves_the_ledgers_range_halts() {
    let mut world = overflowing();
    assert_eq!(world.guard.state(), State::Halted(Code::LedgerOverflow));
    assert_eq!(world.code(&buy(1, 3)), Some(Code::LedgerOverflow), "until a person has looked");
}
