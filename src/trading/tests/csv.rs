//! Bars from CSV that are not as they should be: refused with file, line and reason, or taken by a stated rule.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::io::{BufReader, Cursor, Read};

use reeve_trading::event::MarketEvent;
use reeve_trading::input::{BarColumns, BarFormat, CsvBars, InputError, Interval, Merge, Source, StampedAt};
use reeve_trading::instrument::{Instrument, InstrumentId};
use serde_json::json;
use world::{bars_from, format, strategy_file};

const HEADER: &str = "time,open,high,low,close,volume\n";
const GOOD: &str = "2024-01-01 00:00:00,1,2,0.5,1.5,100\n";

fn instrument() -> Instrument {
    let file = strategy_file(json!({ "buyAndHold": { "instrument": "GOOG", "qty": "1" } }), |_| {});
    file.universe().unwrap().get(InstrumentId(0)).clone()
}

fn read(text: &str, format: BarFormat) -> Result<Vec<String>, InputError> {
    let mut bars = CsvBars::open(Cursor::new(text.as_bytes().to_vec()), "bars.csv", 0, InstrumentId(0), instrument(), format)?;
    let mut found = Vec::new();
    while bars.advance()?.is_some() {
        let stamped = bars.current().unwrap();
        let MarketEvent::Bar(bar) = stamped.event else { panic!("{stamped:?}") };
        found.push(format!("{} to {}", bar.opens, stamped.key.time));
    }
    assert_eq!(bars.current(), None);
    Ok(found)
}

fn refusal(rows: &str) -> String {
    read(&format!("{HEADER}{GOOD}{rows}"), format("1m")).unwrap_err().to_string()
}

#[test]
fn each_kind_of_bad_row_is_refused_with_file_line_and_reason() {
    for (row, why) in [
        (
            "2024-01-01 00:00:00,1,2,0.5,1.5,100\n",
            "the bar from 2024-01-01T00:00:00Z to 2024-01-01T00:01:00Z repeats the interval before it",
        ),
        ("2023-12-31 23:00:00,1,2,0.5,1.5,100\n", "comes after a later one: rows have to be in the order of their times"),
        ("2024-01-01 00:00:30,1,2,0.5,1.5,100\n", "starts before the interval before it has ended: is the interval right?"),
        ("2024-01-01 00:01:00,NaN,2,0.5,1.5,100\n", "open: expected a decimal such as 12.5, found \"NaN\""),
        ("2024-01-01 00:01:00,1,inf,0.5,1.5,100\n", "high: expected a decimal"),
        ("2024-01-01 00:01:00,1,2,-0.5,1.5,100\n", "low: expected a price above zero, found -0.5"),
        ("2024-01-01 00:01:00,1,2,0.5,0,100\n", "close: expected a price above zero, found 0"),
        ("2024-01-01 00:01:00,1,2,0.5,1.5,-1\n", "volume: expected zero or more, found -1"),
        ("2024-01-01 00:01:00,1.005,2,0.5,1.5,100\n", "open: 1.005 is not a multiple of 0.01, the tick size of GOOG"),
        ("2024-01-01 00:01:00,1,2,0.5,1.5,0.5\n", "volume: 0.5 is not a multiple of 1, the lot size of GOOG"),
        ("2024-01-01 00:01:00,1,2,0.5,1e2,100\n", "close: expected a decimal"),
        ("2024-01-01 00:01:00,1,200000,0.5,1.5,100\n", "high: 200000 is above the instrument's maxPrice"),
        ("2024-01-01 00:01:00,1,99999999999999999999999999999999,1,1,1\n", "high: 99999999999999999999999999999999 does not fit"),
        ("2024-01-01 00:01:00,1,0.9,0.5,0.8,100\n", "not a bar: open 1, high 0.9, low 0.5, close 0.8"),
        ("2024-01-01 00:01:00,1,2,1.2,1.5,100\n", "not a bar: open 1, high 2, low 1.2, close 1.5"),
        ("2024-01-01 00:01:00Z,1,2,0.5,1.5,100\n", "mixed times: \"2024-01-01 00:01:00Z\" is a time 0 seconds east of UTC"),
        ("2024-01-01 00:01:00+01:00,1,2,0.5,1.5,100\n", "mixed times"),
        ("2024-01-02,1,2,0.5,1.5,100\n", "mixed times: \"2024-01-02\" is a date, the rows before are a time without a zone"),
        ("1704067260,1,2,0.5,1.5,100\n", "mixed times: \"1704067260\" is an integer of 1000000000 ns"),
        ("01/02/2024,1,2,0.5,1.5,100\n", "expected a time such as 2004-08-19"),
        ("2024-01-01 00:01:00,1,2,0.5,1.5\n", "expected 6 columns as in the header, found 5"),
        ("2024-01-01 00:01:00,1,2,0.5,1.5,100,7\n", "expected 6 columns as in the header, found 7"),
        ("\n", "expected 6 columns as in the header, found 1"),
        ("2024-01-01 00:01:00,1,2,0.5,1.5,10", "the last line does not end: it may have been cut"),
        ("2024-01-01 00:01:00,\"1,2\",0.5,1.5,100\n", "open: expected a decimal such as 12.5, found \"\\\"1\""),
    ] {
        let found = refusal(row);
        assert!(found.starts_with("bars.csv:3: ") && found.contains(why), "{row:?}: {found}");
    }
}

#[test]
fn bytes_that_are_no_text_and_lines_without_end_are_refused() {
    let read = |bytes: Vec<u8>| {
        let mut bars = CsvBars::open(Cursor::new(bytes), "bars.csv", 0, InstrumentId(0), instrument(), format("1m")).unwrap();
        bars.advance().unwrap_err().to_string()
    };
    let with = |row: &[u8]| [HEADER.as_bytes(), row].concat();
    assert_eq!(read(with(b"2024-01-01 00:00:00,\xff,1,1,1,1\n")), "bars.csv:2: not UTF-8");
    assert_eq!(read(with(&vec![b'1'; 1 << 20])), "bars.csv:2: longer than 4096 bytes");
}

#[test]
fn a_header_without_the_columns_is_refused() {
    let wrong = |header: &str, columns: BarColumns| read(header, BarFormat { columns, ..format("1m") }).unwrap_err().to_string();
    assert_eq!(wrong("", BarColumns::default()), "bars.csv:1: expected a header, found an empty file");
    let missing = wrong("time,open,high,low,close\n", BarColumns::default());
    assert!(missing.contains("expected a column \"volume\", found [\"time\", \"open\""), "{missing}");
    assert!(wrong("time,open,open,high,low,close,volume\n", BarColumns::default()).contains("more than one column \"open\""));
    let mapped = BarColumns { close: Some("Adj Close".to_owned()), ..BarColumns::default() };
    assert!(wrong("time,open,high,low,close,volume\n", mapped).contains("expected a column \"Adj Close\""));
}

#[test]
fn what_files_commonly_do_is_taken() {
    let mapped = BarColumns { close: Some("Adj Close".to_owned()), ..BarColumns::default() };
    let text = "\u{feff}\"Date\",Close,Open,High,Low,\"Adj Close\",Volume,Note\r\n\"2024-01-01\",9,1,2,0.50,1.5,0,x\r\n";
    let found = read(text, BarFormat { columns: mapped, ..format("1d") }).unwrap();
    assert_eq!(found, ["2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z"]);
    let without_name = ",Open,High,Low,Close,Volume\n2004-08-19,1,2,0.5,1.5,1\n";
    assert_eq!(read(without_name, format("1d")).unwrap().len(), 1);
    let gap = format!("{HEADER}{GOOD}2024-01-01 01:00:00,1,2,0.5,1.5,100\n");
    assert_eq!(read(&gap, format("1m")).unwrap().len(), 2, "a gap is no error; the result counts it");
}

#[test]
fn a_bars_time_is_the_end_of_its_interval_whichever_end_the_file_says() {
    let row = |time: &str| format!("{HEADER}{time},1,2,0.5,1.5,100\n");
    let one = |time: &str, interval: &str, stamped| read(&row(time), BarFormat { stamped, ..format(interval) }).unwrap().remove(0);
    assert_eq!(one("2024-01-01 09:00:00", "1h", StampedAt::Open), "2024-01-01T09:00:00Z to 2024-01-01T10:00:00Z");
    assert_eq!(one("2024-01-01 09:00:00", "1h", StampedAt::Close), "2024-01-01T08:00:00Z to 2024-01-01T09:00:00Z");
    assert_eq!(one("2012-02-01", "1mo", StampedAt::Open), "2012-02-01T00:00:00Z to 2012-03-01T00:00:00Z");
    assert_eq!(one("2012-01-31", "1mo", StampedAt::Close), "2012-01-01T00:00:00Z to 2012-01-31T00:00:00Z");
    assert_eq!(one("2012-03-01", "1mo", StampedAt::Close), "2012-02-01T00:00:00Z to 2012-03-01T00:00:00Z");
    let late = BarFormat { feed_latency_ns: 250_000_000, ..format("1m") };
    assert_eq!(read(&row("2024-01-01 00:00"), late).unwrap(), ["2024-01-01T00:00:00Z to 2024-01-01T00:01:00.25Z"]);
}

#[test]
fn intervals_are_read_or_refused() {
    assert_eq!("90s".parse(), Ok(Interval::Fixed(90_000_000_000)));
    assert_eq!("1mo".parse(), Ok(Interval::Month));
    for text in ["", "d", "0d", "-1h", "1.5h", "1w", "367d", "1M", "h1"] {
        assert!(text.parse::<Interval>().is_err(), "{text}");
    }
}

#[test]
fn files_are_merged_by_time_and_at_one_instant_in_the_order_given() {
    let file = strategy_file(json!({ "buyAndHold": { "instrument": "GOOG", "qty": "1" } }), |_| {});
    let one = format!("{HEADER}2024-01-01 00:00:00,1,2,0.5,1,1\n2024-01-01 00:02:00,1,2,0.5,1,2\n");
    let other = format!("{HEADER}2024-01-01 00:00:00,1,2,0.5,1,3\n2024-01-01 00:01:00,1,2,0.5,1,4\n");
    let (one, other) = (bars_from(&one, &file, "1m"), bars_from(&other, &file, "1m"));
    let mut merged = Merge::new(vec![one, other]);
    let mut volumes = Vec::new();
    while merged.advance().unwrap().is_some() {
        if let MarketEvent::Bar(bar) = merged.current().unwrap().event {
            volumes.push(bar.volume.0);
        }
    }
    assert_eq!(volumes, [1, 3, 4, 2]);
}

#[test]
fn the_bars_of_the_package_are_read_to_their_last_digit() {
    for (name, interval, tick, lot, rows) in
        [("GOOG", "1d", "0.01", "1", 2_148), ("EURUSD", "1h", "0.00001", "1", 5_000), ("BTCUSD", "1mo", "0.01", "0.00000000001", 156)]
    {
        let file = strategy_file(json!({ "buyAndHold": { "instrument": "GOOG", "qty": "1" } }), |file| {
            file["instruments"][0]["tickSize"] = json!(tick);
            file["instruments"][0]["lotSize"] = json!(lot);
            file["instruments"][0]["maxQty"] = json!("100000");
            file["instruments"][0]["maxPrice"] = json!("1000000");
        });
        let mut bars = world::packaged_bars(name, &file, interval);
        let mut count = 0;
        while bars.advance().unwrap_or_else(|error| panic!("{error}")).is_some() {
            count += 1;
        }
        assert_eq!(count, rows, "{name}");
    }
}

/// Rows that are made as they are read: as much as anyone wants, without a file.
struct Endless {
    row: u64,
    left: u64,
    line: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.line.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            let close = 100 + self.row % 50;
            self.line = format!("{},100.00,150.00,100.00,{close}.00,1000\n", 1_000_000_000 + self.row * 60).into_bytes();
            (self.row, self.at) = (self.row + 1, 0);
        }
        let count = into.len().min(self.line.len() - self.at);
        into[..count].copy_from_slice(&self.line[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn the_reader_keeps_one_row_however_many_there_are() {
    let rows = 200_000;
    let endless = Endless { row: 0, left: rows, line: HEADER.as_bytes().to_vec(), at: 0 };
    let mut bars = CsvBars::open(BufReader::new(endless), "pipe", 0, InstrumentId(0), instrument(), format("1m")).unwrap();
    let mut count = 0;
    while bars.advance().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, rows);
}
