//! Each control one step inside its limit, at it, and one step past it; and with what it needs missing, zero or negative.

use reeve_trading::event::{MarketEvent, MarketStatus};
use reeve_trading::intent::{Size, Submit};
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Refusal, Side, TimeInForce};
use reeve_trading::risk::{Code, State};
use reeve_trading::time::{NS_PER_MS, NS_PER_SECOND, Time};
use serde_json::{Value, json};

use crate::world::{AT, World, buy, money, sell};

/// Orders, each in a world of its own, and what becomes of them.
fn cases(changes: &Value, cases: &[(Submit, Option<Code>)]) {
    for (submit, wanted) in cases {
        assert_eq!(World::new(changes.clone()).code(submit), *wanted, "{submit:?} under {changes}");
    }
}

fn limit(side: Side, qty: i64, price: i64) -> Submit {
    Submit::limit(AT, side, Qty(qty), Price(price), 1)
}

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
    exact.guard.on_transfer(money("-50")).unwrap();
    exact.quote(10_000, 10_002);
    assert_eq!(exact.guard.state(), State::Active);
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

#[test]
fn row_15_the_kill_switch_stops_and_stopping_again_changes_nothing() {
    let mut world = World::new(json!({}));
    world.hold(10);
    world.guard.kill(world.now);
    let latched = *world.guard.latches();
    world.pass_ms(5);
    world.guard.kill(world.now);
    assert_eq!((world.guard.state(), *world.guard.latches()), (State::Halted(Code::Killed), latched));
    assert_eq!(world.code(&buy(1, 1)), Some(Code::Killed));
    assert_eq!(world.code(&sell(10, 2)), None, "what makes the position smaller still passes");
}

#[test]
fn row_16_a_lost_link_needs_a_comparison_with_the_venue() {
    let mut world = World::new(json!({}));
    world.guard.on_link_lost();
    assert!(matches!(world.code(&buy(1, 1)), Some(Code::Unreconciled | Code::MissingInput)));
    world.guard.inputs.clock_skew_ms = Some(0);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::Unreconciled));
    world.guard.inputs.reconciled = Some(true);
    assert_eq!(world.code(&buy(1, 1)), None);
}

#[test]
fn row_17_an_order_never_meets_one_of_our_own() {
    let mut world = World::new(json!({}));
    world.hold(20);
    world.admit(&limit(Side::Sell, 10, 10_050)).unwrap();
    assert_eq!(world.code(&limit(Side::Buy, 1, 10_049)), None);
    assert_eq!(world.code(&limit(Side::Buy, 1, 10_050)), Some(Code::SelfTrade));
    assert_eq!(world.code(&limit(Side::Buy, 1, 10_051)), Some(Code::SelfTrade));
    assert_eq!(world.code(&Submit::market(AT, Side::Buy, Qty(1), 5)), Some(Code::SelfTrade), "its worst price reaches our ask");
    assert_eq!(world.code(&limit(Side::Sell, 1, 10_049)), Some(Code::SelfTrade), "our bid of 100.49 rests");
    assert_eq!(world.code(&limit(Side::Sell, 1, 10_060)), None);
}

#[test]
fn row_18_the_age_of_the_data() {
    let at_age = |ms: i64, ns: i64| {
        let mut world = World::new(json!({ "dataAgeMs": 2_000 }));
        world.now = world.now.plus_ns(ms * NS_PER_MS + ns);
        world.code(&buy(1, 1))
    };
    assert_eq!([at_age(1_999, 0), at_age(2_000, 0), at_age(2_000, 1)], [None, None, Some(Code::StaleData)]);
    let mut world = World::without_market(json!({}));
    world.status(MarketStatus::Trading);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::StaleData), "nothing was ever seen");
    world.traded_at(0);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::StaleData), "a price of zero is no price");
    world.traded_at(-5);
    assert_eq!(world.code(&buy(1, 1)), Some(Code::StaleData), "nor is a negative one");
    let mut lost = World::new(json!({}));
    lost.market(&MarketEvent::Disconnect);
    assert_eq!(lost.code(&buy(1, 1)), Some(Code::StaleData), "the feed was lost");
}

#[test]
fn row_18_a_bar_is_fresh_for_one_and_a_half_intervals() {
    let at_age = |ms: i64| {
        let mut world = World::without_market(json!({}));
        world.status(MarketStatus::Trading);
        world.bar(60_000, 10_000);
        world.pass_ms(ms);
        world.code(&limit(Side::Buy, 1, 10_000))
    };
    assert_eq!([at_age(89_999), at_age(90_000), at_age(90_001)], [None, None, Some(Code::StaleData)]);
}

#[test]
fn row_18_a_crossed_or_empty_book_is_not_traded_on() {
    for (bid, ask, wanted) in [
        (10_000, 10_001, None),
        (10_000, 10_000, Some(Code::BookCrossed)),
        (10_001, 10_000, Some(Code::BookCrossed)),
        (0, 10_000, Some(Code::BookCrossed)),
        (-1, 10_000, Some(Code::BookCrossed)),
    ] {
        let mut world = World::new(json!({}));
        world.quote(bid, ask);
        assert_eq!(world.code(&limit(Side::Buy, 1, 10_000)), wanted, "bid {bid}, ask {ask}");
    }
}

#[test]
fn row_18_a_jump_is_believed_once_the_next_price_confirms_it() {
    let limits = json!({ "maxJumpBps": 100 });
    let after = |prices: &[i64]| {
        let mut world = World::without_market(limits.clone());
        world.status(MarketStatus::Trading);
        for price in prices {
            world.traded_at(*price);
        }
        let last = *prices.last().unwrap();
        (world.code(&limit(Side::Buy, 1, last)), world.account.market(AT).mark().map(|mark| mark.price.0 / 2))
    };
    assert_eq!(after(&[10_000, 10_099]), (None, Some(10_099)));
    assert_eq!(after(&[10_000, 10_100]), (None, Some(10_100)));
    assert_eq!(after(&[10_000, 10_101]), (Some(Code::PriceJump), Some(10_000)));
    assert_eq!(after(&[10_000, 10_101, 10_102]), (None, Some(10_102)), "confirmed");
    assert_eq!(after(&[10_000, 20_000, 10_001]), (None, Some(10_001)), "the spike was one trade");
}

#[test]
fn row_18_a_spread_too_wide() {
    let with_spread = |bid: i64, ask: i64| {
        let mut world = World::new(json!({ "maxSpreadBps": 10 }));
        world.quote(bid, ask);
        world.code(&limit(Side::Buy, 1, bid))
    };
    assert_eq!([with_spread(9_996, 10_004), with_spread(9_995, 10_005), with_spread(9_995, 10_006)], [None, None, Some(Code::PriceCollar)]);
}

#[test]
fn row_18_a_jump_does_not_stop_trading_until_it_is_believed() {
    let mut world = World::new(json!({ "maxJumpBps": 100, "maxDailyLoss": "1000" }));
    world.hold(500);
    world.quote(5_000, 5_002);
    assert_eq!(world.guard.state(), State::Active, "one odd quote latches nothing");
    world.quote(5_000, 5_002);
    assert_eq!(world.guard.state(), State::Reducing(Code::DailyLoss), "the next one says that it is true");
}

#[test]
fn row_19_what_each_status_takes() {
    let market = Submit::market(AT, Side::Buy, Qty(1), 1);
    let resting = Submit { kind: OrderKind::Limit { price: Price(10_000), post_only: true }, ..market };
    let no = Some(Code::MarketStatus);
    for (status, wanted) in [
        (MarketStatus::Trading, [None, None, None]),
        (MarketStatus::LimitOnly, [no, None, None]),
        (MarketStatus::Auction, [no, None, None]),
        (MarketStatus::PostOnly, [no, no, None]),
        (MarketStatus::CancelOnly, [no, no, no]),
        (MarketStatus::Halt, [no, no, no]),
        (MarketStatus::Closed, [no, no, no]),
    ] {
        let found = [market, buy(1, 1), resting].map(|submit| {
            let mut world = World::new(json!({}));
            world.status(status);
            world.code(&submit)
        });
        assert_eq!(found, wanted, "{status:?}");
    }
    let mut unknown = World::without_market(json!({}));
    unknown.quote(10_000, 10_002);
    assert_eq!(unknown.code(&buy(1, 1)), Some(Code::MissingInput), "a status that nobody has said");
}

#[test]
fn row_19_before_a_shutdown_nothing_is_opened_and_everything_may_be_closed() {
    let before_ms = |ms: i64, submit: &Submit| {
        let mut world = World::new(json!({ "shutdownLeadMs": 5_000 }));
        world.hold(10);
        world.guard.inputs.shutdown_at = Some(world.now.plus_ns(ms * NS_PER_MS));
        world.code(submit)
    };
    let no = Some(Code::ShutdownWindow);
    assert_eq!(
        [before_ms(5_001, &buy(1, 1)), before_ms(5_000, &buy(1, 1)), before_ms(4_999, &buy(1, 1)), before_ms(-1, &buy(1, 1))],
        [None, no, no, no]
    );
    assert_eq!(before_ms(1, &sell(10, 1)), None);
}

#[test]
fn row_20_a_venue_that_refuses_too_much_halts() {
    let mut world = World::new(json!({ "errors": { "count": 3, "windowMs": 1_000 } }));
    world.guard.on_venue_error(world.now);
    world.guard.on_venue_error(world.now);
    assert_eq!(world.code(&buy(1, 1)), None, "two of three");
    let id = world.last();
    world.tell(id, OrderEvent::Rejected(Refusal::Venue));
    world.guard.on_venue_error(world.now);
    assert_eq!((world.guard.state(), world.code(&buy(1, 2))), (State::Halted(Code::ErrorRate), Some(Code::ErrorRate)));
    let mut slow = World::new(json!({ "errors": { "count": 3, "windowMs": 1_000 } }));
    for _ in 0..9 {
        slow.guard.on_venue_error(slow.now);
        slow.pass_ms(500);
    }
    assert_eq!(slow.code(&buy(1, 1)), None, "never three within a second");
}

#[test]
fn row_21_our_clock_against_the_venues() {
    let with_skew = |skew| {
        let mut world = World::new(json!({}));
        world.guard.inputs.clock_skew_ms = skew;
        world.code(&buy(1, 1))
    };
    let no = Some(Code::ClockSkew);
    assert_eq!([999, 1_000, 1_001].map(|ms| with_skew(Some(ms))), [None, None, no]);
    assert_eq!([-999, -1_000, -1_001, 0].map(|ms| with_skew(Some(ms))), [None, None, no, None]);
    assert_eq!(with_skew(None), Some(Code::MissingInput));
}

#[test]
fn row_22_books_that_differ_or_were_not_compared() {
    for (reconciled, wanted) in [(Some(true), None), (Some(false), Some(Code::Unreconciled)), (None, Some(Code::Unreconciled))] {
        let mut world = World::new(json!({}));
        world.guard.inputs.reconciled = reconciled;
        assert_eq!(world.code(&buy(1, 1)), wanted);
    }
    let mut overfilled = World::new(json!({}));
    overfilled.admit(&buy(10, 1)).unwrap();
    let id = overfilled.last();
    overfilled.fill(id, 10_002, 11);
    assert_eq!(overfilled.code(&buy(1, 2)), Some(Code::Unreconciled), "the venue traded more than was asked");
}

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
