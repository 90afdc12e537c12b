//! What makes a position smaller always gets out.

use reeve_trading::event::MarketStatus;
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Side};
use reeve_trading::risk::{Code, State, Trip};
use serde_json::json;

use crate::world::{AT, World, buy, sell};

#[test]
fn a_reducing_order_larger_than_row_1_passes_in_slices() {
    let mut world = World::new(json!({}));
    world.hold(250);
    let admission = world.admit(&Submit::market(AT, Side::Sell, Qty(250), 1)).unwrap();
    assert_eq!((admission.orders, admission.passed, admission.reducing), (3, Qty(250), true));
    let slices: Vec<i64> = world.sent.iter().rev().take(3).map(|order| order.qty.0).collect();
    assert_eq!(slices, [50, 100, 100]);
}

#[test]
fn reducing_counts_what_is_open_on_the_same_side() {
    let mut world = World::new(json!({}));
    world.hold(100);
    assert!(world.admit(&sell(60, 1)).unwrap().reducing);
    assert!(world.admit(&sell(40, 2)).unwrap().reducing);
    assert_eq!(world.code(&sell(1, 3)), Some(Code::InsufficientBalance), "all of it is on offer already");
}

#[test]
fn entering_controls_do_not_hold_back_a_way_out() {
    let changes = json!({
        "ordersPerSecond": 1, "maxOpenOrders": 1, "dailyTurnover": "10100", "feeBudget": "10.1", "maxCancelsPercent": 1,
        "hours": { "fromMinute": 720, "toMinute": 721 },
        "lossStreak": { "trades": 1, "pauseMs": 1_000_000 },
    });
    let mut world = World::new(changes);
    world.admit(&buy(100, 1)).unwrap();
    let id = world.last();
    world.fill(id, 10_002, 100);
    world.pass_ms(120_000);
    world.quote(10_000, 10_002);
    assert_eq!(world.code(&buy(1, 2)), Some(Code::TradingHours));
    assert_eq!(world.code(&sell(50, 3)), None);
    assert_eq!(world.code(&sell(49, 4)), Some(Code::RateLimit), "its own throttle counts its own orders");
    world.pass_ms(1_000);
    assert_eq!(world.code(&sell(49, 5)), None);
}

#[test]
fn a_way_out_passes_while_reducing_and_while_halted() {
    for stop in [false, true] {
        let mut world = World::new(json!({ "maxDailyLoss": "100" }));
        world.hold(100);
        if stop {
            world.guard.kill(world.now)
        } else {
            assert!(matches!(world.quote(9_800, 9_802), Trip::Reduce(_)))
        }
        assert_ne!(world.guard.state(), State::Active);
        assert!(world.code(&buy(1, 1)).is_some());
        assert_eq!(world.code(&Submit::market(AT, Side::Sell, Qty(100), 2)), None);
    }
}

#[test]
fn a_way_out_is_collared_three_times_as_far() {
    let sell_at = |price: i64| {
        let mut world = World::new(json!({ "priceCollarBps": 100 }));
        world.hold(10);
        world.code(&Submit::limit(AT, Side::Sell, Qty(10), Price(price), 1))
    };
    // 300 bps below the bid of 100.00.
    assert_eq!([sell_at(9_701), sell_at(9_700), sell_at(9_699)], [None, None, Some(Code::PriceCollar)]);
}

#[test]
fn without_a_reference_only_a_way_out_that_names_its_price_passes() {
    let mut world = World::new(json!({}));
    world.hold(20);
    world.pass_ms(60_000);
    assert_eq!(world.code(&Submit::market(AT, Side::Sell, Qty(10), 1)), Some(Code::StaleData));
    assert_eq!(world.code(&Submit::limit(AT, Side::Sell, Qty(10), Price(9_000), 2)), None);
    world.quote(10_002, 10_000);
    assert_eq!(world.code(&Submit::market(AT, Side::Sell, Qty(10), 3)), Some(Code::BookCrossed));
    assert_eq!(world.code(&Submit::limit(AT, Side::Sell, Qty(10), Price(9_500), 4)), None);
}

#[test]
fn a_market_that_takes_no_orders_takes_no_way_out_either() {
    let mut world = World::new(json!({}));
    world.hold(10);
    world.status(MarketStatus::Halt);
    assert_eq!(world.code(&sell(10, 1)), Some(Code::MarketStatus));
}

#[test]
fn what_is_too_small_for_the_venue_is_dust() {
    let mut world = World::new(json!({}));
    world.hold(1);
    world.quote(998, 1_000);
    // One lot at 9.98 is less than the ten that the venue wants.
    assert_eq!(world.code(&Submit::market(AT, Side::Sell, Qty(1), 1)), None, "a market order counts at its worst price");
    let id = world.last();
    world.tell(id, OrderEvent::Cancelled);
    assert_eq!(world.code(&Submit::limit(AT, Side::Sell, Qty(1), Price(998), 2)), Some(Code::Dust));
}

#[test]
fn both_legs_of_a_pair_protect_one_position() {
    let mut world = World::new(json!({}));
    world.hold(100);
    let stop = Submit { kind: OrderKind::Stop { trigger: Price(9_500) }, oco: Some(1), ..Submit::market(AT, Side::Sell, Qty(100), 1) };
    let target = Submit { oco: Some(1), ..Submit::limit(AT, Side::Sell, Qty(100), Price(10_500), 2) };
    assert!(world.admit(&stop).unwrap().reducing);
    let stop = world.last();
    assert!(world.admit(&target).unwrap().reducing, "the pair sells the position once");
    let target = world.last();
    let third = Submit { oco: Some(1), ..Submit::limit(AT, Side::Sell, Qty(1), Price(10_600), 3) };
    assert_eq!(world.code(&third), Some(Code::OrderInvalid));
    world.fill(target, 10_500, 30);
    world.tell(stop, OrderEvent::Reduced { to: Qty(70) });
    assert_eq!(world.account.order(stop).unwrap().leaves(), Qty(70));
    world.tell(stop, OrderEvent::Cancelled);
    assert_eq!(world.code(&sell(1, 4)), Some(Code::InsufficientBalance), "the target still holds all that is left");
    world.tell(target, OrderEvent::Cancelled);
    assert_eq!(world.code(&sell(70, 5)), None, "nothing stays set aside");
}

#[test]
fn a_trip_names_the_orders_that_open_and_leaves_the_stops_that_protect() {
    let mut world = World::new(json!({ "maxDailyLoss": "100" }));
    world.hold(100);
    let stop = Submit { kind: OrderKind::Stop { trigger: Price(9_700) }, ..Submit::market(AT, Side::Sell, Qty(100), 1) };
    world.admit(&stop).unwrap();
    world.admit(&Submit::limit(AT, Side::Buy, Qty(5), Price(9_900), 2)).unwrap();
    let opening = world.last();
    assert!(matches!(world.quote(9_800, 9_802), Trip::Reduce(_)));
    let named: Vec<_> = world.guard.opening_orders(&world.account).collect();
    assert_eq!(named, [opening]);
    assert!(matches!(world.quote(9_790, 9_792), Trip::None), "it trips once");
}
