//! The venue lends nothing, however late our own books hear of what it did, and whatever its fees are paid in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use reeve_trading::account::Account;
use reeve_trading::backtest::{Engine, Keep};
use reeve_trading::event::{BookChange, Key, Level, MarketEvent, Quote, Stamped, Trade};
use reeve_trading::instrument::{InstrumentId, Universe};
use reeve_trading::intent::{Intent, Submit};
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::{Side, StrategyTag};
use reeve_trading::risk::{Guard, GuardStart, InMemory, Inputs, LatchKey};
use reeve_trading::spec::StrategyFile;
use reeve_trading::strategy::{Seen, Strategy, View};
use reeve_trading::time::{NS_PER_MS, Time};
use serde_json::{Value, json};

const X: InstrumentId = InstrumentId(0);
const TOKEN: InstrumentId = InstrumentId(1);

/// Answers the event of a number with an order.
struct Script(usize, Vec<(usize, Submit)>);

impl Strategy for Script {
    fn on_event(&mut self, seen: &Seen<'_>, _: &View<'_>, intents: &mut Vec<Intent>) {
        if let Seen::Market(_) = seen {
            intents.extend(self.1.iter().filter(|(event, _)| *event == self.0).map(|(_, submit)| Intent::Submit(*submit)));
            self.0 += 1;
        }
    }
}

/// X, whose fees are paid in a token that costs ten, and the token.
fn file(change: impl FnOnce(&mut Value)) -> StrategyFile {
    let instrument = |symbol: &str, lot: &str| json!({ "symbol": symbol, "base": symbol, "quote": "USD", "tickSize": "1", "lotSize": lot, "maxQty": "1000", "maxPrice": "10000" });
    let mut file = json!({
        "name": "test", "currency": "USD", "cash": "1000",
        "strategy": { "buyAndHold": { "instrument": "X", "qty": "1" } },
        "instruments": [instrument("X", "1"), instrument("TOKEN", "0.1")],
        "limits": {
            "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "500" }, "TOKEN": { "maxOrderQty": "100", "maxPosition": "500" } },
            "ceilings": "research", "priceCollarBps": 500,
        },
        "data": { "interval": "1s" },
        "backtest": { "liquidate": "mark" },
    });
    change(&mut file);
    serde_json::from_value(file).unwrap()
}

/// Plays events a millisecond apart. After each of them nothing that is owned is below zero.
fn play(file: &StrategyFile, events: &[(InstrumentId, MarketEvent<'_>)], orders: &[(usize, Submit)]) -> (Keep, Vec<Money>) {
    let universe = Arc::new(file.universe().unwrap());
    let limits = file.limits(&universe).unwrap();
    let account = Account::new(Arc::clone(&universe), limits.market_rules(), file.cash).unwrap();
    let key = LatchKey { account: "test".to_owned(), strategy: "test".to_owned() };
    let guard = Guard::start(GuardStart { key, epoch: 1, now: Time(0) }, limits, &account, Inputs::of_backtest(), InMemory::default());
    let script = Script(0, orders.to_vec());
    let mut engine = Engine::new(file.settings().unwrap(), account, guard, StrategyTag::of("test"), script, Keep::default()).unwrap();
    let mut owned = Vec::new();
    for ((instrument, event), seq) in events.iter().zip(0..) {
        let time = Time(seq as i64 * NS_PER_MS);
        let key = Key { time, class: event.class(), source: 0, seq };
        engine.market(&Stamped { key, exchange_time: time, instrument: *instrument, event: *event }).unwrap();
        owned = universe.assets().map(|asset| engine.account().ledger().owned(asset).unwrap()).collect();
        assert!(owned.iter().all(|owned| *owned >= Money::ZERO), "after event {seq}: {owned:?}");
    }
    (engine.finish().unwrap().1, owned)
}

fn quote(at: InstrumentId, bid: i64, ask: i64) -> (InstrumentId, MarketEvent<'static>) {
    (at, MarketEvent::Quote(Quote { bid: Price(bid), bid_qty: Qty(1_000), ask: Price(ask), ask_qty: Qty(1_000) }))
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn a_fill_that_is_not_heard_of_yet_has_spent_its_money_all_the_same() {
    let level = |price, qty| Level { price: Price(price), qty: Qty(qty) };
    let (bids, before, after) = ([level(99, 9)], [level(100, 9)], [level(190, 3), level(191, 3), level(192, 3)]);
    let snapshot = |id, asks| (X, MarketEvent::Snapshot(BookChange { first_id: id, last_id: id, bids: &bids, asks }));
    let nothing = (X, MarketEvent::Delta(BookChange { first_id: 3, last_id: 3, bids: &[], asks: &[] }));
    for back_ms in [0, 1, 5, 50] {
        let slow = file(|file| file["backtest"] = json!({ "latencyMs": 1, "returnLatencyMs": back_ms, "liquidate": "mark" }));
        // Nine at 100 are paid for; when the order is there they cost 190 and more.
        let events = [snapshot(1, &before), snapshot(2, &after), nothing, quote(TOKEN, 9, 10), quote(TOKEN, 9, 10), quote(TOKEN, 9, 10)];
        let events: Vec<_> = events.into_iter().chain((0..60).map(|_| quote(TOKEN, 9, 10))).collect();
        let (kept, owned) = play(&slow, &events, &[(0, Submit::market(X, Side::Buy, Qty(9), 1))]);
        let filled: Vec<_> = kept.fills.iter().map(|fill| (fill.fill.price.0, fill.fill.qty.0)).collect();
        assert_eq!(filled, [(190, 3), (191, 2)], "{back_ms} ms back: three cost 570, of the rest two more can be paid");
        assert_eq!(owned[0], money("48"));
    }
}

#[test]
fn the_fee_of_an_open_order_is_set_aside_where_it_is_paid_in_a_third_asset() {
    let file = file(|file| file["instruments"][0]["fees"] = json!({ "maker": "0.01", "taker": "0.01", "asset": "TOKEN" }));
    let trade = (X, MarketEvent::Trade(Trade { price: Price(89), qty: Qty(50), taker: Side::Sell }));
    let events = [
        quote(TOKEN, 10, 10 + 1),
        quote(X, 99, 100),
        quote(X, 99, 100),
        quote(TOKEN, 10, 11),
        quote(X, 99, 100),
        trade,
        quote(X, 99, 100),
        quote(X, 99, 100),
    ];
    let orders = [
        (0, Submit::market(TOKEN, Side::Buy, Qty(20), 1)),
        (1, Submit::limit(X, Side::Buy, Qty(1), Price(90), 2)),
        // All of the token, of which a tenth is set aside for the fee of the order that rests.
        (2, Submit::market(TOKEN, Side::Sell, Qty(20), 3)),
        (6, Submit::market(X, Side::Sell, Qty(1), 4)),
    ];
    let (kept, owned) = play(&file, &events, &orders);
    let filled: Vec<_> = kept.fills.iter().map(|fill| (fill.instrument, fill.fill.qty.0, fill.fill.fee.amount)).collect();
    let fee_in_token = kept.fills[2].fill.fee.amount;
    assert_eq!(filled[..2], [(TOKEN, 20, Money::ZERO), (TOKEN, 19, Money::ZERO)], "a tenth of a token stays");
    assert_eq!(filled[2], (X, 1, money("0.08571429")), "0.9 at a mid of 10.5, up to the eighth decimal");
    assert_eq!(owned[2], money("0.1").minus(fee_in_token).unwrap());
    // What gets out is not held up: too little of the token is left, so the sale pays out of what it brings.
    let last = kept.fills[3].fill.fee;
    assert_eq!((last.asset, last.amount), (Universe::REPORTING, money("0.99")));
    assert_eq!(kept.denied.len(), 0);
}
