//! Events as JSON, one a line: the form for data that comes from no venue that is known here.
//!
//! ```json
//! {"time":1723161253937085768,"symbol":"X","trade":{"price":"1.00","qty":"2","taker":"buy"}}
//! {"time":1723161253937085769,"symbol":"X","quote":{"bid":"0.99","bidQty":"5","ask":"1.00","askQty":"7"}}
//! {"time":1723161253937085770,"symbol":"X","snapshot":{"id":7,"bids":[["0.99","5"]],"asks":[["1.00","7"]]}}
//! {"time":1723161253937085771,"symbol":"X","delta":{"first":8,"last":9,"bids":[],"asks":[["1.00","0"]]}}
//! {"time":1723161253937085772,"symbol":"X","status":"halt"}
//! {"time":1723161253937085773,"symbol":"X","disconnect":{}}
//! ```
//!
//! `time` is when it was received, in ns; `exchangeTime` may say when it happened. Nothing else is taken: a field that is not known is a
//! mistake here, since nobody but us writes this form.

use std::io::BufRead;

use serde::Deserialize;

use super::grid;
use super::lines::Lines;
use super::{InputError, Source};
use crate::event::{BookChange, Key, Level, MarketEvent, MarketStatus, Quote, Stamped, Trade};
use crate::instrument::{Instrument, InstrumentId};
use crate::order::Side;
use crate::time::Time;

/// Longest line, bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line<'a> {
    time: i64,
    exchange_time: Option<i64>,
    #[serde(borrow)]
    symbol: &'a str,
    #[serde(borrow)]
    trade: Option<TradeLine<'a>>,
    #[serde(borrow)]
    quote: Option<QuoteLine<'a>>,
    #[serde(borrow)]
    snapshot: Option<SnapshotLine<'a>>,
    #[serde(borrow)]
    delta: Option<DeltaLine<'a>>,
    status: Option<StatusLine>,
    disconnect: Option<Disconnect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TradeLine<'a> {
    price: &'a str,
    qty: &'a str,
    taker: TakerLine,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TakerLine {
    Buy,
    Sell,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QuoteLine<'a> {
    bid: &'a str,
    bid_qty: &'a str,
    ask: &'a str,
    ask_qty: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotLine<'a> {
    id: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaLine<'a> {
    first: u64,
    last: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StatusLine {
    Trading,
    LimitOnly,
    PostOnly,
    CancelOnly,
    Auction,
    Halt,
    Closed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {}

/// What the last line was; levels are kept beside it.
#[derive(Clone, Copy, Debug)]
enum Last {
    Trade(Trade),
    Quote(Quote),
    Snapshot(u64),
    Delta(u64, u64),
    Status(MarketStatus),
    Disconnect,
}

/// Events of one instrument.
pub struct JsonLines<R> {
    lines: Lines<R>,
    at: InstrumentId,
    instrument: Instrument,
    source: u16,
    bids: Vec<Level>,
    asks: Vec<Level>,
    current: Option<(Time, Time, Last)>,
}

impl<R: BufRead> JsonLines<R> {
    /// Events from a reader. `source` is its place among the inputs of a run.
    pub fn new(input: R, file: &str, source: u16, at: InstrumentId, instrument: Instrument) -> JsonLines<R> {
        let lines = Lines::new(input, file, MAX_LINE_BYTES);
        JsonLines { lines, at, instrument, source, bids: Vec::new(), asks: Vec::new(), current: None }
    }

    fn parse(&mut self, row: &[u8]) -> Result<(Time, Time, Last), InputError> {
        let line: Line<'_> = serde_json::from_slice(row).map_err(|error| self.lines.wrong(format!("not an event: {error}")))?;
        if line.symbol != self.instrument.symbol {
            return Err(self.lines.wrong(format!("expected an event of {}, found {:?}", self.instrument.symbol, line.symbol)));
        }
        let last = self.event(&line).map_err(|why| self.lines.wrong(why))?;
        let time = Time(line.time);
        if let Some((before, ..)) = self.current.filter(|(before, ..)| time < *before) {
            return Err(self
                .lines
                .wrong(format!("received at {time}, before the event before it at {before}: events have to be in order")));
        }
        Ok((time, line.exchange_time.map_or(time, Time), last))
    }

    fn event(&mut self, line: &Line<'_>) -> Result<Last, String> {
        let instrument = &self.instrument;
        match (&line.trade, &line.quote, &line.snapshot, &line.delta, &line.status, &line.disconnect) {
            (Some(trade), None, None, None, None, None) => {
                let taker = match trade.taker {
                    TakerLine::Buy => Side::Buy,
                    TakerLine::Sell => Side::Sell,
                };
                Ok(Last::Trade(Trade { price: grid::price(instrument, trade.price)?, qty: grid::qty(instrument, trade.qty)?, taker }))
            }
            (None, Some(quote), None, None, None, None) => Ok(Last::Quote(Quote {
                bid: grid::price(instrument, quote.bid)?,
                bid_qty: grid::qty(instrument, quote.bid_qty)?,
                ask: grid::price(instrument, quote.ask)?,
                ask_qty: grid::qty(instrument, quote.ask_qty)?,
            })),
            (None, None, Some(snapshot), None, None, None) => {
                (self.bids, self.asks) = (levels(instrument, &snapshot.bids)?, levels(instrument, &snapshot.asks)?);
                Ok(Last::Snapshot(snapshot.id))
            }
            (None, None, None, Some(delta), None, None) => {
                (self.bids, self.asks) = (levels(instrument, &delta.bids)?, levels(instrument, &delta.asks)?);
                Ok(Last::Delta(delta.first, delta.last))
            }
            (None, None, None, None, Some(status), None) => Ok(Last::Status(match status {
                StatusLine::Trading => MarketStatus::Trading,
                StatusLine::LimitOnly => MarketStatus::LimitOnly,
                StatusLine::PostOnly => MarketStatus::PostOnly,
                StatusLine::CancelOnly => MarketStatus::CancelOnly,
                StatusLine::Auction => MarketStatus::Auction,
                StatusLine::Halt => MarketStatus::Halt,
                StatusLine::Closed => MarketStatus::Closed,
            })),
            (None, None, None, None, None, Some(Disconnect {})) => Ok(Last::Disconnect),
            _ => Err("expected one of trade, quote, snapshot, delta, status and disconnect".to_owned()),
        }
    }
}

fn levels(instrument: &Instrument, found: &[[&str; 2]]) -> Result<Vec<Level>, String> {
    found.iter().map(|[price, qty]| Ok(Level { price: grid::price(instrument, price)?, qty: grid::qty(instrument, qty)? })).collect()
}

impl<R: BufRead> Source for JsonLines<R> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        if !self.lines.advance()? {
            self.current = None;
            return Ok(None);
        }
        let row = self.lines.take();
        let parsed = self.parse(&row);
        self.lines.put_back(row);
        self.current = Some(parsed?);
        Ok(self.current().map(|stamped| stamped.key))
    }

    fn current(&self) -> Option<Stamped<'_>> {
        let (time, exchange_time, last) = self.current?;
        let change = |first_id, last_id| BookChange { first_id, last_id, bids: &self.bids, asks: &self.asks };
        let event = match last {
            Last::Trade(trade) => MarketEvent::Trade(trade),
            Last::Quote(quote) => MarketEvent::Quote(quote),
            Last::Snapshot(id) => MarketEvent::Snapshot(change(id, id)),
            Last::Delta(first, last) => MarketEvent::Delta(change(first, last)),
            Last::Status(status) => MarketEvent::Status(status),
            Last::Disconnect => MarketEvent::Disconnect,
        };
        let key = Key { time, class: event.class(), source: self.source, seq: self.lines.number() };
        Some(Stamped { key, exchange_time, instrument: self.at, event })
    }
}
