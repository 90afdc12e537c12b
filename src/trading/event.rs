//! What happens in a market, in the one order that everything is replayed in.

use crate::instrument::InstrumentId;
use crate::number::{Price, Qty};
use crate::order::Side;
use crate::time::Time;

/// What kind of thing an event is; at one instant the earlier kind comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Whether the instrument trades.
    Status,
    /// The feed was lost.
    Disconnect,
    /// The order book.
    Book,
    /// The best bid and ask.
    Quote,
    /// A trade of others.
    Trade,
    /// A bar, at the close of its interval.
    Bar,
    /// What the venue says of our orders.
    VenueToUs,
    /// A timer of a strategy.
    Timer,
    /// Our order reaches the venue.
    UsToVenue,
}

/// The place of an event in the order of all events.
///
/// An order never meets a market event whose key is not greater than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// When we received it; without a receive time, exchange time plus the configured latency of the feed.
    pub time: Time,
    /// Kind.
    pub class: Class,
    /// Which input it came from, in the order in which inputs were given.
    pub source: u16,
    /// Its place in that input.
    pub seq: u64,
}

/// Whether an instrument trades, in the words that venues have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarketStatus {
    /// Everything is taken.
    Trading,
    /// Only limit orders.
    LimitOnly,
    /// Only orders that rest.
    PostOnly,
    /// Only cancels.
    CancelOnly,
    /// An auction is being held.
    Auction,
    /// Nothing, for a while.
    Halt,
    /// Nothing until the next session.
    Closed,
}

/// The best bid and ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Best bid.
    pub bid: Price,
    /// Quantity at the best bid.
    pub bid_qty: Qty,
    /// Best ask.
    pub ask: Price,
    /// Quantity at the best ask.
    pub ask_qty: Qty,
}

/// A trade of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// Who took: a buyer took from the ask.
    pub taker: Side,
}

/// An interval's prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start of the interval; the event's key has its end.
    pub opens: Time,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Quantity traded.
    pub volume: Qty,
}

/// A level of a book; quantity zero takes it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
}

/// A change of an order book by a venue's procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookChange<'a> {
    /// First update id that it covers.
    pub first_id: u64,
    /// Last update id that it covers.
    pub last_id: u64,
    /// Bid levels, in the order of the frame.
    pub bids: &'a [Level],
    /// Ask levels, in the order of the frame.
    pub asks: &'a [Level],
}

/// What happened in a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketEvent<'a> {
    /// The instrument's status.
    Status(MarketStatus),
    /// The feed was lost: what is known of the market is old from here on.
    Disconnect,
    /// The whole book; `first_id` is its `last_id`.
    Snapshot(BookChange<'a>),
    /// A change of the book.
    Delta(BookChange<'a>),
    /// The best bid and ask.
    Quote(Quote),
    /// A trade.
    Trade(Trade),
    /// A bar that has closed.
    Bar(Bar),
}

impl MarketEvent<'_> {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            MarketEvent::Status(_) => Class::Status,
            MarketEvent::Disconnect => Class::Disconnect,
            MarketEvent::Snapshot(_) | MarketEvent::Delta(_) => Class::Book,
            MarketEvent::Quote(_) => Class::Quote,
            MarketEvent::Trade(_) => Class::Trade,
            MarketEvent::Bar(_) => Class::Bar,
        }
    }
}

/// A market event in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<'a> {
    /// Its place.
    pub key: Key,
    /// When the exchange says it happened.
    pub exchange_time: Time,
    /// Where.
    pub instrument: InstrumentId,
    /// What.
    pub event: MarketEvent<'a>,
}
