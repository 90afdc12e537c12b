//! Raw frames of Binance spot, as they were received: a receive time in nanoseconds, a space, the frame; a line each.
//!
//! Rules for frames that are not as they should be: cut, of another symbol, of a kind that is not known, off the grid or received before
//! the one before them are refused. Repeated trades and quotes (by their ids) are skipped and counted; repeated changes of the book are
//! the book's to know. Fields that are not known are the exchange's to add.

use std::io::BufRead;

use serde::Deserialize;

use super::grid;
use super::lines::Lines;
use super::{InputError, Source};
use crate::event::{BookChange, Class, Key, Level, MarketEvent, Quote, Stamped, Trade};
use crate::instrument::{Instrument, InstrumentId};
use crate::number::{Price, Qty};
use crate::order::Side;
use crate::time::{NS_PER_MS, Time};

/// Longest line, bytes: a snapshot of 5,000 levels a side takes about 350 KiB.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Combined<'a> {
    #[serde(borrow)]
    data: Frame<'a>,
}

/// What any frame may hold: which it is, its fields say.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "e")]
    kind: Option<&'a str>,
    #[serde(rename = "E")]
    event_ms: Option<i64>,
    #[serde(borrow, rename = "s")]
    symbol: Option<&'a str>,
    #[serde(rename = "U")]
    first_id: Option<u64>,
    #[serde(rename = "u")]
    last_id: Option<u64>,
    #[serde(borrow, rename = "b")]
    bid: Option<PriceOrLevels<'a>>,
    #[serde(borrow, rename = "a")]
    ask: Option<PriceOrLevels<'a>>,
    #[serde(borrow, rename = "B")]
    bid_qty: Option<&'a str>,
    #[serde(borrow, rename = "A")]
    ask_qty: Option<&'a str>,
    #[serde(rename = "t")]
    trade_id: Option<u64>,
    #[serde(borrow, rename = "p")]
    price: Option<&'a str>,
    #[serde(borrow, rename = "q")]
    qty: Option<&'a str>,
    #[serde(rename = "T")]
    trade_ms: Option<i64>,
    #[serde(rename = "m")]
    buyer_is_maker: Option<bool>,
}

/// `b` and `a` are a price in one kind of frame and levels in another.
#[derive(Deserialize)]
#[serde(untagged)]
enum PriceOrLevels<'a> {
    Price(&'a str),
    #[serde(borrow)]
    Levels(Vec<[&'a str; 2]>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    last_update_id: u64,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
}

/// What the last line was.
#[derive(Clone, Copy, Debug)]
enum Last {
    Snapshot { last_id: u64 },
    Delta { first_id: u64, last_id: u64 },
    Quote(Quote),
    Trade(Trade),
}

/// Frames of one instrument.
pub struct Frames<R> {
    lines: Lines<R>,
    at: InstrumentId,
    instrument: Instrument,
    source: u16,
    bids: Vec<Level>,
    asks: Vec<Level>,
    last_received: Option<Time>,
    last_trade_id: Option<u64>,
    last_quote_id: Option<u64>,
    repeated: u64,
    current: Option<(Key, Time, Last)>,
}

impl<R: BufRead> Frames<R> {
    /// Frames from a reader. `source` is its place among the inputs of a run.
    pub fn new(input: R, file: &str, source: u16, at: InstrumentId, instrument: Instrument) -> Frames<R> {
        Frames {
            lines: Lines::new(input, file, MAX_LINE_BYTES),
            at,
            instrument,
            source,
            bids: Vec::new(),
            asks: Vec::new(),
            last_received: None,
            last_trade_id: None,
            last_quote_id: None,
            repeated: 0,
            current: None,
        }
    }

    /// Repeated trades and quotes that were skipped.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Lines read.
    pub fn lines(&self) -> u64 {
        self.lines.number()
    }

    fn wrong(&self, why: String) -> InputError {
        self.lines.wrong(why)
    }

    /// The next line's event; the inner none for a repetition.
    fn parse(&mut self, row: &[u8]) -> Result<Option<(Key, Time, Last)>, InputError> {
        let text = std::str::from_utf8(row).map_err(|_| self.wrong("not UTF-8".to_owned()))?;
        let (received, frame) = text.split_once(' ').ok_or_else(|| self.wrong("expected a receive time and a frame".to_owned()))?;
        let received = received.parse().map(Time).map_err(|_| self.wrong(format!("expected a receive time in ns, found {received:?}")))?;
        if let Some(last) = self.last_received.filter(|last| received < *last) {
            return Err(self.wrong(format!("received at {received}, before the frame before it at {last}: frames have to be in order")));
        }
        self.last_received = Some(received);
        let not_json = |error: serde_json::Error| self.wrong(format!("not a frame: {error}"));
        if frame.starts_with("{\"lastUpdateId\"") {
            let Snapshot { last_update_id, bids, asks } = serde_json::from_str(frame).map_err(not_json)?;
            self.levels(&bids, &asks)?;
            return Ok(Some(self.placed(received, received, Last::Snapshot { last_id: last_update_id })));
        }
        let frame = if frame.starts_with("{\"stream\"") {
            serde_json::from_str::<Combined<'_>>(frame).map_err(not_json)?.data
        } else {
            serde_json::from_str::<Frame<'_>>(frame).map_err(not_json)?
        };
        self.frame(received, &frame)
    }

    fn placed(&self, received: Time, exchange: Time, last: Last) -> (Key, Time, Last) {
        let class = match last {
            Last::Snapshot { .. } | Last::Delta { .. } => Class::Book,
            Last::Quote(_) => Class::Quote,
            Last::Trade(_) => Class::Trade,
        };
        (Key { time: received, class, source: self.source, seq: self.lines.number() }, exchange, last)
    }

    fn frame(&mut self, received: Time, frame: &Frame<'_>) -> Result<Option<(Key, Time, Last)>, InputError> {
        match frame.symbol {
            Some(symbol) if symbol == self.instrument.symbol => {}
            found => return Err(self.wrong(format!("expected a frame of {}, found {found:?}", self.instrument.symbol))),
        }
        let exchange = |ms: Option<i64>| ms.and_then(|ms| ms.checked_mul(NS_PER_MS)).map_or(received, Time);
        match (frame.kind, &frame.bid, &frame.ask) {
            (Some("depthUpdate"), Some(PriceOrLevels::Levels(bids)), Some(PriceOrLevels::Levels(asks))) => {
                let (Some(first_id), Some(last_id)) = (frame.first_id, frame.last_id) else { return Err(self.lacks("U and u")) };
                self.levels(bids, asks)?;
                Ok(Some(self.placed(received, exchange(frame.event_ms), Last::Delta { first_id, last_id })))
            }
            (Some("trade"), _, _) => self.trade(received, exchange(frame.trade_ms), frame),
            (None, Some(PriceOrLevels::Price(bid)), Some(PriceOrLevels::Price(ask))) => {
                let (Some(bid_qty), Some(ask_qty), Some(id)) = (frame.bid_qty, frame.ask_qty, frame.last_id) else {
                    return Err(self.lacks("u, B and A"));
                };
                let quote =
                    Quote { bid: self.price(bid)?, bid_qty: self.qty(bid_qty)?, ask: self.price(ask)?, ask_qty: self.qty(ask_qty)? };
                if self.last_quote_id.is_some_and(|last| id <= last) {
                    self.repeated += 1;
                    return Ok(None);
                }
                self.last_quote_id = Some(id);
                Ok(Some(self.placed(received, received, Last::Quote(quote))))
            }
            (kind, ..) => Err(self.wrong(format!("expected a depthUpdate, a trade, a best bid and ask or a snapshot, found {kind:?}"))),
        }
    }

    fn trade(&mut self, received: Time, exchange: Time, frame: &Frame<'_>) -> Result<Option<(Key, Time, Last)>, InputError> {
        let (Some(price), Some(qty), Some(id), Some(maker)) = (frame.price, frame.qty, frame.trade_id, frame.buyer_is_maker) else {
            return Err(self.lacks("t, p, q and m"));
        };
        let taker = if maker { Side::Sell } else { Side::Buy };
        let trade = Trade { price: self.price(price)?, qty: self.qty(qty)?, taker };
        if trade.qty == Qty::ZERO {
            return Err(self.wrong("a trade of nothing".to_owned()));
        }
        if self.last_trade_id.is_some_and(|last| id <= last) {
            self.repeated += 1;
            return Ok(None);
        }
        self.last_trade_id = Some(id);
        Ok(Some(self.placed(received, exchange, Last::Trade(trade))))
    }

    fn lacks(&self, fields: &str) -> InputError {
        self.wrong(format!("a frame of its kind has {fields}"))
    }

    fn levels(&mut self, bids: &[[&str; 2]], asks: &[[&str; 2]]) -> Result<(), InputError> {
        let (mut bid_levels, mut ask_levels) = (std::mem::take(&mut self.bids), std::mem::take(&mut self.asks));
        for (levels, found) in [(&mut bid_levels, bids), (&mut ask_levels, asks)] {
            levels.clear();
            for [price, qty] in found {
                levels.push(Level { price: self.price(price)?, qty: self.qty(qty)? });
            }
        }
        (self.bids, self.asks) = (bid_levels, ask_levels);
        Ok(())
    }

    fn price(&self, text: &str) -> Result<Price, InputError> {
        grid::price(&self.instrument, text).map_err(|why| self.wrong(why))
    }

    fn qty(&self, text: &str) -> Result<Qty, InputError> {
        grid::qty(&self.instrument, text).map_err(|why| self.wrong(why))
    }
}

impl<R: BufRead> Source for Frames<R> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        self.current = None;
        while self.lines.advance()? {
            let row = self.lines.take();
            let parsed = self.parse(&row);
            self.lines.put_back(row);
            if let Some(current) = parsed? {
                self.current = Some(current);
                return Ok(Some(current.0));
            }
        }
        Ok(None)
    }

    fn current(&self) -> Option<Stamped<'_>> {
        let (key, exchange_time, last) = self.current?;
        let change = |first_id, last_id| BookChange { first_id, last_id, bids: &self.bids, asks: &self.asks };
        let event = match last {
            Last::Snapshot { last_id } => MarketEvent::Snapshot(change(last_id, last_id)),
            Last::Delta { first_id, last_id } => MarketEvent::Delta(change(first_id, last_id)),
            Last::Quote(quote) => MarketEvent::Quote(quote),
            Last::Trade(trade) => MarketEvent::Trade(trade),
        };
        Some(Stamped { key, exchange_time, instrument: self.at, event })
    }
}
