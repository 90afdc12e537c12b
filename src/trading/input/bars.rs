//! Bars from CSV.
//!
//! A file is taken as it is or refused: nothing is sorted, filled in, rounded or skipped. Each refusal names file, line and reason.

use std::io::BufRead;

use serde::Deserialize;

use super::lines::Lines;
use super::stamp::{self, Form};
use super::{InputError, Source};
use crate::event::{Bar, Class, Key, MarketEvent, Stamped};
use crate::instrument::{Instrument, InstrumentId};
use crate::number::{Price, Qty, parse_decimal};
use crate::time::{NS_PER_DAY, NS_PER_SECOND, Time};

/// Longest line, bytes. A row of six numbers takes about a hundred; a file without line ends must not fill the memory.
const MAX_LINE_BYTES: usize = 4_096;

/// Which end of its interval a row's time is. Files do not say, so a person has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampedAt {
    /// The start.
    Open,
    /// The end.
    Close,
}

/// The length of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// So many nanoseconds.
    Fixed(i64),
    /// A calendar month of UTC.
    Month,
}

/// A text that is no interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an interval such as 1s, 5m, 1h, 1d or 1mo, found {0:?}")]
pub struct NoInterval(String);

impl std::str::FromStr for Interval {
    type Err = NoInterval;

    fn from_str(text: &str) -> Result<Interval, NoInterval> {
        let wrong = || NoInterval(text.to_owned());
        if text == "1mo" {
            return Ok(Interval::Month);
        }
        let unit = match text.bytes().last() {
            Some(b's') => NS_PER_SECOND,
            Some(b'm') => 60 * NS_PER_SECOND,
            Some(b'h') => 3_600 * NS_PER_SECOND,
            Some(b'd') => NS_PER_DAY,
            Some(_) | None => return Err(wrong()),
        };
        let count: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        // A year at most.
        count.checked_mul(unit).filter(|ns| *ns > 0 && *ns <= 366 * NS_PER_DAY).map(Interval::Fixed).ok_or_else(wrong)
    }
}

impl Interval {
    /// Start and end of the bar with this time.
    fn ends(self, time: Time, stamped: StampedAt) -> (Time, Time) {
        match (self, stamped) {
            (Interval::Fixed(ns), StampedAt::Open) => (time, time.plus_ns(ns)),
            (Interval::Fixed(ns), StampedAt::Close) => (time.plus_ns(-ns), time),
            // A month that is stamped at its close is often stamped within its last day: it started with that month.
            (Interval::Month, StampedAt::Close) => (Time(time.0.saturating_sub(1)).date().month_start(0).midnight(), time),
            (Interval::Month, StampedAt::Open) => (time, time.date().month_start(1).midnight()),
        }
    }
}

/// Names of the columns. Without a mapping they are found by their usual names, whatever the case; the time may be the first column
/// without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BarColumns {
    /// Time.
    pub time: Option<String>,
    /// First price.
    pub open: Option<String>,
    /// Highest price.
    pub high: Option<String>,
    /// Lowest price.
    pub low: Option<String>,
    /// Last price.
    pub close: Option<String>,
    /// Quantity.
    pub volume: Option<String>,
}

/// How a file of bars is to be read.
#[derive(Clone, Debug)]
pub struct BarFormat {
    /// Which end of its interval a row's time is.
    pub stamped: StampedAt,
    /// The length of a bar.
    pub interval: Interval,
    /// Names of the columns.
    pub columns: BarColumns,
    /// From the exchange to us, nanoseconds: when a bar is known.
    pub feed_latency_ns: i64,
}

/// Places of time, open, high, low, close and volume in a row.
type Places = [usize; 6];

const FIELDS: [&str; 6] = ["time", "open", "high", "low", "close", "volume"];

/// Bars of one instrument from one CSV file.
///
/// Guarantees: rising times without overlap, positive prices on the grid with low ≤ open, close ≤ high; one row in memory.
pub struct CsvBars<R> {
    lines: Lines<R>,
    at: InstrumentId,
    instrument: Instrument,
    format: BarFormat,
    source: u16,
    places: Places,
    columns: usize,
    form: Option<Form>,
    closed: Option<Time>,
    current: Option<(Key, Time, Bar)>,
}

impl<R: BufRead> CsvBars<R> {
    /// Opens a file and reads its header. `source` is its place among the inputs of a run.
    ///
    /// # Errors
    /// [`InputError`] without a header that has all six columns.
    pub fn open(
        input: R,
        file: &str,
        source: u16,
        at: InstrumentId,
        instrument: Instrument,
        format: BarFormat,
    ) -> Result<CsvBars<R>, InputError> {
        let lines = Lines::new(input, file, MAX_LINE_BYTES);
        let (places, columns) = ([0; 6], 0);
        let mut bars = CsvBars { lines, at, instrument, format, source, places, columns, form: None, closed: None, current: None };
        if !bars.lines.advance()? {
            return Err(bars.wrong("expected a header, found an empty file".to_owned()));
        }
        let header = bars.lines.text()?.to_owned();
        let names: Vec<&str> = header.trim_start_matches('\u{feff}').split(',').map(unquoted).collect();
        bars.columns = names.len();
        bars.places = find_columns(&names, &bars.format.columns).map_err(|why| bars.wrong(why))?;
        Ok(bars)
    }

    fn wrong(&self, why: String) -> InputError {
        self.lines.wrong(why)
    }

    fn parse_row(&mut self) -> Result<(Key, Time, Bar), InputError> {
        let text = self.lines.text()?;
        let mut fields = [""; 6];
        let mut count = 0;
        for (column, field) in text.split(',').enumerate() {
            count += 1;
            if let Some(place) = self.places.iter().position(|place| *place == column) {
                fields[place] = unquoted(field);
            }
        }
        if count != self.columns {
            return Err(self.wrong(format!("expected {} columns as in the header, found {count}", self.columns)));
        }
        let (time, form) = self.time(fields[0])?;
        let bar = self.bar(&fields, time)?;
        let closes = self.format.interval.ends(time, self.format.stamped).1;
        if let Some(closed) = self.closed.filter(|closed| bar.opens < *closed) {
            let why = match bar.opens.0.cmp(&(closed.0 - (closes.0 - bar.opens.0))) {
                std::cmp::Ordering::Equal => "repeats the interval before it".to_owned(),
                std::cmp::Ordering::Less => "comes after a later one: rows have to be in the order of their times".to_owned(),
                std::cmp::Ordering::Greater => "starts before the interval before it has ended: is the interval right?".to_owned(),
            };
            return Err(self.wrong(format!("the bar from {} to {closes} {why}", bar.opens)));
        }
        self.form = Some(form);
        self.closed = Some(closes);
        let received = closes.plus_ns(self.format.feed_latency_ns.max(0));
        Ok((Key { time: received, class: Class::Bar, source: self.source, seq: self.lines.number() }, closes, bar))
    }

    fn time(&self, text: &str) -> Result<(Time, Form), InputError> {
        let expected = "expected a time such as 2004-08-19, 2017-04-19 09:00:00, with Z or an offset, or an integer since 1970";
        let (time, form) = stamp::parse(text).ok_or_else(|| self.wrong(format!("{expected}, found {text:?}")))?;
        match self.form {
            Some(first) if first != form => {
                let why = format!("mixed times: {text:?} is {}, the rows before are {}", form.name(), first.name());
                Err(self.wrong(why))
            }
            Some(_) | None => Ok((time, form)),
        }
    }

    fn bar(&self, fields: &[&str; 6], time: Time) -> Result<Bar, InputError> {
        let decimal = |place: usize| {
            let wrong = move |why: String| self.wrong(format!("{}: {why}", FIELDS[place]));
            parse_decimal(fields[place]).map_err(|error| wrong(error.to_string())).map(|decimal| (decimal, wrong))
        };
        let price = |place: usize| -> Result<Price, InputError> {
            let (decimal, wrong) = decimal(place)?;
            let price = self.instrument.price(decimal).map_err(|error| wrong(error.to_string()))?;
            match price.0 {
                ..=0 => Err(wrong(format!("expected a price above zero, found {decimal}"))),
                _ if price > self.instrument.max_price => Err(wrong(format!("{decimal} is above the instrument's maxPrice"))),
                _ => Ok(price),
            }
        };
        let (open, high, low, close) = (price(1)?, price(2)?, price(3)?, price(4)?);
        let (volume, wrong) = decimal(5)?;
        let volume = self.instrument.qty(volume).map_err(|error| wrong(error.to_string()))?;
        if volume < Qty::ZERO {
            return Err(wrong(format!("expected zero or more, found {}", fields[5])));
        }
        if low > open.min(close) || high < open.max(close) {
            let [_, open, high, low, close, _] = fields;
            return Err(self.wrong(format!("not a bar: open {open}, high {high}, low {low}, close {close}")));
        }
        Ok(Bar { opens: self.format.interval.ends(time, self.format.stamped).0, open, high, low, close, volume })
    }
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(field)
}

fn find_columns(names: &[&str], mapping: &BarColumns) -> Result<Places, String> {
    let BarColumns { time, open, high, low, close, volume } = mapping;
    let mut places = [0; 6];
    for (place, (field, wanted)) in places.iter_mut().zip(FIELDS.into_iter().zip([time, open, high, low, close, volume])) {
        let usual: &[&str] = if field == "time" { &["time", "date", "datetime", "timestamp"] } else { &[field][..] };
        let fits = |name: &str| match wanted {
            Some(wanted) => name == wanted,
            None => usual.iter().any(|usual| name.eq_ignore_ascii_case(usual)),
        };
        let mut found = names.iter().enumerate().filter(|(_, name)| fits(name)).map(|(column, _)| column);
        let first_without_name = || (field == "time" && wanted.is_none() && names.first() == Some(&"")).then_some(0);
        *place = match (found.next().or_else(first_without_name), found.next()) {
            (Some(column), None) => column,
            (Some(_), Some(_)) => return Err(format!("more than one column {:?}", wanted.as_deref().unwrap_or(field))),
            (None, _) => {
                let wanted = wanted.as_deref().unwrap_or(field);
                return Err(format!("expected a column {wanted:?}, found {names:?}: map it by its name if it has another"));
            }
        };
    }
    Ok(places)
}

impl<R: BufRead> Source for CsvBars<R> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        self.current = if self.lines.advance()? { Some(self.parse_row()?) } else { None };
        Ok(self.current.map(|(key, ..)| key))
    }

    fn current(&self) -> Option<Stamped<'_>> {
        let (key, closes, bar) = self.current?;
        Some(Stamped { key, exchange_time: closes, instrument: self.at, event: MarketEvent::Bar(bar) })
    }
}
