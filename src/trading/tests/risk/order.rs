//! The order in which controls are asked: the first denial is the answer.

use reeve_trading::event::{MarketEvent, MarketStatus};
use reeve_trading::instrument::InstrumentId;
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, Side};
use reeve_trading::risk::Code;
use reeve_trading::time::NS_PER_SECOND;
use serde_json::json;

use crate::world::{AT, World, buy, limit};

#[test]
fn what_is_wrong_with_an_order_is_said_in_the_order_of_the_rules() {
    let off = InstrumentId(2);
    let mut world = World::without_market(json!({ "hours": { "fromMinute": 721, "toMinute": 1_000 } }));
    world.guard.inputs.clock_skew_ms = Some(5_000);
    world.guard.inputs.reconciled = Some(false);
    world.guard.kill(world.now);
    let on = |at: InstrumentId, qty: i64| Submit::limit(at, Side::Buy, Qty(qty), Price(20_000), 1);
    assert_eq!(world.code(&on(off, 0)), Some(Code::Killed), "state");
    world.guard.let_go_on(world.now, "alice").unwrap();
    assert_eq!(world.code(&on(off, 0)), Some(Code::OrderInvalid), "instrument");
    assert_eq!(world.code(&on(off, 101)), Some(Code::NotAllowed), "30");
    assert_eq!(world.code(&on(AT, 101)), Some(Code::TradingHours), "31");
    world.now = world.now.plus_ns(60 * NS_PER_SECOND);
    assert_eq!(world.code(&on(AT, 101)), Some(Code::MissingInput), "19: no status yet");
    world.market(&MarketEvent::Status(MarketStatus::Halt));
    assert_eq!(world.code(&on(AT, 101)), Some(Code::MarketStatus), "19");
    world.status(MarketStatus::Trading);
    assert_eq!(world.code(&on(AT, 101)), Some(Code::ClockSkew), "21");
    world.guard.inputs.clock_skew_ms = Some(0);
    assert_eq!(world.code(&on(AT, 101)), Some(Code::StaleData), "18");
    world.quote(10_000, 10_002);
    assert_eq!(world.code(&on(AT, 101)), Some(Code::Unreconciled), "22");
    world.guard.inputs.reconciled = Some(true);
    assert_eq!(world.code(&on(AT, 101)), Some(Code::MaxOrderQty), "1");
    assert_eq!(world.code(&on(AT, 100)), Some(Code::PriceCollar), "3, since 20,000 is within row 2");
}

#[test]
fn row_2_comes_before_3_and_6_before_4_and_7_before_8_before_10_before_17() {
    let far = |qty: i64, tag: u64| Submit { tag, ..limit(Side::Buy, qty, 20_000) };
    assert_eq!(World::new(json!({ "maxOrderNotional": "100" })).code(&far(1, 1)), Some(Code::MaxOrderNotional));
    let mut full = World::new(json!({ "ordersPerSecond": 1 }));
    full.admit(&buy(1, 1)).unwrap();
    assert_eq!(full.code(&buy(1, 1)), Some(Code::Duplicate), "6 before 4");
    assert_eq!(full.code(&buy(1, 2)), Some(Code::RateLimit));
    let mut rate = World::new(json!({ "ordersPerSecond": 1, "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "1" } } }));
    rate.admit(&buy(1, 1)).unwrap();
    assert_eq!(rate.code(&buy(1, 2)), Some(Code::RateLimit), "4 before 7");
    let small =
        json!({ "maxGrossExposure": "150", "maxOpenOrders": 1, "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "2" } } });
    let mut several = World::new(small);
    several.admit(&buy(1, 1)).unwrap();
    assert_eq!(several.code(&buy(2, 2)), Some(Code::MaxPosition), "7 before 8");
    assert_eq!(several.code(&buy(1, 3)), Some(Code::Exposure), "8 before 10");
    let mut open = World::new(json!({ "maxOpenOrders": 1 }));
    open.hold(5);
    open.admit(&limit(Side::Sell, 5, 10_050)).unwrap();
    assert_eq!(open.code(&limit(Side::Buy, 1, 10_060)), Some(Code::OpenOrders), "10 before 17");
    let id = open.last();
    open.tell(id, OrderEvent::Cancelled);
    open.admit(&limit(Side::Buy, 1, 10_060)).unwrap();
    assert_eq!(open.code(&limit(Side::Sell, 5, 10_050)), Some(Code::SelfTrade), "17 for a way out too");
}

#[test]
fn budgets_come_before_losses_and_losses_before_the_balance() {
    let base = json!({ "dailyTurnover": "1", "feeBudget": "0.0001", "maxTradeRiskBps": 1 });
    let mut world = World::new(base);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::DailyTurnover), "28 before 29");
    let mut fees = World::new(json!({ "feeBudget": "0.0001", "maxTradeRiskBps": 1 }));
    assert_eq!(fees.code(&buy(1, 1)), Some(Code::FeeBudget), "29 before 13");
    let mut risk = World::with_cash(json!({ "maxTradeRiskBps": 1, "maxLeverageBps": 10_000 }), crate::world::money("100.10"));
    risk.status(MarketStatus::Trading);
    risk.quote(10_000, 10_002);
    assert_eq!(risk.code(&buy(1, 1)), Some(Code::MissingInput), "13, without a stop, before the balance");
    let stop = Submit { stop: Some(Price(10_002)), ..buy(1, 2) };
    assert_eq!(risk.code(&stop), Some(Code::InsufficientBalance), "100.02 and a fee of 0.10002");
}
