//! A running engine asks for no memory: what a bar costs does not depend on how much was run before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::prepare;
use reeve_trading::event::{Bar, Class, Key, MarketEvent, Stamped};
use reeve_trading::instrument::InstrumentId;
use reeve_trading::number::{Price, Qty};
use reeve_trading::time::{NS_PER_SECOND, Time};
use serde_json::json;
use world::strategy_file;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MINUTE: i64 = 60 * NS_PER_SECOND;

/// Bars whose closes swing, so that averages cross every few of them.
fn bar(number: i64) -> Stamped<'static> {
    let close = Price(10_000 + 40 * (number % 9) - 30 * (number % 7));
    let (opens, closes) = (Time(number * MINUTE), Time((number + 1) * MINUTE));
    let bar = Bar { opens, open: close, high: Price(close.0 + 10), low: Price(close.0 - 10), close, volume: Qty(100_000) };
    let key = Key { time: closes, class: Class::Bar, source: 0, seq: number as u64 };
    Stamped { key, exchange_time: closes, instrument: InstrumentId(0), event: MarketEvent::Bar(bar) }
}

#[test]
fn from_the_ten_thousandth_event_on_nothing_is_allocated() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let file = strategy_file(json!({ "smaCross": { "instrument": "GOOG", "fast": 2, "slow": 5, "qty": "10" } }), |file| {
        file["instruments"][0]["fees"] = json!({ "maker": "0.0001", "taker": "0.0001" });
        file["cash"] = json!("10000000");
    });
    let mut engine = prepare(&file, Time(0), ()).unwrap();
    (0..10_000).for_each(|number| engine.market(&bar(number)).unwrap());
    let before = dhat::HeapStats::get().total_blocks;
    (10_000..60_000).for_each(|number| engine.market(&bar(number)).unwrap());
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0);
    let (outcome, ()) = engine.finish().unwrap();
    assert!(outcome.tally.orders > 5_000 && outcome.tally.fills == outcome.tally.orders, "{:?}", outcome.tally);
}
