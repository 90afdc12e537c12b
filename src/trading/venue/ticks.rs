//! Orders against trades, quotes and books.
//!
//! A taking order gets what is shown. A resting order waits behind what was shown when it came: trades at its price shorten the line, and
//! so does what leaves the level; what a trade leaves over fills us, by time of arrival.

use std::collections::VecDeque;

use super::queue::Shown;
use super::trail::Trail;
use super::{Asked, Desk, OnTheWay, VenueError, is_pair, reduce};
use crate::account::BookState;
use crate::event::{Key, MarketEvent, Quote, Trade};
use crate::instrument::{InstrumentId, Liquidity};
use crate::number::{HalfTicks, Price, Qty};
use crate::order::{ClientId, Fill, Order, OrderEvent, OrderKind, Refusal, Side, TimeInForce};
use crate::risk::Checked;

#[derive(Debug)]
struct Resting {
    order: Order,
    left: Qty,
    triggered: bool,
    /// What others have in front of it; none until its level is shown.
    ahead: Option<Qty>,
    trail: Trail,
}

impl Resting {
    /// The price at which it stands in the book; none for a stop that waits.
    fn price(&self) -> Option<Price> {
        match (self.order.kind, self.triggered) {
            (OrderKind::Limit { price, .. }, _) | (OrderKind::StopLimit { price, .. }, true) => Some(price),
            (OrderKind::StopLimit { .. }, false) | (OrderKind::Market | OrderKind::Stop { .. } | OrderKind::TrailingStop { .. }, _) => None,
        }
    }
}

/// A venue that matches against ticks of any number of instruments.
#[derive(Debug)]
pub struct TickVenue {
    on_the_way: VecDeque<OnTheWay>,
    /// By time of arrival.
    resting: Vec<Resting>,
    shown: Vec<Shown>,
    triggers: Triggers,
    next_exec: u64,
}

/// What sets off a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Triggers {
    /// The last trade.
    #[default]
    LastTrade,
    /// The mark: the mid of an uncrossed market, and a trade only where there is none.
    Mark,
}

impl TickVenue {
    /// An empty venue of so many instruments.
    pub fn new(instruments: usize, triggers: Triggers) -> TickVenue {
        let shown = (0..instruments).map(|_| Shown::default()).collect();
        TickVenue { on_the_way: VecDeque::new(), resting: Vec::new(), shown, triggers, next_exec: 1 }
    }

    /// Takes an order on its way. Keys rise.
    pub fn send(&mut self, arrives: Key, order: Checked<Order>) {
        self.on_the_way.push_back(OnTheWay { arrives, asked: Asked::Order(order) });
    }

    /// Takes a cancel on its way. Keys rise.
    pub fn cancel(&mut self, arrives: Key, id: ClientId) {
        self.on_the_way.push_back(OnTheWay { arrives, asked: Asked::Cancel(id) });
    }

    /// The state of an instrument's book, where there is one.
    pub fn book_state(&self, at: InstrumentId) -> Option<BookState> {
        self.shown[usize::from(at.0)].book_state()
    }

    /// Best bid and ask of an instrument's book, where no feed says them.
    pub fn best_of_book(&self, at: InstrumentId) -> Option<Quote> {
        self.shown[usize::from(at.0)].best_of_book()
    }

    /// When the next wish arrives.
    pub fn next_arrival(&self) -> Option<Key> {
        self.on_the_way.front().map(|wish| wish.arrives)
    }

    /// Lets the next wish in: it meets what is shown at the time of its arrival.
    ///
    /// # Errors
    /// [`VenueError`].
    pub fn arrival(&mut self, desk: &mut dyn Desk) -> Result<(), VenueError> {
        match self.on_the_way.pop_front().map(|wish| wish.asked) {
            Some(Asked::Order(order)) => self.arrive(order.into_inner(), desk),
            Some(Asked::Cancel(id)) => self.take_out(id, desk),
            None => Ok(()),
        }
    }

    /// Takes the next market event: it meets what rests. What arrived before it was let in before ([`TickVenue::arrival`]).
    ///
    /// # Errors
    /// [`VenueError`].
    pub fn market(&mut self, at: InstrumentId, event: &MarketEvent<'_>, desk: &mut dyn Desk) -> Result<(), VenueError> {
        self.shown[usize::from(at.0)].see(event);
        match event {
            MarketEvent::Trade(trade) => {
                self.fill_line(at, trade, desk)?;
                match (self.triggers, self.mid(at)) {
                    (Triggers::LastTrade, _) | (Triggers::Mark, None) => self.trigger(at, HalfTicks::of(trade.price)?, desk),
                    (Triggers::Mark, Some(_)) => Ok(()),
                }
            }
            MarketEvent::Quote(_) | MarketEvent::Snapshot(_) | MarketEvent::Delta(_) => {
                self.shorten_lines(at);
                match (self.triggers, self.mid(at)) {
                    (Triggers::Mark, Some(mid)) => self.trigger(at, mid, desk),
                    (Triggers::LastTrade, _) | (Triggers::Mark, None) => Ok(()),
                }
            }
            MarketEvent::Status(_) | MarketEvent::Disconnect | MarketEvent::Bar(_) => Ok(()),
        }
    }

    fn arrive(&mut self, order: Order, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let shown = &self.shown[usize::from(order.instrument.0)];
        if let OrderKind::Limit { price, post_only: true } = order.kind
            && shown.next_to_take(order.side, Some(price)).is_some()
        {
            return desk.tell(order.id, OrderEvent::Rejected(Refusal::WouldTake));
        }
        desk.tell(order.id, OrderEvent::Accepted)?;
        self.resting.push(Resting { order, left: order.qty, triggered: false, ahead: None, trail: Trail::default() });
        match order.kind {
            OrderKind::Market | OrderKind::Limit { .. } => self.meet(order.id, desk),
            OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. } => Ok(()),
        }
    }

    fn place(&self, id: ClientId) -> Option<usize> {
        self.resting.iter().position(|resting| resting.order.id == id)
    }

    fn take_out(&mut self, id: ClientId, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let Some(place) = self.place(id) else { return desk.tell(id, OrderEvent::CancelRejected) };
        self.resting.remove(place);
        desk.tell(id, OrderEvent::Cancelled)
    }

    /// An order meets what is shown: it takes what it may, and what is left rests or ends.
    fn meet(&mut self, id: ClientId, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let Some(place) = self.place(id) else { return Ok(()) };
        let order = self.resting[place].order;
        if order.tif == TimeInForce::Fok && !self.all_is_shown(&order) {
            self.resting.remove(place);
            return desk.tell(id, OrderEvent::Expired);
        }
        while let Some(place) = self.place(id) {
            let left = self.resting[place].left;
            let shown = &mut self.shown[usize::from(order.instrument.0)];
            let Some((price, available)) = shown.next_to_take(order.side, order.kind.limit()) else { break };
            let payable = desk.affordable(&order, price)?;
            let qty = left.min(available).min(payable);
            if qty == Qty::ZERO {
                // A venue does not lend.
                self.resting.remove(place);
                let untouched = left == order.qty;
                let event = if untouched { OrderEvent::Rejected(Refusal::Funds) } else { OrderEvent::Cancelled };
                return desk.tell(id, event);
            }
            shown.take(order.side, price, qty);
            self.fill(id, price, qty, Liquidity::Taker, desk)?;
        }
        let Some(place) = self.place(id) else { return Ok(()) };
        let rests = self.resting[place].price().is_some() && order.tif == TimeInForce::Gtc;
        if !rests {
            self.resting.remove(place);
            return desk.tell(id, OrderEvent::Expired);
        }
        if let Some(price) = self.resting[place].price() {
            self.resting[place].ahead = self.shown[usize::from(order.instrument.0)].displayed(order.side, price);
        }
        Ok(())
    }

    fn all_is_shown(&self, order: &Order) -> bool {
        // One level is all that is promised; a book is walked only by orders that take what they get.
        let shown = &self.shown[usize::from(order.instrument.0)];
        shown.next_to_take(order.side, order.kind.limit()).is_some_and(|(_, available)| available >= order.qty)
    }

    /// A trade of others at or through our prices.
    fn fill_line(&mut self, at: InstrumentId, trade: &Trade, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let side = trade.taker.opposite();
        let mut over = trade.qty;
        while let Some((id, price)) = self.next_in_line(at, side, trade.price, over) {
            let Some(place) = self.place(id) else { return Ok(()) };
            let at_price = price == trade.price;
            let ahead = if at_price { self.resting[place].ahead.unwrap_or(Qty(i64::MAX)) } else { Qty::ZERO };
            let reached = Qty((over.0 - ahead.0).max(0)).min(self.resting[place].left);
            let qty = reached.min(desk.affordable(&self.resting[place].order, price)?);
            if qty == Qty::ZERO {
                break;
            }
            over = over.minus(qty)?;
            self.fill(id, price, qty, Liquidity::Maker, desk)?;
        }
        // Whoever still stands at the price has moved up by the whole trade.
        for resting in &mut self.resting {
            let stands = resting.order.instrument == at && resting.order.side == side && resting.price() == Some(trade.price);
            if let (true, Some(ahead)) = (stands, &mut resting.ahead) {
                ahead.0 = (ahead.0 - trade.qty.0).max(0);
            }
        }
        Ok(())
    }

    /// The order that a trade reaches next: a better price first, then by time of arrival.
    fn next_in_line(&self, at: InstrumentId, side: Side, traded: Price, over: Qty) -> Option<(ClientId, Price)> {
        let reached = |resting: &&Resting| {
            let ahead = resting.ahead.unwrap_or(Qty(i64::MAX));
            resting.order.instrument == at
                && resting.order.side == side
                && resting.price().is_some_and(|price| match side {
                    Side::Buy => price > traded || (price == traded && ahead < over),
                    Side::Sell => price < traded || (price == traded && ahead < over),
                })
        };
        let better = |resting: &&Resting| match (side, resting.price()) {
            (Side::Buy, Some(price)) => price.0.saturating_neg(),
            (Side::Sell, Some(price)) => price.0,
            (_, None) => i64::MAX,
        };
        // `min_by_key` keeps the first of equals, which arrived first.
        let next = self.resting.iter().filter(|_| over > Qty::ZERO).filter(reached).min_by_key(better)?;
        Some((next.order.id, next.price()?))
    }

    /// No more can be ahead of us than is shown.
    fn shorten_lines(&mut self, at: InstrumentId) {
        let shown = &self.shown[usize::from(at.0)];
        for resting in self.resting.iter_mut().filter(|resting| resting.order.instrument == at) {
            let Some(displayed) = resting.price().and_then(|price| shown.displayed(resting.order.side, price)) else { continue };
            resting.ahead = Some(resting.ahead.map_or(displayed, |ahead| ahead.min(displayed)));
        }
    }

    /// The middle of what is shown, while that is a market.
    fn mid(&self, at: InstrumentId) -> Option<HalfTicks> {
        let best = self.shown[usize::from(at.0)].best().filter(|best| best.bid.0 > 0 && best.bid < best.ask)?;
        HalfTicks::mid(best.bid, best.ask).ok()
    }

    /// Sets off stops by a price, by time of arrival. Between two ticks a trailing stop follows the one that sets it off later.
    fn trigger(&mut self, at: InstrumentId, price: HalfTicks, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let reached = |resting: &Resting| {
            let touched = |trigger: Price| match resting.order.side {
                Side::Buy => price.floor() >= trigger,
                Side::Sell => price.ceil() <= trigger,
            };
            resting.order.instrument == at
                && !resting.triggered
                && resting.trail.standing(resting.order.kind).trigger().is_some_and(touched)
        };
        while let Some(place) = self.resting.iter().position(reached) {
            self.resting[place].triggered = true;
            let id = self.resting[place].order.id;
            desk.tell(id, OrderEvent::Triggered)?;
            self.meet(id, desk)?;
        }
        for resting in self.resting.iter_mut().filter(|resting| resting.order.instrument == at) {
            let by = match resting.order.side {
                Side::Buy => price.ceil(),
                Side::Sell => price.floor(),
            };
            resting.trail.follow(resting.order.side, resting.order.kind, by);
        }
        Ok(())
    }

    fn fill(&mut self, id: ClientId, price: Price, qty: Qty, liquidity: Liquidity, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let Some(place) = self.place(id) else { return Ok(()) };
        let order = self.resting[place].order;
        self.resting[place].left = self.resting[place].left.minus(qty)?;
        let fee = desk.fee(&order, price, qty, liquidity)?;
        let fill = Fill { exec_id: self.next_exec, price, qty, liquidity, fee };
        self.next_exec += 1;
        desk.tell(id, OrderEvent::Fill(fill))?;
        if self.resting[place].left == Qty::ZERO {
            self.resting.remove(place);
        }
        self.reduce_other_leg(&order, qty, desk)
    }

    /// A partial fill of one leg of a pair takes as much from the other.
    fn reduce_other_leg(&mut self, order: &Order, qty: Qty, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let Some(place) = self.resting.iter().position(|resting| is_pair(&resting.order, order)) else { return Ok(()) };
        let other = &mut self.resting[place];
        let (id, event) = (other.order.id, reduce(&other.order, &mut other.left, qty)?);
        if other.left == Qty::ZERO {
            self.resting.remove(place);
        }
        desk.tell(id, event)
    }
}
