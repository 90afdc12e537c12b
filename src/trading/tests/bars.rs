//! Orders against bars: what fills, where, and how much of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::sync::Arc;

use reeve_trading::account::Account;
use reeve_trading::backtest::{Engine, Keep, Outcome};
use reeve_trading::event::MarketEvent;
use reeve_trading::input::Source;
use reeve_trading::instrument::{InstrumentId, Liquidity};
use reeve_trading::intent::{Intent, Size, Submit};
use reeve_trading::number::{Bps, Price, Qty};
use reeve_trading::order::{OrderKind, Side, StrategyTag, TimeInForce};
use reeve_trading::risk::{Code, Guard, GuardStart, InMemory, Inputs, LatchKey, State};
use reeve_trading::spec::StrategyFile;
use reeve_trading::strategy::{Seen, Strategy, View};
use reeve_trading::time::Time;
use serde_json::{Value, json};
use world::{bars_from, strategy_file};

const AT: InstrumentId = InstrumentId(0);

/// Asks for what it was told at each bar, by number, whatever happens.
struct Script {
    bar: usize,
    intents: Vec<(usize, Intent)>,
}

impl Strategy for Script {
    fn on_event(&mut self, seen: &Seen<'_>, _view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        let MarketEvent::Bar(_) = stamped.event else { return };
        intents.extend(self.intents.iter().filter(|(bar, _)| *bar == self.bar).map(|(_, intent)| *intent));
        self.bar += 1;
    }
}

fn file(change: impl FnOnce(&mut Value)) -> StrategyFile {
    strategy_file(json!({ "buyAndHold": { "instrument": "GOOG", "qty": "1" } }), |file| {
        file["limits"] = json!({
            "ceilings": "research",
            "instruments": { "GOOG": { "maxOrderQty": "1000", "maxPosition": "1000" } },
            "priceCollarBps": 5_000,
        });
        file["backtest"] = json!({ "liquidate": "mark" });
        change(file);
    })
}

/// Runs a script over bars of a minute; `rows` are `open,high,low,close,volume`.
fn play(file: &StrategyFile, rows: &[&str], intents: Vec<(usize, Intent)>) -> (Outcome, Keep) {
    let mut text = "time,open,high,low,close,volume\n".to_owned();
    for (minute, row) in rows.iter().enumerate() {
        text.push_str(&format!("2024-01-01 00:{minute:02}:00,{row}\n"));
    }
    let mut data = bars_from(&text, file, "1m");
    let universe = Arc::new(file.universe().unwrap());
    let limits = file.limits(&universe).unwrap();
    let account = Account::new(universe, limits.market_rules(), file.cash).unwrap();
    let key = LatchKey { account: "test".to_owned(), strategy: "test".to_owned() };
    let start = GuardStart { key, epoch: 1, now: Time(0) };
    let guard = Guard::start(start, limits, &account, Inputs::of_backtest(), InMemory::default());
    let script = Script { bar: 0, intents };
    let mut engine = Engine::new(file.settings().unwrap(), account, guard, StrategyTag::of("test"), script, Keep::default()).unwrap();
    while data.advance().unwrap().is_some() {
        engine.market(&data.current().unwrap()).unwrap();
    }
    engine.finish().unwrap()
}

fn fills(kept: &Keep) -> Vec<(i64, i64)> {
    kept.fills.iter().map(|record| (record.fill.price.0, record.fill.qty.0)).collect()
}

fn submit(side: Side, qty: i64, kind: OrderKind) -> Submit {
    // Each has a tag of its own by its content, so that none is a repetition.
    Submit { kind, ..Submit::market(AT, side, Qty(qty), 0) }
}

fn limit(price: i64) -> OrderKind {
    OrderKind::Limit { price: Price(price), post_only: false }
}

/// What one order gets in the bar after the one that led to it.
fn in_bar(row: &str, side: Side, kind: OrderKind) -> Vec<(i64, i64)> {
    let buy_first = submit(Side::Buy, 100, OrderKind::Market);
    let (start, rows) = match side {
        Side::Buy => (1, vec!["100,100,100,100,10000", "100,100,100,100,10000", row]),
        Side::Sell => (1, vec!["100,100,100,100,10000", "100,100,100,100,10000", row]),
    };
    let mut intents = vec![(start, Intent::Submit(submit(side, 10, kind)))];
    if side == Side::Sell {
        intents.push((0, Intent::Submit(buy_first)));
    }
    let (_, kept) = play(&file(|_| {}), &rows, intents);
    assert!(kept.denied.is_empty(), "{:?}", kept.denied);
    fills(&kept).into_iter().skip(usize::from(side == Side::Sell)).collect()
}

#[test]
fn a_market_order_fills_at_the_next_open() {
    assert_eq!(in_bar("101,102,99,100,1000", Side::Buy, OrderKind::Market), [(10_100, 10)]);
    assert_eq!(in_bar("101,102,99,100,1000", Side::Sell, OrderKind::Market), [(10_100, 10)]);
}

#[test]
fn a_limit_fills_only_when_the_price_goes_through_it_by_a_tick() {
    for (row, filled) in [("100,101,99.01,100,1000", None), ("100,101,99,100,1000", None), ("100,101,98.99,100,1000", Some(9_900))] {
        let wanted: Vec<_> = filled.map(|price| (price, 10)).into_iter().collect();
        assert_eq!(in_bar(row, Side::Buy, limit(9_900)), wanted, "{row}");
    }
    for (row, filled) in [("100,100.99,99,100,1000", None), ("100,101,99,100,1000", None), ("100,101.01,99,100,1000", Some(10_100))] {
        let wanted: Vec<_> = filled.map(|price| (price, 10)).into_iter().collect();
        assert_eq!(in_bar(row, Side::Sell, limit(10_100)), wanted, "{row}");
    }
}

#[test]
fn a_limit_fills_at_a_better_open() {
    assert_eq!(in_bar("98,99,97,98,1000", Side::Buy, limit(9_900)), [(9_800, 10)]);
    assert_eq!(in_bar("102,103,101,102,1000", Side::Sell, limit(10_100)), [(10_200, 10)]);
    assert_eq!(in_bar("99,99,99,99,1000", Side::Buy, limit(9_900)), [], "an open at the limit is a touch");
}

#[test]
fn a_stop_fills_at_its_trigger_with_slippage_or_at_the_open_that_gapped_through_it() {
    let stop = |trigger| OrderKind::Stop { trigger: Price(trigger) };
    assert_eq!(in_bar("100,101,99,100,1000", Side::Sell, stop(9_900)), [(9_900, 10)], "a touch sets it off");
    assert_eq!(in_bar("100,101,99.01,100,1000", Side::Sell, stop(9_900)), []);
    assert_eq!(in_bar("98,99,97,98,1000", Side::Sell, stop(9_900)), [(9_800, 10)]);
    assert_eq!(in_bar("100,101,99,100,1000", Side::Buy, stop(10_100)), [(10_100, 10)]);
    assert_eq!(in_bar("103,104,102,103,1000", Side::Buy, stop(10_100)), [(10_300, 10)]);
    let slips = file(|file| file["backtest"]["stopSlippageTicks"] = json!(5));
    let rows = ["100,100,100,100,10000", "100,101,99,100,1000"];
    let (_, kept) = play(&slips, &rows, vec![(0, Intent::Submit(submit(Side::Buy, 10, stop(10_100))))]);
    assert_eq!(fills(&kept), [(10_105, 10)]);
}

#[test]
fn a_stop_limit_waits_for_its_limit_once_it_is_set_off() {
    let kind = |trigger, price| OrderKind::StopLimit { trigger: Price(trigger), price: Price(price) };
    assert_eq!(in_bar("100,101,99,100,1000", Side::Buy, kind(10_050, 10_060)), [(10_050, 10)], "it trades where it was set off");
    // Set off on the way up, filled on the way down: O 100 → L 100 → H 101 → C 100.2.
    assert_eq!(in_bar("100,101,100,100.2,1000", Side::Buy, kind(10_050, 10_030)), [(10_030, 10)]);
    assert_eq!(in_bar("100,101,100,100.3,1000", Side::Buy, kind(10_050, 10_030)), [], "the close only touches it");
    assert_eq!(in_bar("102,103,101,102,1000", Side::Buy, kind(10_050, 10_060)), [], "gapped past its limit");
}

#[test]
fn a_trailing_stop_follows_the_price_and_is_set_off_when_it_comes_back() {
    let trail = |distance| OrderKind::TrailingStop { distance };
    // O 100 → L 99.5 → H 103 → C 102: from 103 it comes back by one.
    assert_eq!(in_bar("100,103,99.5,102,1000", Side::Sell, trail(100)), [(10_200, 10)], "a touch sets it off");
    assert_eq!(in_bar("100,103,99.5,102.01,1000", Side::Sell, trail(100)), []);
    // Closed down: O 100 → H 103 → L 99 → C 99.5.
    assert_eq!(in_bar("100,103,99,99.5,1000", Side::Sell, trail(250)), [(10_050, 10)]);
    assert_eq!(in_bar("100,103,99,99.5,1000", Side::Sell, trail(500)), []);
    assert_eq!(in_bar("100,101,98,100.5,1000", Side::Buy, trail(200)), [(10_000, 10)], "a buyer's trails from above");
    let rows = ["100,100,100,100,10000", "100,100,100,100,10000", "105,105,105,105,10000", "103,103,103,103,10000"];
    let buy = (0, Intent::Submit(submit(Side::Buy, 10, OrderKind::Market)));
    let (_, kept) = play(&file(|_| {}), &rows, vec![buy, (1, Intent::Submit(submit(Side::Sell, 10, trail(150))))]);
    assert_eq!(fills(&kept), [(10_000, 10), (10_300, 10)], "it stood at 103.50, and the open was past it");
}

#[test]
fn the_path_goes_to_the_far_side_first() {
    // Closed up: low before high. The bid at 99.50 fills before the ask could have; a stop at 100.50 after it.
    let rows = ["100,100,100,100,10000", "100,101,99,100.1,1000"];
    let both = |rows: &[&str]| {
        let buy_low = Intent::Submit(submit(Side::Buy, 10, limit(9_950)));
        let buy_high = Intent::Submit(submit(Side::Buy, 10, OrderKind::Stop { trigger: Price(10_050) }));
        fills(&play(&file(|_| {}), rows, vec![(0, buy_high), (0, buy_low)]).1)
    };
    assert_eq!(both(&rows), [(9_950, 10), (10_050, 10)]);
    assert_eq!(both(&["100,100,100,100,10000", "100,101,99,99.9,1000"]), [(10_050, 10), (9_950, 10)], "closed down: high first");
}

#[test]
fn our_orders_take_at_most_a_tenth_of_a_bars_volume_together() {
    let rows = ["100,100,100,100,10000", "100,100,100,100,149", "101,101,101,101,100", "102,102,102,102,9"];
    let ask = |qty| (0, Intent::Submit(submit(Side::Buy, qty, OrderKind::Market)));
    let (_, kept) = play(&file(|_| {}), &rows, vec![ask(10), ask(15)]);
    assert_eq!(fills(&kept), [(10_000, 10), (10_000, 4), (10_100, 10)], "14 of 149, then 10 of 100, and nothing of 9");
}

#[test]
fn ioc_gets_what_one_bar_has_and_fok_all_or_nothing() {
    let rows = ["100,100,100,100,10000", "100,100,100,100,100", "100,100,100,100,10000"];
    let with = |tif, qty| {
        let submit = Submit { tif, ..submit(Side::Buy, qty, OrderKind::Market) };
        fills(&play(&file(|_| {}), &rows, vec![(0, Intent::Submit(submit))]).1)
    };
    assert_eq!(with(TimeInForce::Ioc, 25), [(10_000, 10)]);
    assert_eq!(with(TimeInForce::Fok, 25), []);
    assert_eq!(with(TimeInForce::Fok, 10), [(10_000, 10)]);
    assert_eq!(with(TimeInForce::Gtc, 25), [(10_000, 10), (10_000, 15)]);
}

#[test]
fn post_only_is_refused_where_it_would_take_and_makes_where_it_rested() {
    let post_only = |price| OrderKind::Limit { price: Price(price), post_only: true };
    assert_eq!(in_bar("98,99,97,98,1000", Side::Buy, post_only(9_900)), []);
    let rows = ["100,100,100,100,10000", "100,100,100,100,10000", "100,100,98,99,10000"];
    let (_, kept) = play(&file(|_| {}), &rows, vec![(0, Intent::Submit(submit(Side::Buy, 10, post_only(9_900))))]);
    assert_eq!(kept.fills[0].fill.liquidity, Liquidity::Maker);
}

#[test]
fn where_both_legs_of_a_pair_are_reachable_the_worse_one_fills_and_the_other_ends() {
    let pair = |rows: &[&str]| {
        let target = Submit { oco: Some(1), ..submit(Side::Sell, 10, limit(10_050)) };
        let stop = Submit { oco: Some(1), ..submit(Side::Sell, 10, OrderKind::Stop { trigger: Price(9_950) }) };
        let buy = Intent::Submit(submit(Side::Buy, 10, OrderKind::Market));
        let (outcome, kept) = play(&file(|_| {}), rows, vec![(0, buy), (1, Intent::Submit(target)), (1, Intent::Submit(stop))]);
        assert!(kept.denied.is_empty(), "{:?}", kept.denied);
        (fills(&kept)[1..].to_vec(), outcome.equity.unwrap())
    };
    let flat = "100,100,100,100,10000";
    // Closed down, so the high comes first on the path; the stop is taken all the same.
    assert_eq!(pair(&[flat, flat, "100,101,99,99.9,10000", "100,101,99,100,10000"]).0, [(9_950, 10)]);
    assert_eq!(pair(&[flat, flat, "100,101,99.9,100,10000", "100,101,99,100,10000"]).0, [(10_050, 10)], "only the target was reachable");
    // Half of the stop fills, so half of the target is left, and then the rest of the stop.
    assert_eq!(pair(&[flat, flat, "100,100,99,99,50", "101,101,101,101,10000"]).0, [(9_950, 5), (10_100, 5)]);
}

#[test]
fn an_order_that_arrives_within_a_bar_waits_for_the_next_open() {
    let rows = ["100,100,100,100,10000", "101,101,101,101,10000", "102,102,102,102,10000"];
    let with_latency = |ms: i64| {
        let file = file(|file| file["backtest"]["latencyMs"] = json!(ms));
        fills(&play(&file, &rows, vec![(0, Intent::Submit(submit(Side::Buy, 1, OrderKind::Market)))]).1)
    };
    assert_eq!(with_latency(0), [(10_100, 1)]);
    assert_eq!(with_latency(1), [(10_200, 1)]);
    assert_eq!(with_latency(60_000), [(10_200, 1)]);
    assert_eq!(with_latency(60_001), []);
}

#[test]
fn a_cancel_that_arrives_within_a_bar_takes_what_the_bar_left() {
    let rows = ["100,100,100,100,10000", "100,100,98,99,100", "99,99,97,98,10000"];
    let buy = (0, Intent::Submit(submit(Side::Buy, 25, limit(9_900))));
    let with_cancel_at = |bar| {
        let file = file(|file| file["backtest"]["latencyMs"] = json!(0));
        fills(&play(&file, &rows, vec![buy, (bar, Intent::CancelAll(AT))]).1)
    };
    assert_eq!(with_cancel_at(0), [], "cancelled before it could trade");
    assert_eq!(with_cancel_at(1), [(9_900, 10)]);
}

#[test]
fn the_venue_does_not_lend() {
    let poor = file(|file| file["cash"] = json!("1500"));
    let rows = ["100,100,100,100,10000", "200,200,200,200,10000"];
    let (outcome, kept) = play(&poor, &rows, vec![(0, Intent::Submit(submit(Side::Buy, 10, OrderKind::Market)))]);
    assert_eq!(fills(&kept), [(20_000, 7)], "ten were ordered at 100 with room for half as much again; the open was twice as far");
    assert_eq!(outcome.cash.to_string(), "100");
}

#[test]
fn gaps_are_counted_and_nothing_is_put_into_them() {
    let file = file(|_| {});
    let text =
        "time,open,high,low,close,volume\n2024-01-01 00:00:00,1,1,1,1,1\n2024-01-01 00:01:00,1,1,1,1,1\n2024-01-01 00:05:00,1,1,1,1,1\n";
    let (outcome, _) = reeve_trading::backtest::run(&file, bars_from(text, &file, "1m"), Keep::default()).unwrap();
    assert_eq!((outcome.tally.bars, outcome.tally.gaps), (3, 1));
}

#[test]
fn a_loss_of_the_day_cancels_what_opens_and_the_next_day_goes_on_where_that_is_configured() {
    let file = file(|file| {
        file["limits"]["maxDailyLoss"] = json!("100");
        file["limits"]["autoRearm"] = json!(true);
    });
    let rows = ["100,100,100,100,10000", "100,100,100,100,10000", "98,98,98,98,10000", "98,98,90,98,10000"];
    let buy = (0, Intent::Submit(submit(Side::Buy, 100, OrderKind::Market)));
    let bid = (1, Intent::Submit(submit(Side::Buy, 10, limit(9_500))));
    let again = (2, Intent::Submit(submit(Side::Buy, 10, limit(9_400))));
    let (outcome, kept) = play(&file, &rows, vec![buy, bid, again]);
    assert_eq!(fills(&kept), [(10_000, 100)], "the bid at 95 was cancelled before the price came there");
    assert_eq!((kept.stops.len(), kept.denied.len(), outcome.tally.cancels), (1, 1, 1));
    assert_eq!(kept.stops[0].denial.to_string(), "DAILY_LOSS: allowed 100, found 200", "the overshoot is measured");
}

#[test]
fn a_stopped_strategy_is_flattened_in_slices_beside_its_stop_where_that_is_configured() {
    let file = file(|file| {
        file["limits"]["maxDailyLoss"] = json!("100");
        file["limits"]["flatten"] = json!(true);
        file["limits"]["priceCollarBps"] = json!(500);
        file["limits"]["instruments"]["GOOG"] = json!({ "maxOrderQty": "60", "maxPosition": "1000" });
    });
    let stop = Submit { size: Size::Lots(Qty(60)), ..submit(Side::Sell, 60, OrderKind::Stop { trigger: Price(8_000) }) };
    let buy = |tag| Intent::Submit(Submit { tag, ..submit(Side::Buy, 60, OrderKind::Market) });
    let flat = "100,100,100,100,10000";
    let rows = [flat, flat, "98,98,98,98,10000", "97,97,97,97,300", "97,97,97,97,10000", "97,97,97,97,10000", "97,97,97,97,10000"];
    let (outcome, kept) = play(&file, &rows, vec![(0, buy(1)), (0, buy(2)), (1, Intent::Submit(stop))]);
    assert_eq!(fills(&kept), [(10_000, 60), (10_000, 60), (9_700, 30), (9_700, 60), (9_700, 30)]);
    assert_eq!(kept.orders.iter().filter(|record| record.order.tif == TimeInForce::Ioc).count(), 3);
    assert_eq!((outcome.equity.unwrap(), outcome.tally.denied.len()), (outcome.cash, 0));
    assert_eq!(outcome.state, reeve_trading::risk::State::Reducing(reeve_trading::risk::Code::DailyLoss));
}

#[test]
fn whatever_stops_trading_cancels_what_opens_in_that_event() {
    let bid = |bar, tag| (bar, Intent::Submit(Submit { tag, ..submit(Side::Buy, 10, limit(9_500)) }));
    let rows = ["100,100,100,100,10000", "99,99,99,99,10000", "99,99,90,99,10000"];
    let once = |field: &str| {
        let file = file(|file| file["limits"][field] = json!({ "count": 1, "windowMs": 600_000 }));
        let refused = (0, Intent::Submit(submit(Side::Buy, 1, OrderKind::Limit { price: Price(9_950), post_only: true })));
        let (outcome, kept) = play(&file, &rows, vec![bid(0, 1), if field == "errors" { refused } else { bid(1, 2) }]);
        (outcome.state, fills(&kept), outcome.tally.cancels)
    };
    assert_eq!(once("errors"), (State::Halted(Code::ErrorRate), vec![], 1));
    assert_eq!(once("repeat"), (State::Halted(Code::RepeatHalt), vec![], 1));
}

#[test]
fn a_fill_is_judged_by_the_mark_of_its_own_bar() {
    let file = file(|file| {
        file["limits"]["maxDailyLoss"] = json!("5000");
        file["limits"]["maxDrawdownBps"] = json!(1_000);
        file["limits"]["priceCollarBps"] = json!(1_000);
    });
    for next in ["106,106,106,106,10000", "80,80,80,80,10000"] {
        let buy = (0, Intent::Submit(submit(Side::Buy, 900, OrderKind::Market)));
        let (outcome, kept) = play(&file, &["100,100,100,100,10000", next], vec![buy]);
        assert_eq!((fills(&kept).len(), kept.stops.len(), outcome.state), (1, 0, State::Active), "{next}: {:?}", kept.stops);
        assert_eq!(outcome.equity.unwrap().to_string(), "100000", "{next}");
    }
    let buy = (0, Intent::Submit(submit(Side::Buy, 900, OrderKind::Market)));
    let (_, kept) = play(&file, &["100,100,100,100,10000", "106,106,100,100,10000"], vec![buy]);
    assert_eq!(kept.stops.len(), 1, "the close of that bar is a loss");
}

#[test]
fn a_fee_that_is_rounded_for_the_whole_trade_is_asked_for_once() {
    let file = file(|file| {
        file["cash"] = json!("1001.85");
        file["instruments"][0]["fees"] = json!({ "maker": "0.001", "taker": "0.001", "rounding": 2 });
    });
    for size in [Size::Lots(Qty(10)), Size::Fraction(Bps(10_000))] {
        let buy = Submit { size, ..submit(Side::Buy, 10, limit(10_008)) };
        let (outcome, kept) = play(&file, &["100.08,101,100,100.08,10000", "101,101,100,100,10000"], vec![(0, Intent::Submit(buy))]);
        assert_eq!((fills(&kept), outcome.cash.to_string()), (vec![(10_008, 10)], "0.04".to_owned()), "{:?}", kept.denied);
    }
}

#[test]
fn an_immediate_limit_takes_what_the_open_has_or_ends() {
    for tif in [TimeInForce::Ioc, TimeInForce::Fok] {
        for (row, wanted) in [("100,100,98,99,10000", vec![]), ("98,100,98,99,10000", vec![(9_800, 10)])] {
            let buy = Submit { tif, ..submit(Side::Buy, 10, limit(9_900)) };
            let (_, kept) = play(&file(|_| {}), &["100,100,100,100,10000", row], vec![(0, Intent::Submit(buy))]);
            assert_eq!(fills(&kept), wanted, "{tif:?} in {row}");
        }
    }
}

#[test]
fn a_stop_limit_that_can_trade_when_it_is_set_off_takes_and_never_through_its_limit() {
    let slips = file(|file| file["backtest"]["stopSlippageTicks"] = json!(5));
    let filled = |trigger, price| {
        let kind = OrderKind::StopLimit { trigger: Price(trigger), price: Price(price) };
        let rows = ["100,100,100,100,10000", "100,101,100,100.2,10000"];
        let (_, kept) = play(&slips, &rows, vec![(0, Intent::Submit(submit(Side::Buy, 10, kind)))]);
        kept.fills.iter().map(|record| (record.fill.price.0, record.fill.liquidity)).collect::<Vec<_>>()
    };
    assert_eq!(filled(10_050, 10_060), [(10_055, Liquidity::Taker)]);
    assert_eq!(filled(10_050, 10_052), [(10_052, Liquidity::Taker)]);
    assert_eq!(filled(10_050, 10_030), [(10_030, Liquidity::Maker)], "it rested until the price came back");
}

#[test]
fn a_post_only_order_that_rested_makes_when_the_price_gaps_through_it() {
    let post_only = OrderKind::Limit { price: Price(9_900), post_only: true };
    let rows = ["100,100,100,100,10000", "100,100,100,100,10000", "98,98,98,98,10000"];
    let (_, kept) = play(&file(|_| {}), &rows, vec![(0, Intent::Submit(submit(Side::Buy, 10, post_only)))]);
    assert_eq!((fills(&kept), kept.fills[0].fill.liquidity), (vec![(9_800, 10)], Liquidity::Maker));
}

#[test]
fn what_was_dust_is_sold_once_there_is_more_of_it() {
    let file = file(|file| {
        file["instruments"][0]["minNotional"] = json!("500");
        file["limits"]["maxDailyLoss"] = json!("100");
        file["limits"]["flatten"] = json!(true);
        file["limits"]["priceCollarBps"] = json!(500);
        file["backtest"]["latencyMs"] = json!(1);
    });
    // The bid fills while its cancel is on the way, after ten lots were found too small to sell.
    let (flat, low) = ("100,100,100,100,10000", "34,34,34,34,10000");
    let rows = [flat, flat, "100,100,40,40,10000", low, low, low, low, low];
    let buy = (0, Intent::Submit(submit(Side::Buy, 10, OrderKind::Market)));
    let bid = (0, Intent::Submit(Submit { tag: 1, ..submit(Side::Buy, 100, limit(3_500)) }));
    let (outcome, kept) = play(&file, &rows, vec![buy, bid]);
    assert_eq!(fills(&kept), [(10_000, 10), (3_400, 100), (3_400, 110)], "{:?}", kept.denied);
    assert_eq!(outcome.tally.denied.get(&Code::Dust), Some(&1), "and reported once");
}

#[test]
fn a_close_gives_what_is_left_of_its_bars_tenth() {
    let file = file(|file| file["backtest"]["barFill"] = json!("same_close"));
    let rows = ["100,100,100,100,10000", "100,100,98,99,100", "99,99,99,99,10000"];
    let bid = (0, Intent::Submit(submit(Side::Buy, 6, limit(9_850))));
    let at_close = (1, Intent::Submit(submit(Side::Buy, 10, OrderKind::Market)));
    let (_, kept) = play(&file, &rows, vec![bid, at_close]);
    assert_eq!(fills(&kept), [(9_850, 6), (9_900, 4), (9_900, 6)]);
}

#[test]
fn the_sale_at_the_end_of_the_data_waits_for_no_throttle() {
    let file = file(|file| {
        file["backtest"]["liquidate"] = json!("last_close");
        file["limits"]["instruments"]["GOOG"] = json!({ "maxOrderQty": "10", "maxPosition": "1000" });
        file["limits"]["ordersPerSecond"] = json!(1);
    });
    let buy = |bar| (bar, Intent::Submit(Submit { tag: bar as u64, ..submit(Side::Buy, 10, OrderKind::Market) }));
    let flat = "100,100,100,100,10000";
    let (outcome, kept) = play(&file, &[flat, flat, flat, flat], vec![buy(0), buy(1), buy(2)]);
    assert_eq!(outcome.left, []);
    assert_eq!(fills(&kept)[3..], [(10_000, 10), (10_000, 10), (10_000, 10)], "in slices of row 1");
    assert_eq!(kept.orders.len(), 6);
}

#[test]
fn the_sale_at_the_end_of_the_data_needs_no_fresh_mark() {
    let file = file(|file| {
        file["backtest"]["liquidate"] = json!("last_close");
        file["limits"]["maxJumpBps"] = json!(500);
    });
    let flat = "100,100,100,100,10000";
    let buy = (0, Intent::Submit(submit(Side::Buy, 10, OrderKind::Market)));
    // The last price is a jump that nothing confirmed.
    let (outcome, kept) = play(&file, &[flat, flat, "80,80,80,80,10000"], vec![buy]);
    assert_eq!((outcome.left, fills(&kept)), (vec![], vec![(10_000, 10), (8_000, 10)]));
}
