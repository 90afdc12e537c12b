//! What is known of one instrument's market, and how fresh it is.

use super::minute::Minute;
use crate::event::{Bar, MarketEvent, MarketStatus, Quote, Trade};
use crate::number::{HalfTicks, Overflow, Price};
use crate::order::Side;
use crate::time::{NS_PER_MS, Time};

/// When data counts as old, and which marks are believed.
#[derive(Clone, Copy, Debug)]
pub struct MarketRules {
    /// Quotes and trades older than this are no data, milliseconds.
    pub data_age_ms: i64,
    /// A mark that moves further than this from the one before is not believed until the next confirms it; none believes every mark.
    pub max_jump_bps: Option<u32>,
}

/// Whether the book may be traded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookState {
    /// No book is known; other data may be.
    Absent,
    /// In step with the venue.
    Synced,
    /// Updates are missing: nothing is known until a new snapshot.
    Gap,
    /// The best bid is not below the best ask.
    Crossed,
}

/// A mark that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The price.
    pub price: HalfTicks,
    /// When.
    pub at: Time,
}

/// What an event did to the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkOutcome {
    /// It says nothing of a price.
    None,
    /// A mark was accepted.
    Accepted(HalfTicks),
    /// The price jumped: it is not believed until the next one confirms it.
    Suspect(HalfTicks),
}

/// One instrument's market.
#[derive(Clone, Debug)]
pub struct Market {
    /// Its status; none until a feed or a runner has said it.
    pub status: Option<MarketStatus>,
    book: BookState,
    quote: Option<Quote>,
    /// Whether the last best bid and ask made no market: a feed of its own may say so while the book does not.
    quote_crossed: bool,
    quote_fresh_until: Time,
    last_trade: Option<Price>,
    trade_fresh_until: Time,
    bar_close: Option<Price>,
    bar_fresh_until: Time,
    mark: Option<Mark>,
    suspect: Option<HalfTicks>,
    /// The last minute's mids and our fills.
    pub(crate) minute: Minute,
}

impl Market {
    pub(super) fn new() -> Market {
        Market {
            status: None,
            book: BookState::Absent,
            quote: None,
            quote_crossed: false,
            quote_fresh_until: Time(i64::MIN),
            last_trade: None,
            trade_fresh_until: Time(i64::MIN),
            bar_close: None,
            bar_fresh_until: Time(i64::MIN),
            mark: None,
            suspect: None,
            minute: Minute::default(),
        }
    }

    /// Takes in an event. Book events change nothing here: whoever keeps the book says what came of them ([`Market::book`]).
    pub(super) fn see(&mut self, now: Time, event: &MarketEvent<'_>, rules: &MarketRules) -> Result<MarkOutcome, Overflow> {
        match event {
            MarketEvent::Status(status) => {
                self.status = Some(*status);
                Ok(MarkOutcome::None)
            }
            MarketEvent::Disconnect => {
                self.forget();
                Ok(MarkOutcome::None)
            }
            MarketEvent::Snapshot(_) | MarketEvent::Delta(_) => Ok(MarkOutcome::None),
            MarketEvent::Quote(quote) => self.see_quote(now, quote, rules),
            MarketEvent::Trade(Trade { price, .. }) => {
                self.last_trade = Some(*price);
                self.trade_fresh_until = fresh_until(now, rules);
                // A fresh book says more than a trade.
                if self.fresh_quote(now).is_some() { Ok(MarkOutcome::None) } else { self.offer(now, HalfTicks::of(*price)?, rules) }
            }
            MarketEvent::Bar(bar) => self.see_bar(now, bar, rules),
        }
    }

    fn see_quote(&mut self, now: Time, quote: &Quote, rules: &MarketRules) -> Result<MarkOutcome, Overflow> {
        self.quote = Some(*quote);
        self.quote_fresh_until = fresh_until(now, rules);
        self.quote_crossed = quote.bid >= quote.ask || quote.bid.0 <= 0;
        if self.quote_crossed || matches!(self.book, BookState::Gap | BookState::Crossed) {
            return Ok(MarkOutcome::None);
        }
        self.offer(now, HalfTicks::mid(quote.bid, quote.ask)?, rules)
    }

    fn see_bar(&mut self, now: Time, bar: &Bar, rules: &MarketRules) -> Result<MarkOutcome, Overflow> {
        self.bar_close = Some(bar.close);
        let interval = now.since(bar.opens);
        self.bar_fresh_until = now.plus_ns(interval.saturating_add(interval / 2));
        let better = self.fresh_quote(now).is_some() || (self.last_trade.is_some() && now <= self.trade_fresh_until);
        if better { Ok(MarkOutcome::None) } else { self.offer(now, HalfTicks::of(bar.close)?, rules) }
    }

    /// The book lost its place, or found it again.
    pub(super) fn set_book(&mut self, state: BookState) {
        self.book = state;
    }

    /// What was known is old.
    fn forget(&mut self) {
        self.quote_fresh_until = Time(i64::MIN);
        self.trade_fresh_until = Time(i64::MIN);
        self.bar_fresh_until = Time(i64::MIN);
        self.quote = None;
        self.set_book(BookState::Absent);
    }

    /// Believes a price, unless it jumped: then the next one has to confirm it.
    fn offer(&mut self, now: Time, price: HalfTicks, rules: &MarketRules) -> Result<MarkOutcome, Overflow> {
        if price.0 <= 0 {
            return Ok(MarkOutcome::None);
        }
        if let (Some(limit), Some(mark)) = (rules.max_jump_bps, self.mark) {
            let confirmed = self.suspect.is_some_and(|suspect| within(price, suspect, limit));
            if !within(price, mark.price, limit) && !confirmed {
                self.suspect = Some(price);
                return Ok(MarkOutcome::Suspect(price));
            }
        }
        self.suspect = None;
        self.mark = Some(Mark { price, at: now });
        self.minute.see_mid(now, price);
        Ok(MarkOutcome::Accepted(price))
    }

    /// The quote, while it is fresh and uncrossed.
    #[inline]
    pub fn fresh_quote(&self, now: Time) -> Option<Quote> {
        let tradable = !self.quote_crossed && matches!(self.book, BookState::Absent | BookState::Synced);
        self.quote.filter(|_| tradable && now <= self.quote_fresh_until)
    }

    /// The last accepted mark, however old.
    #[inline]
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// The state of the book; crossed when either the book or the best bid and ask are.
    #[inline]
    pub fn book(&self) -> BookState {
        match self.book {
            BookState::Absent | BookState::Synced if self.quote_crossed => BookState::Crossed,
            BookState::Absent | BookState::Synced | BookState::Gap | BookState::Crossed => self.book,
        }
    }

    /// The price that jumped and is not believed yet.
    pub fn suspect(&self) -> Option<HalfTicks> {
        self.suspect
    }

    /// Whether any price is fresh.
    #[inline]
    pub fn is_fresh(&self, now: Time) -> bool {
        self.fresh_quote(now).is_some() || now <= self.trade_fresh_until || now <= self.bar_fresh_until
    }

    /// The price that an order of this side is judged by: what it would take in a fresh book, else the fresh mark.
    #[inline]
    pub fn reference(&self, now: Time, side: Side) -> Option<HalfTicks> {
        if let Some(quote) = self.fresh_quote(now) {
            let price = match side {
                Side::Buy => quote.ask,
                Side::Sell => quote.bid,
            };
            return HalfTicks::of(price).ok();
        }
        self.mark.filter(|_| self.is_fresh(now)).map(|mark| mark.price)
    }
}

fn fresh_until(now: Time, rules: &MarketRules) -> Time {
    now.plus_ns(rules.data_age_ms.saturating_mul(NS_PER_MS))
}

/// Whether `price` is at most so far from `from`.
fn within(price: HalfTicks, from: HalfTicks, limit_bps: u32) -> bool {
    let distance = (i128::from(price.0) - i128::from(from.0)).abs();
    distance * 10_000 <= i128::from(from.0).abs() * i128::from(limit_bps)
}
