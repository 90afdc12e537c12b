//! Rows 1 to 13, each one step inside its limit, at it, and one step past it; and with what it needs missing, zero or negative.

use reeve_trading::event::MarketStatus;
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Side};
use reeve_trading::risk::{Code, State};
use reeve_trading::time::NS_PER_MS;
use serde_json::json;

use crate::world::{AT, World, buy, cases, limit, money, sell};

#[test]
fn row_1_the_quantity_of_an_order() {
    let too_much = Some(Code::MaxOrderQty);
    cases(&json!({}), &[(buy(99, 1), None), (buy(100, 1), None), (buy(101, 1), too_much)]);
    cases(&json!({}), &[(buy(0, 1), Some(Code::OrderInvalid)), (buy(-1, 1), Some(Code::OrderInvalid))]);
}

#[test]
fn row_2_the_notional_of_an_order_at_the_worse_of_limit_and_reference() {
    // A buy of 10 lots at 100.02 is 1000.20; below the market the reference counts.
    let limits = |most: &str| json!({ "maxOrderNotional": most });
    cases(&limits("1000.21"), &[(buy(10, 1), None)]);
    cases(&limits("1000.20"), &[(buy(10, 1), None), (limit(Side::Buy, 10, 9_900), None)]);
    cases(&limits("1000.19"), &[(buy(10, 1), Some(Code::MaxOrderNotional)), (limit(Side::Buy, 10, 9_900), Some(Code::MaxOrderNotional))]);
    // A market order counts at ask × (1 + collar): 100.02 × 1.05 = 105.021, up to a tick 105.03.
    let market = Submit::market(AT, Side::Buy, Qty(10), 1);
    cases(&limits("1050.30"), &[(market, None)]);
    cases(&limits("1050.29"), &[(market, Some(Code::MaxOrderNotional))]);
    // A sell counts alike: 10 lots at the limit 101.00, above the bid.
    let mut world = World::new(limits("1010"));
    world.hold(9);
    assert_eq!(world.code(&limit(Side::Sell, 11, 10_000)), Some(Code::MaxOrderNotional), "more than is held opens, and counts");
}

#[test]
fn row_2_without_a_reference_denies() {
    let mut world = World::without_market(json!({}));
    world.status(MarketStatus::Trading);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::StaleData));
    assert_eq!(world.code(&Submit::market(AT, Side::Buy, Qty(1), 1)), Some(Code::StaleData));
}

#[test]
fn row_3_the_price_of_an_order_against_the_market_by_side() {
    // 500 bps above the ask of 100.02 is 105.021; below the bid of 100.00 it is 95.00.
    let collar = Some(Code::PriceCollar);
    cases(
        &json!({}),
        &[
            (limit(Side::Buy, 1, 10_501), None),
            (limit(Side::Buy, 1, 10_502), None),
            (limit(Side::Buy, 1, 10_503), collar),
            (limit(Side::Buy, 1, 5_000), None),
        ],
    );
    cases(&json!({ "priceCollarBps": 100 }), &[(limit(Side::Buy, 1, 10_102), None), (limit(Side::Buy, 1, 10_103), collar)]);
    cases(&json!({}), &[(limit(Side::Buy, 1, 0), Some(Code::OrderInvalid)), (limit(Side::Buy, 1, -1), Some(Code::OrderInvalid))]);
    cases(&json!({}), &[(limit(Side::Buy, 1, 10_000_001), Some(Code::OrderInvalid))]);
    // A stop-limit against its own trigger.
    let stop_limit = |trigger, price| Submit {
        kind: OrderKind::StopLimit { trigger: Price(trigger), price: Price(price) },
        ..Submit::market(AT, Side::Buy, Qty(1), 1)
    };
    cases(&json!({}), &[(stop_limit(12_000, 12_600), None), (stop_limit(12_000, 12_601), collar)]);
}

#[test]
fn row_3_our_fills_of_the_last_minute_against_its_mids() {
    let filled_at = |price: i64| {
        let mut world = World::new(json!({ "priceCollarBps": 100 }));
        world.admit(&buy(10, 1)).unwrap();
        let id = world.last();
        world.fill(id, price, 10);
        world
    };
    // The mid is 100.01 in every second; 200 bps above it 102.0102.
    assert_eq!(filled_at(10_200).code(&buy(1, 2)), None);
    assert_eq!(filled_at(10_201).code(&buy(1, 2)), None);
    assert_eq!(filled_at(10_202).code(&buy(1, 2)), Some(Code::PriceCollar));
    let mut later = filled_at(10_202);
    later.pass_ms(60_000);
    later.quote(10_000, 10_002);
    assert_eq!(later.code(&buy(1, 2)), None, "a minute later the fill is out of the window");
}

#[test]
fn row_4_orders_in_a_rolling_second() {
    let mut world = World::new(json!({ "ordersPerSecond": 3 }));
    for tag in 1..=3 {
        assert_eq!(world.code(&buy(1, tag)), None, "order {tag}");
        world.pass_ms(100);
    }
    assert_eq!(world.code(&buy(1, 4)), Some(Code::RateLimit), "300 ms after the first");
    world.now = world.now.plus_ns(700 * NS_PER_MS - 1);
    assert_eq!(world.code(&buy(1, 5)), Some(Code::RateLimit), "one nanosecond short of a second after the first");
    world.now = world.now.plus_ns(1);
    assert_eq!(world.code(&buy(1, 6)), None, "a second after the first");
    assert_eq!(world.code(&buy(1, 7)), Some(Code::RateLimit), "the second order is 900 ms old");
}

#[test]
fn row_4_the_venues_own_bucket() {
    let mut world = World::new(json!({ "venueOrders": { "count": 2, "windowMs": 10_000 } }));
    assert_eq!([world.code(&buy(1, 1)), world.code(&buy(1, 2)), world.code(&buy(1, 3))], [None, None, Some(Code::RateLimit)]);
    world.pass_ms(10_000);
    assert_eq!(world.code(&buy(1, 4)), None);
}

#[test]
fn row_5_the_same_thing_over_and_over_halts() {
    let mut world = World::new(json!({ "repeat": { "count": 3, "windowMs": 60_000 } }));
    for tag in 1..=3 {
        assert_eq!(world.code(&buy(1, tag)), None, "order {tag}");
    }
    assert_eq!(world.code(&buy(1, 4)), Some(Code::RepeatHalt));
    assert_eq!(world.guard.state(), State::Halted(Code::RepeatHalt));
    assert_eq!(world.code(&buy(2, 5)), Some(Code::RepeatHalt), "another order too, until a person has looked");
    world.guard.let_go_on(world.now, "alice").unwrap();
    assert_eq!(world.code(&buy(2, 6)), None);
    let mut other = World::new(json!({ "repeat": { "count": 3, "windowMs": 60_000 } }));
    for tag in 1..=6 {
        assert_eq!(other.code(&buy(1 + tag as i64 % 2, tag)), None, "different things are no repetition");
    }
}

#[test]
fn row_6_the_same_order_of_the_same_intent() {
    let mut world = World::new(json!({ "duplicateWindowMs": 500 }));
    assert_eq!(world.code(&buy(1, 7)), None);
    assert_eq!(world.code(&buy(1, 7)), Some(Code::Duplicate));
    assert_eq!(world.code(&buy(2, 7)), None, "another quantity");
    assert_eq!(world.code(&buy(1, 8)), None, "another intent");
    world.pass_ms(499);
    assert_eq!(world.code(&buy(1, 7)), Some(Code::Duplicate));
    world.pass_ms(1);
    assert_eq!(world.code(&buy(1, 7)), None, "the window is over");
}

#[test]
fn row_7_the_position_if_everything_of_this_side_fills() {
    let limits = json!({ "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "100" } } });
    let after = |open: i64, held: i64| {
        let mut world = World::new(limits.clone());
        if held > 0 {
            world.hold(held);
        }
        if open > 0 {
            world.admit(&buy(open, 1)).unwrap();
        }
        world
    };
    for (open, held) in [(0, 0), (40, 0), (0, 40), (30, 30)] {
        let left = 100 - open - held;
        assert_eq!(after(open, held).code(&buy(left - 1, 2)), None, "{open} open, {held} held");
        assert_eq!(after(open, held).code(&buy(left, 2)), None, "{open} open, {held} held");
        assert_eq!(after(open, held).code(&buy(left + 1, 2)), Some(if left == 100 { Code::MaxOrderQty } else { Code::MaxPosition }));
    }
}

#[test]
fn row_7_in_money_at_the_worst_price() {
    let limits = |most: &str| json!({ "maxPositionNotional": most });
    cases(&limits("1000.21"), &[(buy(10, 1), None)]);
    cases(&limits("1000.20"), &[(buy(10, 1), None)]);
    cases(&limits("1000.19"), &[(buy(10, 1), Some(Code::MaxPosition))]);
}

#[test]
fn row_8_what_the_whole_account_would_hold() {
    let open_then = |most: &str, qty: i64| {
        let mut world = World::new(json!({ "maxGrossExposure": most }));
        world.admit(&buy(10, 1)).unwrap();
        world.code(&buy(qty, 2))
    };
    assert_eq!(open_then("2000.41", 10), None);
    assert_eq!(open_then("2000.40", 10), None);
    assert_eq!(open_then("2000.39", 10), Some(Code::Exposure));
    assert_eq!(open_then("2000.40", 11), Some(Code::Exposure));
}

#[test]
fn row_8_as_a_part_of_equity() {
    let with_cash = |cash: &str, bps: u32| {
        let mut world = World::with_cash(json!({ "maxLeverageBps": bps }), money(cash));
        world.status(MarketStatus::Trading);
        world.quote(10_000, 10_002);
        world.code(&buy(10, 1))
    };
    assert_eq!(with_cash("2000.42", 5_000), None);
    assert_eq!(with_cash("2000.40", 5_000), None);
    assert_eq!(with_cash("2000.38", 5_000), Some(Code::Exposure));
}

#[test]
fn row_8_without_equity_above_zero_denies() {
    for cash in ["0", "-5"] {
        let mut world = World::with_cash(json!({}), money(cash));
        world.status(MarketStatus::Trading);
        world.quote(10_000, 10_002);
        assert_eq!(world.guard.state(), State::Halted(Code::MissingInput), "a guard of an account without equity starts halted");
        assert_eq!(world.code(&buy(1, 1)), Some(Code::MissingInput));
    }
}

#[test]
fn row_10_open_orders_and_their_value() {
    let mut world = World::new(json!({ "maxOpenOrders": 2 }));
    assert_eq!([world.code(&buy(1, 1)), world.code(&buy(1, 2)), world.code(&buy(1, 3))], [None, None, Some(Code::OpenOrders)]);
    let id = world.last();
    world.tell(id, OrderEvent::Cancelled);
    assert_eq!(world.code(&buy(1, 4)), None, "one was cancelled");
    let then = |most: &str| {
        let mut world = World::new(json!({ "maxOpenNotional": most }));
        world.admit(&buy(10, 1)).unwrap();
        world.code(&buy(10, 2))
    };
    assert_eq!([then("2000.41"), then("2000.40"), then("2000.39")], [None, None, Some(Code::OpenOrders)]);
}

#[test]
fn row_11_the_days_loss_reached_is_the_days_loss_passed() {
    // 1,000 lots at 100.02 and a fee of 100.02 leave 999,899.98 at a mark of 100.02.
    let after_fall = |bid: i64, ask: i64| {
        let mut world = World::new(json!({ "maxDailyLoss": "1000.02" }));
        world.hold(1_000);
        let trip = world.quote(bid, ask);
        (trip, world.guard.state(), world.code(&buy(1, 9)))
    };
    // Fees 100.02; a mid of 99.13 loses 890, of 99.12 loses 900.
    let (_, state, code) = after_fall(9_912, 9_914);
    assert_eq!((state, code), (State::Active, Some(Code::MaxPosition)), "990.02 lost: the position is full, but nothing is stopped");
    let (_, state, code) = after_fall(9_911, 9_913);
    assert_eq!((state, code), (State::Reducing(Code::DailyLoss), Some(Code::DailyLoss)), "1000.02 lost");
    let (_, state, _) = after_fall(9_911, 9_912);
    assert_eq!(state, State::Reducing(Code::DailyLoss));
}

#[test]
fn row_12_the_loss_from_the_highest_equity() {
    // A high-water mark of 1,000,000 and a drawdown of 1 bps: 100 of loss. Fees of 90.018 are lost by 900 lots.
    let after_fall = |bid: i64, ask: i64| {
        let mut world = World::new(json!({ "maxDrawdownBps": 1 }));
        world.hold(900);
        world.quote(bid, ask);
        world.guard.state()
    };
    // 900 lots bought at 100.02: a mid of 100.02 loses nothing more, of 100.01 another 9, of 100.00 another 18.
    assert_eq!(after_fall(10_000, 10_002), State::Active, "99.018 lost");
    assert_eq!(after_fall(9_999, 10_002), State::Halted(Code::Drawdown), "103.518 lost");
    let mut exact = World::with_cash(json!({ "maxDrawdownBps": 100 }), money("100.02"));
    exact.status(MarketStatus::Trading);
    exact.quote(10_000, 10_002);
    // A limit of 1.0002: equity has to stay above 99.0198. Nothing but a withdrawal would move it, which is no loss.
    exact.account.deposit(reeve_trading::instrument::Universe::REPORTING, money("-50")).unwrap();
    exact.guard.on_transfer(exact.now, money("-50")).unwrap();
    exact.quote(10_000, 10_002);
    assert_eq!(exact.guard.state(), State::Active);
}

#[test]
fn rows_11_and_12_trip_at_their_limit_to_the_last_digit() {
    // One basis point of a million is 100. What leaves without a word is a loss.
    let after_loss = |limits: serde_json::Value, lost: &str| {
        let mut world = World::new(limits);
        let lost = money(lost).negated().unwrap();
        world.account.deposit(reeve_trading::instrument::Universe::REPORTING, lost).unwrap();
        world.quote(10_000, 10_002);
        (world.guard.state(), world.code(&buy(1, 1)))
    };
    for (lost, trips) in [("99.999999999999999999999999", false), ("100", true), ("100.000000000000000000000001", true), ("-5", false)] {
        let daily = trips.then_some(Code::DailyLoss).map_or((State::Active, None), |code| (State::Reducing(code), Some(code)));
        assert_eq!(after_loss(json!({ "maxDailyLossBps": 1 }), lost), daily, "{lost} lost");
        assert_eq!(after_loss(json!({ "maxDailyLoss": "100" }), lost), daily, "{lost} lost");
        let drawdown = trips.then_some(Code::Drawdown).map_or((State::Active, None), |code| (State::Halted(code), Some(code)));
        assert_eq!(after_loss(json!({ "maxDrawdownBps": 1 }), lost), drawdown, "{lost} lost");
    }
    // Everything lost, and more: equity that is no more above zero denies by itself, and both have tripped.
    for lost in ["1000000", "1000001"] {
        assert_eq!(after_loss(json!({}), lost).0, State::Halted(Code::Drawdown), "{lost} lost");
    }
}

#[test]
fn row_13_losses_in_a_row_pause_entries() {
    let mut world = World::new(json!({ "lossStreak": { "trades": 2, "pauseMs": 60_000 } }));
    let lose = |world: &mut World, tag: u64| {
        world.admit(&buy(10, tag)).unwrap();
        let id = world.last();
        world.fill(id, 10_002, 10);
        world.admit(&sell(10, tag + 1)).unwrap();
        let id = world.last();
        world.fill(id, 10_000, 10);
    };
    lose(&mut world, 1);
    assert_eq!(world.code(&buy(1, 10)), None, "one loss is no streak");
    let id = world.last();
    world.tell(id, OrderEvent::Cancelled);
    lose(&mut world, 11);
    assert_eq!(world.code(&buy(1, 20)), Some(Code::LossStreak));
    world.pass_ms(59_999);
    world.quote(10_000, 10_002);
    assert_eq!(world.code(&buy(1, 21)), Some(Code::LossStreak));
    world.pass_ms(1);
    assert_eq!(world.code(&buy(1, 22)), None);
}

#[test]
fn row_13_what_one_trade_may_lose_at_its_stop() {
    // One basis point of a million is 100: ten lots may lose 10.00 each.
    let with_stop = |stop| Submit { stop, ..buy(10, 1) };
    let limits = json!({ "maxTradeRiskBps": 1 });
    cases(
        &limits,
        &[
            (with_stop(Some(Price(9_003))), None),
            (with_stop(Some(Price(9_002))), None),
            (with_stop(Some(Price(9_001))), Some(Code::LossStreak)),
            (with_stop(None), Some(Code::MissingInput)),
            (with_stop(Some(Price(0))), Some(Code::OrderInvalid)),
            (with_stop(Some(Price(-1))), Some(Code::OrderInvalid)),
        ],
    );
}
