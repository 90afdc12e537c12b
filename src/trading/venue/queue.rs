//! What a venue shows of one instrument, and where a resting order stands in line.

use crate::account::BookState;
use crate::book::Book;
use crate::event::{MarketEvent, Quote};
use crate::number::{Price, Qty};
use crate::order::Side;

/// Levels of a book a side: Binance's snapshot has 5,000, and what moves in between seldom doubles it.
const LEVELS: usize = 10_000;

/// One instrument as the venue shows it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The best bid and ask, where a feed says them.
    quote: Option<Quote>,
    book: Option<Book>,
    /// What we took of a level that has not been updated since: it stays gone.
    taken: Vec<(Side, Price, Qty)>,
}

impl Shown {
    /// Takes in a market event.
    pub(super) fn see(&mut self, event: &MarketEvent<'_>) {
        match event {
            MarketEvent::Quote(quote) => self.see_quote(quote),
            MarketEvent::Snapshot(change) => {
                self.taken.clear();
                self.book.get_or_insert_with(|| Book::new(LEVELS)).snapshot(change);
            }
            MarketEvent::Delta(change) => {
                let sides = [(Side::Buy, change.bids), (Side::Sell, change.asks)];
                let updated = |side: Side, price: Price| {
                    sides.iter().any(|(of, levels)| *of == side && levels.iter().any(|level| level.price == price))
                };
                self.taken.retain(|(side, price, _)| !updated(*side, *price));
                self.book.get_or_insert_with(|| Book::new(LEVELS)).delta(change);
            }
            MarketEvent::Disconnect => {
                self.quote = None;
                self.taken.clear();
                if let Some(book) = &mut self.book {
                    book.lose();
                }
            }
            MarketEvent::Status(_) | MarketEvent::Trade(_) | MarketEvent::Bar(_) => {}
        }
    }

    fn see_quote(&mut self, quote: &Quote) {
        let level = |quote: &Quote, side: Side| match side {
            Side::Buy => (quote.bid, quote.bid_qty),
            Side::Sell => (quote.ask, quote.ask_qty),
        };
        let before = self.quote;
        // A level that says the same again was not updated.
        self.taken.retain(|(side, ..)| before.is_some_and(|before| level(&before, *side) == level(quote, *side)));
        self.quote = Some(*quote);
    }

    /// The state of the book, where there is one.
    pub(super) fn book_state(&self) -> Option<BookState> {
        self.book.as_ref().map(Book::state)
    }

    /// Best bid and ask: of the feed that says them, else of the book while it is in step.
    pub(super) fn best(&self) -> Option<Quote> {
        let of_book = || self.book.as_ref().filter(|book| book.state() == BookState::Synced).and_then(Book::quote);
        self.quote.or_else(of_book)
    }

    /// Best bid and ask of the book alone, where no feed says them.
    pub(super) fn best_of_book(&self) -> Option<Quote> {
        if self.quote.is_some() { None } else { self.best() }
    }

    /// Quantity shown at a price; none where nothing says it.
    pub(super) fn displayed(&self, side: Side, price: Price) -> Option<Qty> {
        let best = self.best()?;
        let (at, qty, better) = match side {
            Side::Buy => (best.bid, best.bid_qty, price > best.bid),
            Side::Sell => (best.ask, best.ask_qty, price < best.ask),
        };
        if price == at {
            return Some(qty);
        }
        if better {
            return Some(Qty::ZERO);
        }
        self.book.as_ref().filter(|book| book.state() == BookState::Synced).map(|book| book.displayed(side, price))
    }

    /// The level that an order of this side would take next, within its limit, and how much is left of it.
    pub(super) fn next_to_take(&self, side: Side, limit: Option<Price>) -> Option<(Price, Qty)> {
        let within = |price: Price| match (side, limit) {
            (_, None) => true,
            (Side::Buy, Some(limit)) => price <= limit,
            (Side::Sell, Some(limit)) => price >= limit,
        };
        let left = |price: Price, shown: Qty| Qty((shown.0 - self.taken_at(side.opposite(), price).0).max(0));
        if let Some(quote) = self.quote {
            // With nothing but the best level known, nothing beyond it can be taken.
            let (price, shown) = match side {
                Side::Buy => (quote.ask, quote.ask_qty),
                Side::Sell => (quote.bid, quote.bid_qty),
            };
            return (within(price) && left(price, shown) > Qty::ZERO).then(|| (price, left(price, shown)));
        }
        let book = self.book.as_ref().filter(|book| book.state() == BookState::Synced)?;
        let levels = book.levels(side.opposite()).take_while(|level| within(level.price));
        levels.map(|level| (level.price, left(level.price, level.qty))).find(|(_, left)| *left > Qty::ZERO)
    }

    fn taken_at(&self, side: Side, price: Price) -> Qty {
        self.taken.iter().find(|(of, at, _)| (*of, *at) == (side, price)).map_or(Qty::ZERO, |(.., qty)| *qty)
    }

    /// An order of this side took so much at a price.
    pub(super) fn take(&mut self, side: Side, price: Price, qty: Qty) {
        match self.taken.iter_mut().find(|(of, at, _)| (*of, *at) == (side.opposite(), price)) {
            Some((.., taken)) => taken.0 = taken.0.saturating_add(qty.0),
            None => self.taken.push((side.opposite(), price, qty)),
        }
    }
}
