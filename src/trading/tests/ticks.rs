//! Orders against trades, quotes and books: what is taken, and who stands in line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod recorded;

use std::sync::Arc;

use recorded::{frames, recording};
use reeve_trading::account::Account;
use reeve_trading::backtest::{Engine, Keep, Outcome, run};
use reeve_trading::event::{BookChange, Key, Level, MarketEvent, Quote, Stamped, Trade};
use reeve_trading::instrument::{InstrumentId, Liquidity};
use reeve_trading::intent::{Intent, Submit};
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Side, StrategyTag, TimeInForce};
use reeve_trading::risk::{Code, Guard, GuardStart, InMemory, Inputs, LatchKey};
use reeve_trading::spec::StrategyFile;
use reeve_trading::strategy::{Seen, Strategy, View};
use reeve_trading::time::{NS_PER_MS, Time};
use serde_json::{Value, json};

const AT: InstrumentId = InstrumentId(0);

/// Answers the event of a number with intents, and takes down what it hears.
struct Script {
    seen: usize,
    intents: Vec<(usize, Intent)>,
    heard: std::rc::Rc<std::cell::RefCell<Vec<(i64, String)>>>,
}

impl Strategy for Script {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        match seen {
            Seen::Market(_) => {
                intents.extend(self.intents.iter().filter(|(event, _)| *event == self.seen).map(|(_, intent)| *intent));
                self.seen += 1;
            }
            Seen::Order(_, event) => {
                let word = match event {
                    OrderEvent::Fill(fill) => format!("fill {}x{}", fill.qty.0, fill.price.0),
                    OrderEvent::Accepted
                    | OrderEvent::Rejected(_)
                    | OrderEvent::Triggered
                    | OrderEvent::Reduced { .. }
                    | OrderEvent::Cancelled
                    | OrderEvent::Expired
                    | OrderEvent::CancelRejected => format!("{event:?}"),
                };
                self.heard.borrow_mut().push((view.now().0 / NS_PER_MS, word));
            }
            Seen::Timer(at) => self.heard.borrow_mut().push((at.0 / NS_PER_MS, "timer".to_owned())),
        }
    }
}

fn file(change: impl FnOnce(&mut Value)) -> StrategyFile {
    let mut file = json!({
        "name": "test", "currency": "USD", "cash": "100000",
        "strategy": { "buyAndHold": { "instrument": "X", "qty": "1" } },
        "instruments": [{ "symbol": "X", "base": "X", "quote": "USD", "tickSize": "1", "lotSize": "1", "maxQty": "1000", "maxPrice": "10000" }],
        "limits": { "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "500" } }, "priceCollarBps": 500 },
        "data": { "interval": "1s" },
        "backtest": { "liquidate": "mark" },
    });
    change(&mut file);
    serde_json::from_value(file).unwrap()
}

struct Played {
    fills: Vec<(i64, i64, bool)>,
    heard: Vec<(i64, String)>,
    kept: Keep,
    outcome: Outcome,
}

/// Plays events a millisecond apart; an intent answers the event of its number.
fn play(file: &StrategyFile, events: &[MarketEvent<'_>], intents: &[(usize, Submit)]) -> Played {
    let intents: Vec<(usize, Intent)> = intents.iter().map(|(event, submit)| (*event, Intent::Submit(*submit))).collect();
    play_intents(file, events, intents)
}

fn play_intents(file: &StrategyFile, events: &[MarketEvent<'_>], intents: Vec<(usize, Intent)>) -> Played {
    let universe = Arc::new(file.universe().unwrap());
    let limits = file.limits(&universe).unwrap();
    let account = Account::new(universe, limits.market_rules(), file.cash).unwrap();
    let key = LatchKey { account: "test".to_owned(), strategy: "test".to_owned() };
    let guard = Guard::start(GuardStart { key, epoch: 1, now: Time(0) }, limits, &account, Inputs::of_backtest(), InMemory::default());
    let heard = std::rc::Rc::default();
    let script = Script { seen: 0, intents, heard: std::rc::Rc::clone(&heard) };
    let mut engine = Engine::new(file.settings().unwrap(), account, guard, StrategyTag::of("test"), script, Keep::default()).unwrap();
    for (event, seq) in events.iter().zip(0..) {
        let time = Time(seq as i64 * NS_PER_MS);
        let key = Key { time, class: event.class(), source: 0, seq };
        engine.market(&Stamped { key, exchange_time: time, instrument: AT, event: *event }).unwrap();
        assert_eq!(engine.account().ledger().imbalance(AT_BASE), Ok(Money::ZERO));
    }
    let (outcome, kept) = engine.finish().unwrap();
    let fills =
        kept.fills.iter().map(|record| (record.fill.price.0, record.fill.qty.0, record.fill.liquidity == Liquidity::Maker)).collect();
    let heard = heard.borrow().clone();
    Played { fills, heard, kept, outcome }
}

const AT_BASE: reeve_trading::instrument::AssetId = reeve_trading::instrument::AssetId(1);

fn quote(bid: i64, bid_qty: i64, ask: i64, ask_qty: i64) -> MarketEvent<'static> {
    MarketEvent::Quote(Quote { bid: Price(bid), bid_qty: Qty(bid_qty), ask: Price(ask), ask_qty: Qty(ask_qty) })
}

fn trade(price: i64, qty: i64, taker: Side) -> MarketEvent<'static> {
    MarketEvent::Trade(Trade { price: Price(price), qty: Qty(qty), taker })
}

fn buy(qty: i64, kind: OrderKind) -> Submit {
    Submit { kind, ..Submit::market(AT, Side::Buy, Qty(qty), 1) }
}

fn limit(price: i64) -> OrderKind {
    OrderKind::Limit { price: Price(price), post_only: false }
}

#[test]
fn a_market_order_takes_what_is_shown_and_the_rest_is_cancelled() {
    let played = play(&file(|_| {}), &[quote(99, 5, 100, 7), quote(99, 5, 100, 8)], &[(0, buy(10, OrderKind::Market))]);
    assert_eq!(played.fills, [(100, 7, false)]);
    assert_eq!(played.heard.last().unwrap().1, "Expired");
}

#[test]
fn what_we_took_stays_gone_until_the_level_is_updated() {
    let two = [(0, buy(5, OrderKind::Market)), (1, Submit { tag: 2, ..buy(5, OrderKind::Market) })];
    let again = play(&file(|_| {}), &[quote(99, 5, 100, 7), quote(99, 6, 100, 7), quote(99, 6, 100, 7)], &two);
    assert_eq!(again.fills, [(100, 5, false), (100, 2, false)], "the ask said the same again");
    let updated = play(&file(|_| {}), &[quote(99, 5, 100, 7), quote(99, 5, 100, 8), quote(99, 5, 100, 8)], &two);
    assert_eq!(updated.fills, [(100, 5, false), (100, 5, false)]);
}

#[test]
fn a_resting_order_waits_behind_what_was_shown_when_it_came() {
    let rest = [(0, buy(5, limit(99)))];
    let after = |events: &[MarketEvent<'static>]| {
        let mut all = vec![quote(99, 10, 101, 10), quote(99, 10, 101, 11)];
        all.extend_from_slice(events);
        play(&file(|_| {}), &all, &rest).fills
    };
    assert_eq!(after(&[trade(99, 10, Side::Sell)]), [], "all of it went to those ahead");
    assert_eq!(after(&[trade(99, 12, Side::Sell)]), [(99, 2, true)]);
    assert_eq!(after(&[trade(99, 6, Side::Sell), trade(99, 6, Side::Sell)]), [(99, 2, true)]);
    assert_eq!(after(&[trade(99, 12, Side::Sell), trade(99, 1, Side::Sell)]), [(99, 2, true), (99, 1, true)]);
    assert_eq!(after(&[quote(99, 3, 101, 10), trade(99, 4, Side::Sell)]), [(99, 1, true)], "no more is ahead than is shown");
    assert_eq!(after(&[quote(99, 30, 101, 10), trade(99, 12, Side::Sell)]), [(99, 2, true)], "who came later stands behind");
    assert_eq!(after(&[trade(98, 3, Side::Sell)]), [(99, 3, true)], "a trade through our price reaches us first");
    assert_eq!(after(&[trade(99, 50, Side::Buy)]), [], "a buyer takes from the ask");
}

#[test]
fn orders_of_one_price_fill_by_time_of_arrival_and_a_better_price_comes_first() {
    let orders = [(0, buy(2, limit(99))), (1, Submit { tag: 2, ..buy(2, limit(99)) }), (2, Submit { tag: 3, ..buy(2, limit(100)) })];
    let q = |n: i64| quote(99, 4, 102, n);
    let played = play(&file(|_| {}), &[q(1), q(2), q(3), q(4), trade(99, 9, Side::Sell)], &orders);
    assert_eq!(played.fills, [(100, 2, true), (99, 2, true), (99, 1, true)]);
}

#[test]
fn post_only_never_takes() {
    let post_only = |price| OrderKind::Limit { price: Price(price), post_only: true };
    let events = [quote(99, 5, 100, 7), quote(99, 5, 100, 8)];
    let played = play(&file(|_| {}), &events, &[(0, buy(1, post_only(100)))]);
    assert_eq!((played.fills.len(), played.heard[0].1.as_str()), (0, "Rejected(WouldTake)"));
    assert_eq!(play(&file(|_| {}), &events, &[(0, buy(1, post_only(99)))]).heard[0].1, "Accepted");
}

#[test]
fn ioc_and_fok_never_rest() {
    let events = [quote(99, 5, 100, 7), quote(99, 5, 100, 8), trade(98, 9, Side::Sell)];
    let with = |tif, qty, price| play(&file(|_| {}), &events, &[(0, Submit { tif, ..buy(qty, limit(price)) })]).fills;
    assert_eq!(with(TimeInForce::Ioc, 9, 100), [(100, 7, false)]);
    assert_eq!(with(TimeInForce::Fok, 9, 100), []);
    assert_eq!(with(TimeInForce::Fok, 7, 100), [(100, 7, false)]);
    assert_eq!(with(TimeInForce::Ioc, 9, 99), []);
    assert_eq!(with(TimeInForce::Gtc, 9, 99), [(99, 9, true)]);
}

#[test]
fn stops_are_set_off_by_the_last_trade_and_take_what_is_shown_then() {
    let stop = buy(3, OrderKind::Stop { trigger: Price(101) });
    let events = |last: i64| [quote(99, 5, 100, 7), quote(99, 5, 102, 8), trade(last, 1, Side::Buy)];
    assert_eq!(play(&file(|_| {}), &events(100), &[(0, stop)]).fills, []);
    assert_eq!(play(&file(|_| {}), &events(101), &[(0, stop)]).fills, [(102, 3, false)]);
    let stop_limit = buy(3, OrderKind::StopLimit { trigger: Price(101), price: Price(101) });
    let mut all = events(101).to_vec();
    all.push(trade(101, 2, Side::Sell));
    assert_eq!(play(&file(|_| {}), &all, &[(0, stop_limit)]).fills, [(101, 2, true)], "it rests inside the spread, with nobody ahead");
}

#[test]
fn a_trailing_stop_follows_the_last_trade_and_never_back() {
    let sell = Submit { kind: OrderKind::TrailingStop { distance: 3 }, tag: 2, ..Submit::market(AT, Side::Sell, Qty(2), 2) };
    let q = |n: i64| quote(99, 50, 100, 50 + n);
    let after = |trades: &[i64]| {
        let mut events = vec![q(0), q(1), q(2), q(3)];
        events.extend(trades.iter().map(|price| trade(*price, 1, Side::Buy)));
        play(&file(|_| {}), &events, &[(0, buy(2, OrderKind::Market)), (2, sell)]).fills[1..].to_vec()
    };
    assert_eq!(after(&[100, 98]), []);
    assert_eq!(after(&[100, 97]), [(99, 2, false)]);
    assert_eq!(after(&[100, 110, 108]), []);
    assert_eq!(after(&[100, 110, 107]), [(99, 2, false)]);
    assert_eq!(after(&[110, 108, 109, 107]), [(99, 2, false)], "a lower trade does not lower it");
}

#[test]
fn a_partial_fill_of_one_leg_of_a_pair_takes_as_much_from_the_other() {
    let sell = |kind, tag| Submit { kind, oco: Some(1), tag, ..Submit::market(AT, Side::Sell, Qty(10), tag) };
    let q = |n: i64| quote(99, 50, 100, 50 + n);
    let orders = [(0, buy(10, OrderKind::Market)), (2, sell(limit(102), 2)), (2, sell(OrderKind::Stop { trigger: Price(97) }, 3))];
    let mut events = vec![q(0), q(1), q(2), q(3), quote(99, 50, 102, 0), trade(102, 4, Side::Buy)];
    events.extend([quote(96, 50, 98, 50), trade(97, 1, Side::Sell)]);
    let played = play(&file(|_| {}), &events, &orders);
    assert_eq!(played.fills, [(100, 10, false), (102, 4, true), (96, 6, false)]);
    assert_eq!(played.outcome.tally.denied.len(), 0, "{:?}", played.kept.denied);
    assert_eq!(played.outcome.cash.to_string(), (100_000 - 1_000 + 408 + 576).to_string());
}

#[test]
fn latency_goes_both_ways_and_the_books_wait_for_the_word() {
    let slow = file(|file| {
        file["backtest"]["latencyMs"] = json!(2);
        file["backtest"]["returnLatencyMs"] = json!(3);
    });
    let events: Vec<_> = (0..9).map(|n| quote(99, 5, 100 + n, 7)).collect();
    let played = play(&slow, &events, &[(0, buy(1, OrderKind::Market))]);
    // Sent at 0 ms, there at 2 ms after that instant's quote, heard of 3 ms later: nothing waits for the next event.
    assert_eq!(played.heard, [(5, "Accepted".to_owned()), (5, "fill 1x102".to_owned())]);
    assert_eq!(played.kept.fills[0].at, Time(5 * NS_PER_MS));
}

#[test]
fn a_stop_goes_by_the_last_trade_or_where_that_is_asked_for_by_the_mark() {
    let by = |trigger: &str| file(|file| file["backtest"]["stopTrigger"] = json!(trigger));
    let stop = Submit { kind: OrderKind::Stop { trigger: Price(105) }, ..Submit::market(AT, Side::Buy, Qty(1), 1) };
    // The market goes past the trigger, and no one trades; then someone trades past it in a market that is below.
    let (past, below) = (quote(106, 9, 107, 9), quote(99, 9, 100, 9));
    let quoted = [below, below, past, past, past];
    let traded = [below, below, trade(106, 1, Side::Buy), below, below];
    let filled = |trigger: &str, events: &[MarketEvent<'_>]| play(&by(trigger), events, &[(0, stop)]).fills;
    assert_eq!((filled("last_trade", &quoted), filled("last_trade", &traded)), (vec![], vec![(100, 1, false)]));
    assert_eq!((filled("mark", &quoted), filled("mark", &traded)), (vec![(107, 1, false)], vec![]));
    // The mid of 104 and 105 is half a tick short of the trigger, and without a market there is nothing but the trade.
    assert_eq!(filled("mark", &[below, below, quote(104, 9, 105, 9), quote(104, 9, 106, 9)]), [(106, 1, false)]);
    assert_eq!(filled("mark", &[below, MarketEvent::Disconnect, trade(106, 1, Side::Buy), below]), []);
}

#[test]
fn after_a_disconnect_quotes_alone_make_no_market_of_an_instrument_that_has_a_book() {
    let level = |price, qty| Level { price: Price(price), qty: Qty(qty) };
    let (bids, asks) = ([level(99, 5)], [level(100, 5)]);
    let snapshot = |id| MarketEvent::Snapshot(BookChange { first_id: id, last_id: id, bids: &bids, asks: &asks });
    let delta = MarketEvent::Delta(BookChange { first_id: 5, last_id: 5, bids: &[], asks: &[] });
    let fresh = quote(99, 5, 100, 5);
    let events = [fresh, snapshot(1), MarketEvent::Disconnect, fresh, delta, fresh, snapshot(5), fresh, fresh];
    let order = |tag| Submit { tag, ..buy(1, OrderKind::Market) };
    let played = play(&file(|_| {}), &events, &[(1, order(1)), (3, order(2)), (5, order(3)), (7, order(4))]);
    let denied: Vec<_> = played.kept.denied.iter().map(|denied| (denied.at.0 / NS_PER_MS, denied.denial.code)).collect();
    assert_eq!(denied, [(3, Code::StaleData), (5, Code::StaleData)]);
    assert_eq!(played.kept.orders.len(), 2, "before the line was lost, and once the book was there again");
}

#[test]
fn timers_come_at_their_time_and_before_what_is_later() {
    let events: Vec<_> = (0..4).map(|n| quote(99, 5, 100 + n, 7)).collect();
    let played = play_intents(&file(|_| {}), &events, vec![(0, Intent::Timer(Time(2 * NS_PER_MS))), (1, Intent::Timer(Time(0)))]);
    assert_eq!(played.heard, [(1, "timer".to_owned()), (2, "timer".to_owned())]);
}

#[test]
fn a_market_order_walks_a_book_that_no_feed_of_best_prices_stands_before() {
    let level = |price, qty| Level { price: Price(price), qty: Qty(qty) };
    let (bids, asks) = ([level(99, 5)], [level(100, 2), level(101, 3), level(103, 9)]);
    let change = |first_id, last_id, asks| BookChange { first_id, last_id, bids: &[], asks };
    let snapshot = MarketEvent::Snapshot(BookChange { first_id: 1, last_id: 1, bids: &bids, asks: &asks });
    let next = [level(104, 1)];
    let gap = [MarketEvent::Delta(change(4, 4, &next)), MarketEvent::Delta(change(5, 5, &next))];
    let played = play(
        &file(|_| {}),
        &[snapshot, MarketEvent::Delta(change(2, 2, &next)), gap[0], gap[1]],
        &[(0, buy(6, OrderKind::Market)), (2, Submit { tag: 2, ..buy(6, OrderKind::Market) })],
    );
    assert_eq!(played.fills, [(100, 2, false), (101, 3, false), (103, 1, false)]);
    assert_eq!(
        played.kept.denied.iter().map(|denied| denied.denial.code).collect::<Vec<_>>(),
        [Code::StaleData],
        "after the gap nothing is sent"
    );
}

fn market_maker() -> StrategyFile {
    serde_json::from_value(json!({
        "name": "maker", "currency": "USDT", "cash": "100000",
        "strategy": { "marketMaker": { "instrument": "BTCUSDT", "halfSpreadTicks": 20, "qty": "0.001", "maxPosition": "0.01", "toleranceTicks": 10 } },
        "instruments": [recorded::instrument()],
        "limits": {
            "instruments": { "BTCUSDT": { "maxOrderQty": "0.01", "maxPosition": "0.02" } },
        },
        "data": { "interval": "1s" },
        "backtest": { "latencyMs": 5, "returnLatencyMs": 5, "liquidate": "last_close" },
    }))
    .unwrap()
}

#[test]
fn a_market_maker_on_the_recording_is_the_same_each_time_and_its_books_balance() {
    let (first, kept) = run(&market_maker(), frames(recording()), Keep::default()).unwrap();
    let (second, _) = run(&market_maker(), frames(recording()), Keep::default()).unwrap();
    assert_eq!(first, second);
    assert!(first.tally.fills > 10 && first.tally.cancels > 10, "{:?}", first.tally);
    let (mut cash, mut held) = (Money::whole(100_000), 0);
    for record in &kept.fills {
        let notional = recorded::universe().get(AT).notional(record.fill.price, record.fill.qty).unwrap();
        let sign = if record.side == Side::Buy { 1 } else { -1 };
        cash = cash.minus(notional.times(sign).unwrap()).unwrap().minus(record.fill.fee.amount).unwrap();
        held += record.fill.qty.0 * i64::try_from(sign).unwrap();
        assert!((0..=2_000_000).contains(&held), "row 7");
    }
    assert_eq!((cash, held), (first.cash, 0), "what the fills say is what the books say");
}

#[test]
fn with_one_frame_removed_no_order_leaves_until_the_book_is_resynced() {
    let lines: Vec<&str> = recording().lines().collect();
    let depth: Vec<usize> = (0..lines.len()).filter(|line| lines[*line].contains("depthUpdate")).collect();
    let (removed, found) = (depth[500], depth[501]);
    let received = |line: usize| lines[line].split_once(' ').unwrap().0.parse::<i64>().unwrap();
    let text = |resynced_at: Option<usize>| {
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate().filter(|(number, _)| *number != removed) {
            text.push_str(line);
            text.push('\n');
            // The book was asked for again: here the whole book is what the next change's first id needs and no more.
            if Some(number) == resynced_at {
                let id = line.split("\"u\":").nth(1).unwrap().split(',').next().unwrap();
                text.push_str(&format!(
                    "{} {{\"lastUpdateId\":{id},\"bids\":[[\"60000.00\",\"1\"]],\"asks\":[[\"70000.00\",\"1\"]]}}\n",
                    received(number) + 1
                ));
            }
        }
        text
    };
    let (_, lost) = run(&market_maker(), frames(&text(None)), Keep::default()).unwrap();
    assert!(lost.orders.iter().any(|order| order.at.0 < received(found)));
    assert!(lost.orders.iter().all(|order| order.at.0 < received(found) || order.order.qty.0 == 0 || order.order.side == Side::Sell));
    assert!(lost.denied.iter().any(|denied| denied.denial.code == Code::StaleData));
    let resynced = depth[900];
    let (_, back) = run(&market_maker(), frames(&text(Some(resynced))), Keep::default()).unwrap();
    let between = |order: &&reeve_trading::backtest::OrderRecord| (received(found)..=received(resynced)).contains(&order.at.0);
    assert!(back.orders.iter().filter(between).all(|order| order.order.side == Side::Sell), "what gets out may leave");
    assert!(back.orders.iter().any(|order| order.at.0 > received(resynced) && order.order.side == Side::Buy), "and then it goes on");
}

#[test]
fn input_out_of_order_is_refused_and_never_sorted() {
    let mut engine = reeve_trading::backtest::prepare(&file(|_| {}), Time(0), ()).unwrap();
    let stamped = |time: i64, event: MarketEvent<'static>, seq| {
        let key = Key { time: Time(time), class: event.class(), source: 0, seq };
        Stamped { key, exchange_time: Time(time), instrument: AT, event }
    };
    engine.market(&stamped(5, quote(99, 5, 100, 7), 1)).unwrap();
    engine.market(&stamped(5, trade(100, 1, Side::Buy), 2)).unwrap();
    for (time, event) in [(4, trade(100, 1, Side::Buy)), (5, quote(99, 5, 100, 8)), (5, trade(100, 1, Side::Buy))] {
        let error = engine.market(&stamped(time, event, 2)).unwrap_err().to_string();
        assert!(error.ends_with("input is taken in order, never sorted"), "{error}");
    }
}
