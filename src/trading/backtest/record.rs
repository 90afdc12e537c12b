//! What a run leaves behind, written while it runs so that its length costs no memory.

use crate::instrument::InstrumentId;
use crate::number::{HalfTicks, Money};
use crate::order::{ClientId, Fill, Order, Side};
use crate::risk::Denial;
use crate::time::Time;

/// An order that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    /// When.
    pub at: Time,
    /// The order.
    pub order: Order,
}

/// A fill that was booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillRecord {
    /// When it became known.
    pub at: Time,
    /// Of which order.
    pub order: ClientId,
    /// Where.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// The fill.
    pub fill: Fill,
    /// Profit or loss that it realised, before fees.
    pub realised: Money,
}

/// An intent that a control denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// When.
    pub at: Time,
    /// Where.
    pub instrument: InstrumentId,
    /// Which way.
    pub side: Side,
    /// Why.
    pub denial: Denial,
}

/// Trading was stopped by a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub at: Time,
    /// Why, with the limit and what was measured: the difference is the overshoot.
    pub denial: Denial,
}

/// Takes down what happens. Nothing it does changes the run.
pub trait Record {
    /// An order was sent.
    fn order(&mut self, order: &OrderRecord);
    /// A fill was booked.
    fn fill(&mut self, fill: &FillRecord);
    /// An intent was denied.
    fn denied(&mut self, denied: &Denied);
    /// A control stopped trading.
    fn stopped(&mut self, stop: &Stop);
    /// A point of the equity series: the first is the starting cash.
    fn equity(&mut self, at: Time, equity: Money);
    /// A mark was accepted. Few want so many.
    fn mark(&mut self, _at: Time, _instrument: InstrumentId, _price: HalfTicks) {}
}

/// Keeps everything in memory: for tests and short runs.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Orders.
    pub orders: Vec<OrderRecord>,
    /// Fills.
    pub fills: Vec<FillRecord>,
    /// Denied intents.
    pub denied: Vec<Denied>,
    /// Stops.
    pub stops: Vec<Stop>,
    /// The equity series.
    pub equity: Vec<(Time, Money)>,
}

impl Record for Keep {
    fn order(&mut self, order: &OrderRecord) {
        self.orders.push(*order);
    }

    fn fill(&mut self, fill: &FillRecord) {
        self.fills.push(*fill);
    }

    fn denied(&mut self, denied: &Denied) {
        self.denied.push(*denied);
    }

    fn stopped(&mut self, stop: &Stop) {
        self.stops.push(*stop);
    }

    fn equity(&mut self, at: Time, equity: Money) {
        self.equity.push((at, equity));
    }
}

/// Keeps the equity series only: a point a day is little, however many orders there were.
#[derive(Clone, Debug, Default)]
pub struct EquitySeries {
    /// The points.
    pub points: Vec<(Time, Money)>,
}

impl Record for EquitySeries {
    fn order(&mut self, _: &OrderRecord) {}
    fn fill(&mut self, _: &FillRecord) {}
    fn denied(&mut self, _: &Denied) {}
    fn stopped(&mut self, _: &Stop) {}

    fn equity(&mut self, at: Time, equity: Money) {
        self.points.push((at, equity));
    }
}

/// Keeps nothing.
impl Record for () {
    fn order(&mut self, _: &OrderRecord) {}
    fn fill(&mut self, _: &FillRecord) {}
    fn denied(&mut self, _: &Denied) {}
    fn stopped(&mut self, _: &Stop) {}
    fn equity(&mut self, _: Time, _: Money) {}
}

/// Two that take down the same.
impl<A: Record, B: Record> Record for (A, B) {
    fn order(&mut self, order: &OrderRecord) {
        self.0.order(order);
        self.1.order(order);
    }

    fn fill(&mut self, fill: &FillRecord) {
        self.0.fill(fill);
        self.1.fill(fill);
    }

    fn denied(&mut self, denied: &Denied) {
        self.0.denied(denied);
        self.1.denied(denied);
    }

    fn stopped(&mut self, stop: &Stop) {
        self.0.stopped(stop);
        self.1.stopped(stop);
    }

    fn equity(&mut self, at: Time, equity: Money) {
        self.0.equity(at, equity);
        self.1.equity(at, equity);
    }

    fn mark(&mut self, at: Time, instrument: InstrumentId, price: HalfTicks) {
        self.0.mark(at, instrument, price);
        self.1.mark(at, instrument, price);
    }
}
