//! Events as JSON lines, and bars made of trades.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod recorded;

use std::io::Cursor;

use recorded::{frames, recording};
use reeve_trading::event::{Bar, MarketEvent, MarketStatus};
use reeve_trading::input::{BarsFrom, Interval, JsonLines, Source, TradeBars};
use reeve_trading::instrument::{Instrument, InstrumentId, Universe};
use reeve_trading::number::Qty;
use serde_json::json;

const AT: InstrumentId = InstrumentId(0);

fn instrument() -> Instrument {
    let spec = serde_json::from_value(json!({
        "symbol": "X", "base": "X", "quote": "USD", "tickSize": "0.01", "lotSize": "1", "maxQty": "1000", "maxPrice": "1000"
    }));
    Universe::load("USD", &[spec.unwrap()]).unwrap().get(AT).clone()
}

fn lines(text: &str) -> JsonLines<Cursor<Vec<u8>>> {
    JsonLines::new(Cursor::new(text.as_bytes().to_vec()), "events.jsonl", 0, AT, instrument())
}

#[test]
fn every_kind_of_event_is_read() {
    let text = r#"{"time":1,"exchangeTime":0,"symbol":"X","trade":{"price":"1.00","qty":"2","taker":"buy"}}
{"time":2,"symbol":"X","quote":{"bid":"0.99","bidQty":"5","ask":"1.00","askQty":"7"}}
{"time":3,"symbol":"X","snapshot":{"id":7,"bids":[["0.99","5"]],"asks":[["1.00","7"]]}}
{"time":4,"symbol":"X","delta":{"first":8,"last":9,"bids":[],"asks":[["1.00","0"]]}}
{"time":5,"symbol":"X","status":"cancel-only"}
{"time":5,"symbol":"X","disconnect":{}}
"#;
    let mut events = lines(text);
    let mut kinds = Vec::new();
    while let Some(key) = events.advance().unwrap() {
        let stamped = events.current().unwrap();
        kinds.push(match stamped.event {
            MarketEvent::Trade(trade) => format!("trade {}x{} at {}", trade.qty.0, trade.price.0, stamped.exchange_time.0),
            MarketEvent::Quote(quote) => format!("quote {} {}", quote.bid.0, quote.ask_qty.0),
            MarketEvent::Snapshot(change) => format!("snapshot {} {}", change.last_id, change.bids.len()),
            MarketEvent::Delta(change) => format!("delta {} {} {}", change.first_id, change.last_id, change.asks[0].qty.0),
            MarketEvent::Status(status) => format!("status {}", status == MarketStatus::CancelOnly),
            MarketEvent::Disconnect => format!("disconnect {}", key.time.0),
            MarketEvent::Bar(_) => panic!("no bar was written"),
        });
    }
    assert_eq!(kinds, ["trade 2x100 at 0", "quote 99 7", "snapshot 7 1", "delta 8 9 0", "status true", "disconnect 5"]);
}

#[test]
fn events_that_are_not_as_they_should_be_are_refused_with_their_line() {
    let good = "{\"time\":5,\"symbol\":\"X\",\"disconnect\":{}}\n";
    for (line, why) in [
        ("{\"time\":5,\"symbol\":\"Y\",\"disconnect\":{}}\n", "expected an event of X, found \"Y\""),
        ("{\"time\":4,\"symbol\":\"X\",\"disconnect\":{}}\n", "before the event before it"),
        ("{\"time\":6,\"symbol\":\"X\"}\n", "expected one of trade, quote"),
        ("{\"time\":6,\"symbol\":\"X\",\"disconnect\":{},\"status\":\"halt\"}\n", "expected one of trade, quote"),
        ("{\"time\":6,\"symbol\":\"X\",\"news\":1}\n", "unknown field `news`"),
        ("{\"time\":6,\"symbol\":\"X\",\"status\":\"asleep\"}\n", "unknown variant"),
        ("{\"time\":6.5,\"symbol\":\"X\",\"disconnect\":{}}\n", "not an event"),
        ("{\"time\":6,\"symbol\":\"X\",\"trade\":{\"price\":1.0,\"qty\":\"2\",\"taker\":\"buy\"}}\n", "invalid type: floating point"),
        (
            "{\"time\":6,\"symbol\":\"X\",\"trade\":{\"price\":\"1.001\",\"qty\":\"2\",\"taker\":\"buy\"}}\n",
            "1.001 is not a multiple of 0.01",
        ),
        ("{\"time\":6,\"symbol\":\"X\",\"trade\":{\"price\":\"0\",\"qty\":\"2\",\"taker\":\"buy\"}}\n", "expected a price above zero"),
        (
            "{\"time\":6,\"symbol\":\"X\",\"trade\":{\"price\":\"1\",\"qty\":\"-2\",\"taker\":\"buy\"}}\n",
            "expected a quantity of zero or more",
        ),
        ("{\"time\":6,\"symbol\":\"X\",\"disc", "the last line does not end"),
    ] {
        let mut events = lines(&format!("{good}{line}"));
        assert!(events.advance().unwrap().is_some());
        let found = events.advance().unwrap_err().to_string();
        assert!(found.starts_with("events.jsonl:2: ") && found.contains(why), "{line}: {found}");
    }
}

/// Trades of `(exchange time, price in ticks, lots)`, received a second after the last one of all before.
fn trades(trades: &[(i64, i64, i64)]) -> JsonLines<Cursor<Vec<u8>>> {
    let line = |(number, (at, price, qty)): (usize, &(i64, i64, i64))| {
        let time = 1_000 + number;
        format!(
            "{{\"time\":{time},\"exchangeTime\":{at},\"symbol\":\"X\",\"trade\":{{\"price\":\"{}.{:02}\",\"qty\":\"{qty}\",\"taker\":\"buy\"}}}}\n",
            price / 100,
            price % 100
        )
    };
    lines(&trades.iter().enumerate().map(line).collect::<String>())
}

/// Start, end, the four prices, volume.
type Plain = (i64, i64, [i64; 4], i64);

fn bars<S: Source>(mut bars: TradeBars<S>) -> (Vec<Plain>, u64) {
    let mut found = Vec::new();
    while let Some(key) = bars.advance().unwrap() {
        let MarketEvent::Bar(Bar { opens, open, high, low, close, volume }) = bars.current().unwrap().event else { panic!("a bar") };
        let closes = bars.current().unwrap().exchange_time;
        assert!(key.time >= closes);
        found.push((opens.0, closes.0, [open.0, high.0, low.0, close.0], volume.0));
    }
    (found, bars.late())
}

#[test]
fn bars_of_time_leave_gaps_open_and_late_trades_out() {
    let source = trades(&[(3, 100, 1), (9, 105, 2), (10, 90, 1), (8, 500, 9), (19, 95, 1), (41, 97, 1), (40, 96, 2), (50, 99, 1)]);
    let (found, late) = bars(TradeBars::new(source, BarsFrom::Time(Interval::Fixed(10)), 0, AT));
    assert_eq!(found, [(0, 10, [100, 105, 100, 105], 3), (10, 20, [90, 95, 90, 95], 2), (40, 50, [97, 97, 96, 96], 3)]);
    assert_eq!(late, 1, "the trade at 8 came when its bar was over; what is not over at the end is no bar");
}

#[test]
fn bars_of_trades_and_of_volume_end_with_the_trade_that_fills_them() {
    let source = || trades(&[(1, 100, 1), (2, 101, 5), (3, 99, 1), (4, 98, 1), (5, 97, 7)]);
    assert_eq!(bars(TradeBars::new(source(), BarsFrom::Ticks(2), 0, AT)).0, [(1, 2, [100, 101, 100, 101], 6), (3, 4, [99, 99, 98, 98], 2)]);
    let volume = bars(TradeBars::new(source(), BarsFrom::Volume(Qty(6)), 0, AT)).0;
    assert_eq!(volume, [(1, 2, [100, 101, 100, 101], 6), (3, 5, [99, 99, 97, 97], 9)], "a trade is never split");
}

#[test]
fn a_bar_is_known_once_the_trade_that_closes_it_is() {
    // Received at 1000, 1001, 1002, 1003.
    let source = || trades(&[(3, 100, 1), (12, 101, 1), (2_000, 102, 1), (2_010, 103, 1)]);
    let keys = |by| {
        let mut bars = TradeBars::new(source(), by, 0, AT);
        std::iter::from_fn(|| bars.advance().unwrap().map(|key| key.time.0)).collect::<Vec<_>>()
    };
    assert_eq!(keys(BarsFrom::Time(Interval::Fixed(10))), [1_001, 1_002, 2_010]);
    assert_eq!(keys(BarsFrom::Ticks(2)), [1_001, 2_010]);
}

#[test]
fn a_time_that_no_interval_holds_is_refused_with_its_line() {
    for interval in [Interval::Fixed(10), Interval::Month] {
        for at in [i64::MIN, i64::MAX] {
            let mut bars = TradeBars::new(trades(&[(at, 100, 1)]), BarsFrom::Time(interval), 0, AT);
            assert_eq!(bars.advance().unwrap_err().line, 1, "{interval:?} {at}");
        }
        let mut bars = TradeBars::new(trades(&[(3, 100, 1), (4, 100, 1), (i64::MAX, 100, 1)]), BarsFrom::Time(interval), 0, AT);
        assert_eq!(bars.advance().unwrap_err().line, 3, "{interval:?}");
    }
}

#[test]
fn bars_of_the_recording_hold_every_trade_of_their_time() {
    let second = BarsFrom::Time(Interval::Fixed(1_000_000_000));
    let (found, late) = bars(TradeBars::new(frames(recording()), second, 0, AT));
    let mut frames = frames(recording());
    let (mut volume, mut count) = (0, 0);
    let end = found.last().unwrap().1;
    while frames.advance().unwrap().is_some() {
        let stamped = frames.current().unwrap();
        if let MarketEvent::Trade(trade) = stamped.event
            && stamped.exchange_time.0 < end
        {
            (volume, count) = (volume + trade.qty.0, count + 1);
        }
    }
    assert!(found.len() > 100 && count > 9_000, "{} bars, {count} trades", found.len());
    assert_eq!((found.iter().map(|bar| bar.3).sum::<i64>(), late), (volume, 0));
    assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0));
}
