//! Frames of Binance spot as they were recorded, against the book that they are known to end in.
//!
//! See `recorded/mod.rs` for where the recording lies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod recorded;

use std::collections::BTreeMap;

use recorded::{frames, recording, universe};
use reeve_trading::account::BookState;
use reeve_trading::book::{Applied, Book};
use reeve_trading::event::{Level, MarketEvent};
use reeve_trading::input::Source;
use reeve_trading::instrument::InstrumentId;
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::Side;
use serde_json::Value;

/// Plays frames into a book; `each` sees the book after every change, and what became of the change.
fn play(text: &str, mut each: impl FnMut(&Book, Applied)) -> Book {
    let mut book = Book::new(10_000);
    let mut frames = frames(text);
    while frames.advance().unwrap_or_else(|error| panic!("{error}")).is_some() {
        let applied = match frames.current().unwrap().event {
            MarketEvent::Snapshot(change) => book.snapshot(&change),
            MarketEvent::Delta(change) => book.delta(&change),
            MarketEvent::Quote(_) | MarketEvent::Trade(_) | MarketEvent::Bar(_) | MarketEvent::Status(_) | MarketEvent::Disconnect => {
                continue;
            }
        };
        each(&book, applied);
    }
    book
}

#[test]
fn the_recording_ends_in_the_stated_book_without_a_gap_and_never_crossed() {
    let mut first_applied = None;
    let book = play(recording(), |book, applied| {
        assert!(matches!(applied, Applied::Changed | Applied::Waiting), "{applied:?} at {:?}", book.last_id());
        assert!(applied == Applied::Waiting || book.state() == BookState::Synced, "{:?} at {:?}", book.state(), book.last_id());
        if applied == Applied::Changed {
            first_applied.get_or_insert(book.last_id());
        }
    });
    let (universe, quote) = (universe(), book.quote().unwrap());
    let instrument = universe.get(InstrumentId(0));
    let texts = [
        instrument.price_text(quote.bid),
        instrument.qty_text(quote.bid_qty),
        instrument.price_text(quote.ask),
        instrument.qty_text(quote.ask_qty),
    ];
    assert_eq!(texts, ["61685.99", "1.0087", "61686", "2.29327"]);
    assert_eq!((book.last_id(), book.applied()), (Some(50_093_421_584), 3_449));
    assert_eq!((book.depth(Side::Buy), book.depth(Side::Sell)), (1_209, 2_196));
    assert_eq!(first_applied, Some(Some(50_093_239_224)), "what waited for the snapshot is in it");
}

/// A book rebuilt with other means: a map of texts, by the exchange's words.
#[derive(Default)]
struct Rebuilt {
    sides: [BTreeMap<i128, i128>; 2],
    last: u64,
    early: Vec<Value>,
}

impl Rebuilt {
    fn set(&mut self, frame: &Value, names: [&str; 2]) {
        for (side, name) in self.sides.iter_mut().zip(names) {
            for level in frame[name].as_array().unwrap() {
                let number = |place: usize| level[place].as_str().unwrap().parse::<Money>().unwrap().0;
                if number(1) == 0 {
                    side.remove(&number(0));
                } else {
                    side.insert(number(0), number(1));
                }
            }
        }
    }

    fn delta(&mut self, frame: Value) {
        if self.last == 0 {
            self.early.push(frame);
        } else if frame["u"].as_u64().unwrap() > self.last {
            assert!(frame["U"].as_u64().unwrap() <= self.last + 1);
            self.set(&frame, ["b", "a"]);
            self.last = frame["u"].as_u64().unwrap();
        }
    }

    fn take(&mut self, line: &str) -> bool {
        let frame: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        if let Some(id) = frame["lastUpdateId"].as_u64() {
            self.set(&frame, ["bids", "asks"]);
            self.last = id;
            std::mem::take(&mut self.early).into_iter().for_each(|early| self.delta(early));
            return true;
        }
        let depth = frame["data"]["e"] == "depthUpdate";
        if depth {
            self.delta(frame["data"].clone());
        }
        depth
    }
}

#[test]
fn the_book_is_that_of_an_independent_rebuild_at_a_hundred_update_ids() {
    let instrument = universe().get(InstrumentId(0)).clone();
    // Every thirty-fourth change, from a start of its own: a hundred of the 3,449, the same each time.
    let wanted = |change: usize| change % 34 == 17;
    let mut rebuilt_at: BTreeMap<u64, [Vec<(i128, i128)>; 2]> = BTreeMap::new();
    let mut rebuilt = Rebuilt::default();
    let mut changes = 0;
    for line in recording().lines() {
        if rebuilt.take(line) && rebuilt.last > 0 {
            changes += 1;
            if wanted(changes) {
                let list = |side: &BTreeMap<i128, i128>| side.iter().map(|(price, qty)| (*price, *qty)).collect::<Vec<_>>();
                rebuilt_at.insert(rebuilt.last, [list(&rebuilt.sides[0]), list(&rebuilt.sides[1])]);
            }
        }
    }
    let mut compared = 0;
    play(recording(), |book, _| {
        let Some(wanted) = book.last_id().and_then(|id| rebuilt_at.get(&id)) else { return };
        let exact = |level: &Level| {
            let (price, qty): (Money, Money) =
                (instrument.price_text(level.price).parse().unwrap(), instrument.qty_text(level.qty).parse().unwrap());
            (price.0, qty.0)
        };
        let mut bids: Vec<_> = book.levels(Side::Buy).map(exact).collect();
        bids.reverse();
        assert_eq!(bids, wanted[0]);
        assert_eq!(book.levels(Side::Sell).map(exact).collect::<Vec<_>>(), wanted[1]);
        compared += 1;
    });
    assert!(compared >= 100, "{compared}");
}

#[test]
fn with_one_frame_removed_the_gap_is_found_and_there_is_no_book_until_a_snapshot() {
    let depth: Vec<usize> =
        recording().lines().enumerate().filter(|(_, line)| line.contains("depthUpdate")).map(|(number, _)| number).collect();
    let removed = depth[1_000];
    let text: String =
        recording().lines().enumerate().filter(|(number, _)| *number != removed).map(|(_, line)| format!("{line}\n")).collect();
    let mut states = Vec::new();
    let book = play(&text, |book, applied| states.push((applied, book.state())));
    let first_gap = states.iter().position(|(applied, _)| *applied == Applied::Gap).unwrap();
    assert_eq!(first_gap, 1_001, "the very next change says so: the snapshot is one of them");
    assert!(states[first_gap..].iter().all(|(_, state)| *state == BookState::Gap));
    assert_eq!(book.quote(), None);
}

#[test]
fn frames_that_are_not_as_they_should_be_are_refused_or_skipped_by_rule() {
    let quote =
        |id: u64, rest: &str| format!("1 {{\"u\":{id},\"s\":\"BTCUSDT\",\"b\":\"1.00\",\"B\":\"1\",\"a\":\"1.01\",\"A\":\"1\"{rest}}}\n");
    let trade = |id: u64, qty: &str| {
        format!("1 {{\"e\":\"trade\",\"E\":1,\"s\":\"BTCUSDT\",\"t\":{id},\"p\":\"1.00\",\"q\":\"{qty}\",\"T\":1,\"m\":true,\"M\":true}}\n")
    };
    let read = |text: &str| {
        let mut frames = frames(text);
        let mut count = 0;
        loop {
            match frames.advance() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return Ok((count, frames.repeated())),
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    assert_eq!(read(&(quote(1, "") + &quote(2, ",\"news\":[1]"))), Ok((2, 0)), "a field that the exchange added");
    assert_eq!(
        read(&(trade(1, "1") + &trade(1, "1") + &quote(5, "") + &quote(4, "") + &trade(2, "1"))),
        Ok((3, 2)),
        "repeated, skipped, counted"
    );
    for (text, why) in [
        (quote(1, "").replace("BTCUSDT", "ETHUSDT"), "spot.frames:1: expected a frame of BTCUSDT, found Some(\"ETHUSDT\")"),
        (quote(1, "").replace("1.01", "1.015"), "1.015 is not a multiple of 0.01"),
        (quote(1, "").replace("1.01", "-1.01"), "expected a price above zero"),
        (quote(1, "").replace("\"1.01\"", "\"NaN\""), "expected a decimal"),
        (trade(1, "0"), "a trade of nothing"),
        (trade(1, "1").replace("trade", "kline"), "found Some(\"kline\")"),
        (trade(1, "1").replace("\"t\":1,", ""), "a frame of its kind has t, p, q and m"),
        (quote(1, "").replace("}\n", "\n"), "not a frame"),
        (quote(1, "").trim_end().to_owned(), "the last line does not end: it may have been cut"),
        (quote(1, "").replace("1 {", "1{"), "receive time"),
        (quote(1, "").replace("1 {", "one {"), "expected a receive time in ns, found \"one\""),
        (
            quote(1, "").replace("1 {", "2 {") + &quote(2, ""),
            "spot.frames:2: received at 1970-01-01T00:00:00.000000001Z, before the frame before it",
        ),
        ("1 {\"e\":\"depthUpdate\",\"s\":\"BTCUSDT\",\"u\":2,\"b\":[],\"a\":[]}\n".to_owned(), "a frame of its kind has U and u"),
    ] {
        let found = read(&text).unwrap_err();
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn trades_and_quotes_of_the_recording_are_all_read() {
    let mut frames = frames(recording());
    let mut counts = [0; 4];
    let mut last = (Price(0), Qty(0));
    while frames.advance().unwrap().is_some() {
        match frames.current().unwrap().event {
            MarketEvent::Snapshot(_) => counts[0] += 1,
            MarketEvent::Delta(_) => counts[1] += 1,
            MarketEvent::Quote(quote) => (counts[2], last) = (counts[2] + 1, (quote.bid, quote.bid_qty)),
            MarketEvent::Trade(_) => counts[3] += 1,
            MarketEvent::Bar(_) | MarketEvent::Status(_) | MarketEvent::Disconnect => {}
        }
    }
    assert_eq!((counts, frames.repeated(), frames.lines()), ([1, 3_451, 28_040, 9_757], 0, 41_249));
    assert!(last.0 > Price(0));
}
