//! Rows 15 to 22: what the market, the venue and people say, at each limit, one step either side, and missing.

use reeve_trading::event::{MarketEvent, MarketStatus};
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Refusal, Side};
use reeve_trading::risk::{Code, State};
use reeve_trading::time::NS_PER_MS;
use serde_json::json;

use crate::world::{AT, World, buy, limit, sell};

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
