//! Orders against bars.
//!
//! What one bar can say is bounded by what it holds: four prices and a volume. Where it leaves a choice, the worse one is taken.

use std::collections::{BTreeMap, VecDeque};

use super::path::{self, Reached};
use super::trail::Trail;
use super::{Asked, Desk, OnTheWay, VenueError, is_pair, reduce};
use crate::event::{Bar, Key};
use crate::instrument::{InstrumentId, Liquidity};
use crate::number::{Price, Qty};
use crate::order::{ClientId, Fill, Order, OrderEvent, OrderKind, Refusal, Side, TimeInForce};
use crate::risk::Checked;
use crate::time::Time;

/// When an order that a bar led to can be filled first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BarFill {
    /// At the open of the next bar that starts after it arrived.
    #[default]
    NextOpen,
    /// At the close of the very bar: as if there were no latency at all. A result that it makes is OPTIMISTIC and no gate takes it.
    SameClose,
}

/// How bars are taken.
#[derive(Clone, Copy, Debug)]
pub struct BarVenueRules {
    /// When an order can be filled first.
    pub fill: BarFill,
    /// What a stop loses beyond its trigger when it is set off within a bar, in ticks.
    pub stop_slippage_ticks: i64,
}

/// The part of a bar's volume that our orders may take: one tenth.
const VOLUME_PART: i64 = 10;

#[derive(Debug)]
struct Resting {
    /// Rises with each arrival.
    seq: u64,
    order: Order,
    left: Qty,
    triggered: bool,
    /// Whether it has stood at the venue before: then it rests, and what meets it takes.
    matched_once: bool,
    /// In a bar that reaches both legs of a pair, the better one waits.
    held_back: bool,
    trail: Trail,
}

impl Resting {
    fn standing(&self) -> OrderKind {
        self.trail.standing(self.order.kind)
    }

    /// Whether it can trade only at the open at which it arrives.
    fn is_immediate(&self) -> bool {
        self.order.tif != TimeInForce::Gtc
    }
}

/// A venue that matches against bars of any number of instruments.
#[derive(Debug)]
pub struct BarVenue {
    rules: BarVenueRules,
    on_the_way: VecDeque<OnTheWay>,
    /// By time of arrival.
    resting: Vec<Resting>,
    /// When the last bar of an instrument opened, and what its orders left of the volume that they may take.
    volume_left: BTreeMap<InstrumentId, (Time, Qty)>,
    next_exec: u64,
    next_seq: u64,
}

/// One match: a bar, and what is left of the volume that may be taken.
struct Match<'a> {
    bar: &'a Bar,
    at: InstrumentId,
    volume_left: Qty,
}

impl BarVenue {
    /// An empty venue.
    pub fn new(rules: BarVenueRules) -> BarVenue {
        BarVenue { rules, on_the_way: VecDeque::new(), resting: Vec::new(), volume_left: BTreeMap::new(), next_exec: 1, next_seq: 0 }
    }

    /// Takes an order on its way. Keys rise.
    pub fn send(&mut self, arrives: Key, order: Checked<Order>) {
        self.on_the_way.push_back(OnTheWay { arrives, asked: Asked::Order(order) });
    }

    /// Takes a cancel on its way. Keys rise.
    pub fn cancel(&mut self, arrives: Key, id: ClientId) {
        self.on_the_way.push_back(OnTheWay { arrives, asked: Asked::Cancel(id) });
    }

    /// Matches a bar: what arrived before its open trades in it; what arrived within it waits for the next, a cancel takes what the bar
    /// left.
    ///
    /// # Errors
    /// [`VenueError`].
    pub fn bar(&mut self, key: Key, at: InstrumentId, bar: &Bar, desk: &mut dyn Desk) -> Result<(), VenueError> {
        if self.resting.is_empty() && self.on_the_way.is_empty() {
            return Ok(());
        }
        self.arrivals(|wish| wish.arrives < key && wish.arrives.time <= bar.opens, desk)?;
        let mut run = Match { bar, at, volume_left: Qty(bar.volume.0 / VOLUME_PART) };
        self.hold_back_better_legs(&run);
        self.open(&mut run, desk)?;
        self.follow(at, bar.open);
        let corners = path::corners(bar);
        for step in corners.windows(2) {
            if let [from, to] = step {
                self.walk(&mut run, *from, *to, desk)?;
                self.follow(at, *to);
            }
        }
        self.volume_left.insert(at, (bar.opens, run.volume_left));
        self.arrivals(|wish| wish.arrives < key && matches!(wish.asked, Asked::Cancel(_)), desk)
    }

    /// Fills at the close of the bar that led to the orders, for [`BarFill::SameClose`].
    ///
    /// # Errors
    /// [`VenueError`].
    pub fn close(&mut self, at: InstrumentId, bar: &Bar, desk: &mut dyn Desk) -> Result<(), VenueError> {
        if self.rules.fill != BarFill::SameClose || self.on_the_way.is_empty() {
            return Ok(());
        }
        let mut next = self.next_seq;
        self.arrivals(|_| true, desk)?;
        let left = self.volume_left.get(&at).filter(|(opens, _)| *opens == bar.opens).map(|(_, left)| *left);
        let mut run = Match { bar, at, volume_left: left.unwrap_or(Qty(bar.volume.0 / VOLUME_PART)) };
        while let Some(place) = self.from(next) {
            next = self.resting[place].seq + 1;
            self.match_at(place, bar.close, &mut run, desk)?;
        }
        self.expire(at, desk)
    }

    /// A fill at a price of its own choosing, for the liquidation at the end of the data: neither volume nor path bound it.
    ///
    /// # Errors
    /// [`VenueError`].
    pub fn liquidate(&mut self, order: Checked<Order>, price: Price, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let order = order.into_inner();
        desk.tell(order.id, OrderEvent::Accepted)?;
        self.tell_fill(&order, price, order.qty, Liquidity::Taker, desk)
    }

    /// Lets what has arrived in: orders to their place, cancels to their orders. What stays on its way keeps its order.
    fn arrivals(&mut self, arrived: impl Fn(&OnTheWay) -> bool, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let mut place = 0;
        while place < self.on_the_way.len() {
            if !arrived(&self.on_the_way[place]) {
                place += 1;
                continue;
            }
            match self.on_the_way.remove(place).map(|wish| wish.asked) {
                Some(Asked::Order(order)) => self.take(order.into_inner(), desk)?,
                Some(Asked::Cancel(id)) => self.take_out(id, OrderEvent::Cancelled, desk)?,
                None => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, order: Order, desk: &mut dyn Desk) -> Result<(), VenueError> {
        desk.tell(order.id, OrderEvent::Accepted)?;
        let seq = self.next_seq;
        self.next_seq += 1;
        self.resting.push(Resting {
            seq,
            order,
            left: order.qty,
            triggered: false,
            matched_once: false,
            held_back: false,
            trail: Trail::default(),
        });
        Ok(())
    }

    fn take_out(&mut self, id: ClientId, event: OrderEvent, desk: &mut dyn Desk) -> Result<(), VenueError> {
        match self.resting.iter().position(|resting| resting.order.id == id) {
            Some(place) => {
                self.resting.remove(place);
                desk.tell(id, event)
            }
            // It may still be on its way: then the cancel overtook nothing, since wishes arrive in their order.
            None => desk.tell(id, OrderEvent::CancelRejected),
        }
    }

    /// Where both legs of a pair are reachable in the bar, the one with the worse price trades and the other waits.
    fn hold_back_better_legs(&mut self, run: &Match<'_>) {
        let worst_of = |resting: &Resting| {
            let mut from = run.bar.open;
            if let Some(reached) = path::at_open(from, resting.order.side, resting.standing(), resting.triggered) {
                return Some(reached.price());
            }
            if resting.is_immediate() {
                return None;
            }
            path::corners(run.bar).into_iter().find_map(|to| {
                let reached = path::reached(from, to, resting.order.side, resting.standing(), resting.triggered);
                from = to;
                reached.map(Reached::price)
            })
        };
        for resting in &mut self.resting {
            resting.held_back = false;
        }
        for one in 0..self.resting.len() {
            for other in one + 1..self.resting.len() {
                let (a, b) = (&self.resting[one], &self.resting[other]);
                if !is_pair(&a.order, &b.order) || a.order.instrument != run.at {
                    continue;
                }
                if let (Some(a_price), Some(b_price)) = (worst_of(a), worst_of(b)) {
                    let a_is_worse = match a.order.side {
                        Side::Buy => a_price >= b_price,
                        Side::Sell => a_price <= b_price,
                    };
                    self.resting[if a_is_worse { other } else { one }].held_back = true;
                }
            }
        }
    }

    /// Trailing stops follow the price. Within one leg of the path it goes one way only, so it is enough to look at its end.
    fn follow(&mut self, at: InstrumentId, price: Price) {
        for resting in self.resting.iter_mut().filter(|resting| resting.order.instrument == at) {
            resting.trail.follow(resting.order.side, resting.order.kind, price);
        }
    }

    /// What trades or is triggered at the open, by time of arrival. What may not wait has had its chance there.
    fn open(&mut self, run: &mut Match<'_>, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let mut next = 0;
        while let Some(place) = self.from(next) {
            next = self.resting[place].seq + 1;
            if !self.resting[place].held_back {
                self.match_at(place, run.bar.open, run, desk)?;
            }
        }
        self.expire(run.at, desk)
    }

    /// The first order that arrived as this one or later.
    fn from(&self, seq: u64) -> Option<usize> {
        let place = self.resting.partition_point(|resting| resting.seq < seq);
        (place < self.resting.len()).then_some(place)
    }

    /// Matches one order at one price: a stop that it triggers trades there.
    fn match_at(&mut self, place: usize, price: Price, run: &mut Match<'_>, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let resting = &mut self.resting[place];
        let (order, is_new, kind) = (resting.order, !resting.matched_once, resting.standing());
        if order.instrument != run.at {
            return Ok(());
        }
        resting.matched_once = true;
        let mut reached = path::at_open(price, order.side, kind, resting.triggered);
        if let Some(Reached::Trigger(_)) = reached {
            resting.triggered = true;
            reached = path::at_open(price, order.side, kind, true);
            desk.tell(order.id, OrderEvent::Triggered)?;
        }
        match (reached, order.kind) {
            (Some(Reached::Limit(_)), OrderKind::Limit { post_only: true, .. }) if is_new => {
                self.resting.remove(place);
                desk.tell(order.id, OrderEvent::Rejected(Refusal::WouldTake))
            }
            (Some(Reached::Limit(at)), OrderKind::Limit { post_only: true, .. }) => self.trade(place, at, Liquidity::Maker, run, desk),
            (Some(Reached::Limit(at)), _) => self.trade(place, at, Liquidity::Taker, run, desk),
            (Some(Reached::Trigger(_)) | None, _) => Ok(()),
        }
    }

    /// What trades or is triggered while the price goes from one corner to the next: the nearest first, of two as near the one that
    /// arrived first.
    fn walk(&mut self, run: &mut Match<'_>, from: Price, to: Price, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let mut from = from;
        // What the volume left unfilled at a price would be found there again and again.
        let mut passed: Vec<ClientId> = Vec::new();
        loop {
            let next = self
                .resting
                .iter()
                .enumerate()
                .filter(|(_, resting)| resting.order.instrument == run.at && !resting.held_back && !passed.contains(&resting.order.id))
                .filter_map(|(place, resting)| {
                    let reached = path::reached(from, to, resting.order.side, resting.standing(), resting.triggered)?;
                    Some((path::distance(from, reached.price()), place, reached))
                })
                .min_by_key(|(distance, place, _)| (*distance, *place));
            let Some((_, place, reached)) = next else { return Ok(()) };
            from = reached.price();
            let (order, standing) = (self.resting[place].order, self.resting[place].standing());
            match reached {
                Reached::Limit(price) => {
                    self.trade(place, price, Liquidity::Maker, run, desk)?;
                    passed.push(order.id);
                }
                Reached::Trigger(price) => {
                    self.resting[place].triggered = true;
                    desk.tell(order.id, OrderEvent::Triggered)?;
                    if let Some(at) = self.set_off(order.side, standing, price) {
                        self.trade(place, at, Liquidity::Taker, run, desk)?;
                        passed.push(order.id);
                    }
                }
            }
        }
    }

    /// What a stop trades at when it is set off at a price within a bar; none when its limit makes it wait. Slippage takes it no further
    /// than that limit.
    fn set_off(&self, side: Side, standing: OrderKind, price: Price) -> Option<Price> {
        let slipped = self.slipped(side, price);
        match (standing, side) {
            (OrderKind::Stop { .. }, Side::Buy | Side::Sell) => Some(slipped),
            (OrderKind::StopLimit { price: limit, .. }, Side::Buy) => (price < limit).then_some(slipped.min(limit)),
            (OrderKind::StopLimit { price: limit, .. }, Side::Sell) => (price > limit).then_some(slipped.max(limit)),
            (OrderKind::Market | OrderKind::Limit { .. } | OrderKind::TrailingStop { .. }, Side::Buy | Side::Sell) => None,
        }
    }

    fn slipped(&self, side: Side, price: Price) -> Price {
        match side {
            Side::Buy => Price(price.0.saturating_add(self.rules.stop_slippage_ticks)),
            Side::Sell => Price(price.0.saturating_sub(self.rules.stop_slippage_ticks).max(1)),
        }
    }

    /// Trades what volume, money and time in force let it.
    fn trade(
        &mut self,
        place: usize,
        price: Price,
        liquidity: Liquidity,
        run: &mut Match<'_>,
        desk: &mut dyn Desk,
    ) -> Result<(), VenueError> {
        let (order, left) = (self.resting[place].order, self.resting[place].left);
        let payable = desk.affordable(&order, price)?;
        let qty = left.min(run.volume_left).min(payable);
        if order.tif == TimeInForce::Fok && qty < left {
            return Ok(());
        }
        if qty > Qty::ZERO {
            run.volume_left = run.volume_left.minus(qty)?;
            self.resting[place].left = left.minus(qty)?;
            self.tell_fill(&order, price, qty, liquidity, desk)?;
            self.reduce_other_leg(&order, qty, desk)?;
        }
        // The reduced leg may have stood before this one.
        let Some(place) = self.resting.iter().position(|resting| resting.order.id == order.id) else { return Ok(()) };
        if self.resting[place].left == Qty::ZERO {
            self.resting.remove(place);
        } else if payable < left.min(run.volume_left.plus(qty)?) {
            // A venue does not lend: what the account cannot pay for is gone.
            self.resting.remove(place);
            let event = if qty == Qty::ZERO { OrderEvent::Rejected(Refusal::Funds) } else { OrderEvent::Cancelled };
            desk.tell(order.id, event)?;
        }
        Ok(())
    }

    fn tell_fill(&mut self, order: &Order, price: Price, qty: Qty, liquidity: Liquidity, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let fee = desk.fee(order, price, qty, liquidity)?;
        let fill = Fill { exec_id: self.next_exec, price, qty, liquidity, fee };
        self.next_exec += 1;
        desk.tell(order.id, OrderEvent::Fill(fill))
    }

    /// A partial fill of one leg takes as much from the other.
    fn reduce_other_leg(&mut self, order: &Order, qty: Qty, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let Some(place) = self.resting.iter().position(|resting| is_pair(&resting.order, order)) else { return Ok(()) };
        let other = &mut self.resting[place];
        let (id, event) = (other.order.id, reduce(&other.order, &mut other.left, qty)?);
        if other.left == Qty::ZERO {
            self.resting.remove(place);
        }
        desk.tell(id, event)
    }

    /// Ends what may not wait for another match.
    fn expire(&mut self, at: InstrumentId, desk: &mut dyn Desk) -> Result<(), VenueError> {
        let mut place = 0;
        while let Some(resting) = self.resting.get(place) {
            let order = resting.order;
            match order.tif {
                TimeInForce::Ioc | TimeInForce::Fok if order.instrument == at => {
                    self.resting.remove(place);
                    desk.tell(order.id, OrderEvent::Expired)?;
                }
                TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok => place += 1,
            }
        }
        Ok(())
    }
}
