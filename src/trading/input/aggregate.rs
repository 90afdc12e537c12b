//! Bars made of trades.
//!
//! An interval without a trade has no bar. What is not over at the end of the data is no bar. A trade that comes after the bar that it
//! belongs to has closed is late: it is left out and counted, since a bar that was shown is not changed.

use super::{InputError, Interval, Source};
use crate::event::{Bar, Class, Key, MarketEvent, Stamped, Trade};
use crate::instrument::InstrumentId;
use crate::number::{Overflow, Qty};
use crate::time::{Date, NS_PER_DAY, Time};

/// When a bar is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarsFrom {
    /// After so much time, counted from 1970 in UTC.
    Time(Interval),
    /// After so many trades.
    Ticks(u64),
    /// Once so much was traded: the trade that reaches it is the last, whole.
    Volume(Qty),
}

#[derive(Clone, Copy, Debug)]
struct Open {
    bar: Bar,
    /// Where a bar of time ends.
    ends: Option<Time>,
    last: Time,
    trades: u64,
}

/// The bars of a source of trades; whatever else it holds is passed over.
pub struct TradeBars<S> {
    trades: S,
    by: BarsFrom,
    at: InstrumentId,
    source: u16,
    open: Option<Open>,
    /// Trades before this belong to bars that were shown.
    closed: Option<Time>,
    late: u64,
    number: u64,
    /// Its place, when it was over, the bar.
    current: Option<(Key, Time, Bar)>,
}

impl<S: Source> TradeBars<S> {
    /// Of the trades of an instrument.
    pub fn new(trades: S, by: BarsFrom, source: u16, at: InstrumentId) -> TradeBars<S> {
        TradeBars { trades, by, at, source, open: None, closed: None, late: 0, number: 0, current: None }
    }

    /// Trades that came too late for their bar.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Takes a trade; the bar that is over by it.
    fn take(&mut self, at: Time, trade: &Trade) -> Result<Option<(Time, Bar)>, Overflow> {
        if self.closed.is_some_and(|closed| at < closed) {
            self.late += 1;
            return Ok(None);
        }
        if let Some(over) = self.open.filter(|open| open.ends.is_some_and(|ends| at >= ends)) {
            self.open = Some(opened(self.by, at, trade)?);
            self.closed = over.ends;
            return Ok(over.ends.map(|ends| (ends, over.bar)));
        }
        let open = match &mut self.open {
            Some(open) => {
                open.bar.high = open.bar.high.max(trade.price);
                open.bar.low = open.bar.low.min(trade.price);
                open.bar.close = trade.price;
                open.bar.volume = open.bar.volume.plus(trade.qty)?;
                open.last = open.last.max(at);
                open.trades += 1;
                open
            }
            none @ None => none.insert(opened(self.by, at, trade)?),
        };
        let over = match self.by {
            BarsFrom::Time(_) => false,
            BarsFrom::Ticks(count) => open.trades >= count,
            BarsFrom::Volume(volume) => open.bar.volume >= volume,
        };
        let ended = over.then_some((open.last, open.bar));
        if let Some((last, _)) = ended {
            self.open = None;
            self.closed = Some(last);
        }
        Ok(ended)
    }

    /// The next bar, when it was over, and when that was known.
    fn next_bar(&mut self) -> Result<Option<(Time, Time, Bar)>, InputError> {
        while self.trades.advance()?.is_some() {
            let Some((key, at, trade)) = self.trades.current().and_then(|stamped| match stamped.event {
                MarketEvent::Trade(trade) => Some((stamped.key, stamped.exchange_time, trade)),
                MarketEvent::Status(_)
                | MarketEvent::Disconnect
                | MarketEvent::Snapshot(_)
                | MarketEvent::Delta(_)
                | MarketEvent::Quote(_)
                | MarketEvent::Bar(_) => None,
            }) else {
                continue;
            };
            let over = self.take(at, &trade).map_err(|error| InputError {
                file: "trades".to_owned(),
                line: key.seq,
                why: format!("expected a time and a volume that a bar can hold, found a trade at {} ns: {error}", at.0),
            })?;
            if let Some((closes, bar)) = over {
                return Ok(Some((closes, key.time, bar)));
            }
        }
        Ok(None)
    }
}

/// The bar that a trade opens.
///
/// # Errors
/// [`Overflow`]: its interval starts or ends where no time can be.
fn opened(by: BarsFrom, at: Time, trade: &Trade) -> Result<Open, Overflow> {
    let midnight = |date: Date| date.day_number().checked_mul(NS_PER_DAY).map(Time).ok_or(Overflow);
    let (opens, ends) = match by {
        BarsFrom::Time(Interval::Fixed(ns)) => {
            let start = at.0.checked_div_euclid(ns).and_then(|count| count.checked_mul(ns)).ok_or(Overflow)?;
            (Time(start), Some(Time(start.checked_add(ns).ok_or(Overflow)?)))
        }
        BarsFrom::Time(Interval::Month) => (midnight(at.date().month_start(0))?, Some(midnight(at.date().month_start(1))?)),
        BarsFrom::Ticks(_) | BarsFrom::Volume(_) => (at, None),
    };
    let Trade { price, qty, .. } = *trade;
    Ok(Open { bar: Bar { opens, open: price, high: price, low: price, close: price, volume: qty }, ends, last: at, trades: 1 })
}

impl<S: Source> Source for TradeBars<S> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        self.current = self.next_bar()?.map(|(closes, known, bar)| {
            self.number += 1;
            (Key { time: closes.max(known), class: Class::Bar, source: self.source, seq: self.number }, closes, bar)
        });
        Ok(self.current.map(|(key, ..)| key))
    }

    fn current(&self) -> Option<Stamped<'_>> {
        let (key, closes, bar) = self.current?;
        Some(Stamped { key, exchange_time: closes, instrument: self.at, event: MarketEvent::Bar(bar) })
    }
}
