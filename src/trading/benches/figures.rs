//! What the engine manages, each figure the median of five: `FIGURE name value unit`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::hint::black_box;
use std::io::{BufReader, Cursor};
use std::sync::Arc;
use std::time::Instant;

use reeve_trading::account::Account;
use reeve_trading::backtest::{Engine, EquitySeries, prepare, run};
use reeve_trading::event::{Bar, Class, Key, MarketEvent, MarketStatus, Quote, Stamped, Trade};
use reeve_trading::input::{BarColumns, BarFormat, CsvBars, Interval, StampedAt};
use reeve_trading::instrument::InstrumentId;
use reeve_trading::intent::{Intent, Submit};
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{OrderEvent, Side, StrategyTag};
use reeve_trading::risk::{Guard, GuardStart, InMemory, Inputs, LatchKey};
use reeve_trading::spec::StrategyFile;
use reeve_trading::strategy::{Seen, Strategy, View};
use reeve_trading::time::{NS_PER_MS, NS_PER_SECOND, Time};
use serde_json::{Value, json};

const AT: InstrumentId = InstrumentId(0);
const MINUTE: i64 = 60 * NS_PER_SECOND;
const BARS: i64 = 2_000_000;
const TICKS: i64 = 2_000_000;
const ROWS: i64 = 1_000_000;

fn file(strategy: Value) -> StrategyFile {
    serde_json::from_value(json!({
        "name": "bench", "currency": "USD", "cash": "100000000", "strategy": strategy,
        "instruments": [{
            "symbol": "X", "base": "X", "quote": "USD", "tickSize": "0.01", "lotSize": "0.001", "maxQty": "100000", "maxPrice": "100000",
            "fees": { "maker": "0.0001", "taker": "0.0002" }
        }],
        "limits": { "instruments": { "X": { "maxOrderQty": "100", "maxPosition": "1000" } }, "ceilings": "research" },
        "data": { "interval": "1m" },
    }))
    .unwrap()
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// Things a second, the median of five.
fn per_second(name: &str, count: i64, mut once: impl FnMut()) {
    let runs = (0..5).map(|_| {
        let start = Instant::now();
        once();
        count as f64 / start.elapsed().as_secs_f64()
    });
    println!("FIGURE {name} {:.0} 1/s", median(runs.collect()));
}

fn close(number: i64) -> i64 {
    10_000 + 40 * (number % 9) - 30 * (number % 7) + number / 100 % 500
}

fn bar(number: i64) -> Stamped<'static> {
    let close = Price(close(number));
    let (opens, closes) = (Time(number * MINUTE), Time((number + 1) * MINUTE));
    let bar = Bar { opens, open: close, high: Price(close.0 + 10), low: Price(close.0 - 10), close, volume: Qty(10_000_000) };
    let key = Key { time: closes, class: Class::Bar, source: 0, seq: number as u64 };
    Stamped { key, exchange_time: closes, instrument: AT, event: MarketEvent::Bar(bar) }
}

fn bars(strategy: &Value) {
    let mut engine = prepare(&file(strategy.clone()), Time(0), ()).unwrap();
    for number in 0..BARS {
        engine.market(&bar(number)).unwrap();
    }
    black_box(engine.finish().unwrap());
}

fn tick(number: i64) -> Stamped<'static> {
    let time = Time(number * 100 * NS_PER_MS);
    let bid = close(number / 10);
    let event = if number % 3 == 0 {
        let taker = if number % 2 == 0 { Side::Sell } else { Side::Buy };
        let price = if number % 2 == 0 { bid - 12 } else { bid + 13 };
        MarketEvent::Trade(Trade { price: Price(price), qty: Qty(500), taker })
    } else {
        let qty = Qty(1_000 + number % 50);
        MarketEvent::Quote(Quote { bid: Price(bid), bid_qty: qty, ask: Price(bid + 1), ask_qty: qty })
    };
    let key = Key { time, class: event.class(), source: 0, seq: number as u64 };
    Stamped { key, exchange_time: time, instrument: AT, event }
}

/// Takes what is shown every tenth event: in when it is out, and out again.
struct Flips(u64);

impl Strategy for Flips {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(_) = seen else { return };
        self.0 += 1;
        if self.0.is_multiple_of(10) {
            let side = if view.position(AT) == Qty::ZERO { Side::Buy } else { Side::Sell };
            intents.push(Intent::Submit(Submit::market(AT, side, Qty(10), self.0)));
        }
    }
}

/// Fills of a strategy that takes what is shown.
fn taken() -> u64 {
    let file = file(json!({ "buyAndHold": { "instrument": "X", "qty": "1" } }));
    let universe = Arc::new(file.universe().unwrap());
    let limits = file.limits(&universe).unwrap();
    let account = Account::new(universe, limits.market_rules(), file.cash).unwrap();
    let key = LatchKey { account: "bench".to_owned(), strategy: "bench".to_owned() };
    let guard = Guard::start(GuardStart { key, epoch: 1, now: Time(0) }, limits, &account, Inputs::of_backtest(), InMemory::default());
    let mut engine = Engine::new(file.settings().unwrap(), account, guard, StrategyTag::of("bench"), Flips(0), ()).unwrap();
    for number in 0..TICKS {
        engine.market(&tick(number)).unwrap();
    }
    engine.finish().unwrap().0.tally.fills
}

/// Fills of a strategy that stands in line.
fn queued(strategy: &Value) -> u64 {
    let mut engine = prepare(&file(strategy.clone()), Time(0), ()).unwrap();
    for number in 0..TICKS {
        engine.market(&tick(number)).unwrap();
    }
    engine.finish().unwrap().0.tally.fills
}

fn csv() {
    let mut text = "time,open,high,low,close,volume\n".to_owned();
    for number in 0..ROWS {
        let (close, time) = (close(number), 1_000_000_000 + number * 60);
        let money = |ticks: i64| format!("{}.{:02}", ticks / 100, ticks % 100);
        text.push_str(&format!("{time},{},{},{},{},1000\n", money(close), money(close + 10), money(close - 10), money(close)));
    }
    let file = file(json!({ "smaCross": { "instrument": "X", "fast": 10, "slow": 20, "qty": "10" } }));
    let instrument = file.universe().unwrap().get(AT).clone();
    per_second("csv_rows_per_s", ROWS, || {
        let format =
            BarFormat { stamped: StampedAt::Open, interval: Interval::Fixed(MINUTE), columns: BarColumns::default(), feed_latency_ns: 0 };
        let input = BufReader::with_capacity(256 * 1024, Cursor::new(text.as_bytes()));
        let data = CsvBars::open(input, "bench.csv", 0, AT, instrument.clone(), format).unwrap();
        black_box(run(&file, data, EquitySeries::default()).unwrap());
    });
}

/// The accept path of the chain: eight strategies on one account, 64 open orders, in batches of 16.
fn chain() {
    let file = file(json!({ "buyAndHold": { "instrument": "X", "qty": "1" } }));
    let universe = Arc::new(file.universe().unwrap());
    let limits = file.limits(&universe).unwrap();
    let mut account = Account::new(universe, limits.market_rules(), file.cash).unwrap();
    let mut now = Time(0);
    account.market_event(now, AT, &MarketEvent::Status(MarketStatus::Trading)).unwrap();
    let mut guards: Vec<_> = (0..8)
        .map(|number| {
            let key = LatchKey { account: "bench".to_owned(), strategy: format!("s{number}") };
            Guard::start(GuardStart { key, epoch: 1, now }, limits.clone(), &account, Inputs::of_backtest(), InMemory::default())
        })
        .collect();
    let mut open = std::collections::VecDeque::new();
    let (mut passed, mut batches, mut tag) = (Vec::new(), Vec::new(), 0);
    for batch in 0..20_000_i64 {
        now = now.plus_ns(NS_PER_SECOND);
        let quote = Quote { bid: Price(10_000), bid_qty: Qty(9), ask: Price(10_001), ask_qty: Qty(9) };
        account.market_event(now, AT, &MarketEvent::Quote(quote)).unwrap();
        let guard = &mut guards[batch as usize % 8];
        guard.on_equity(now, &account);
        let start = Instant::now();
        for order in 0..16 {
            tag += 1;
            guard.admit(&mut account, now, &Submit::limit(AT, Side::Buy, Qty(10), Price(9_900 + order), tag), &mut passed).unwrap();
        }
        batches.push(start.elapsed().as_nanos() as f64 / 16.0);
        open.extend(passed.drain(..).map(|order| order.get().id));
        while open.len() > 64 - 16 {
            let id = open.pop_front().unwrap();
            account.order_event(now, id, &OrderEvent::Cancelled).unwrap();
        }
    }
    batches.sort_by(f64::total_cmp);
    println!("FIGURE risk_chain_p50_ns {:.0} ns", batches[batches.len() / 2]);
    println!("FIGURE risk_chain_p99_ns {:.0} ns", batches[batches.len() * 99 / 100]);
}

fn main() {
    let sma = json!({ "smaCross": { "instrument": "X", "fast": 2, "slow": 5, "qty": "10" } });
    let idle = json!({ "donchianBreakout": { "instrument": "X", "enter": 100_000, "leave": 100_000, "qty": "10" } });
    let maker =
        json!({ "marketMaker": { "instrument": "X", "halfSpreadTicks": 10, "qty": "1", "maxPosition": "10", "toleranceTicks": 200 } });
    per_second("bars_per_s_orders", BARS, || bars(&sma));
    per_second("bars_per_s_idle", BARS, || bars(&idle));
    let mut fills = 0;
    per_second("l1_events_per_s", TICKS, || fills = taken());
    println!("FIGURE l1_fills {fills} 1");
    per_second("queue_events_per_s", TICKS, || fills = queued(&maker));
    println!("FIGURE queue_fills {fills} 1");
    csv();
    chain();
}
