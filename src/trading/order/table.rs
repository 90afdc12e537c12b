//! The orders of one account, and what they may still do to it.

use std::collections::VecDeque;

use super::names::Names;
use super::state::Change;
use super::{ClientId, Order, OrderEvent, Side, Tracked};
use crate::instrument::{InstrumentId, Universe};
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::time::Time;

/// Orders that have ended and are still known, so that a venue's late words find them. At 4,096 a strategy that sends ten orders a second
/// is covered for almost seven minutes, far past any venue's delay.
const REMEMBERED: usize = 4_096;
/// Open orders that there is room for from the start: the ceiling of row 10 and some.
const OPEN_AT_ONCE: usize = 256;

/// What the open orders of one side of one instrument may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenSide {
    /// Quantity that may still trade.
    pub leaves: Qty,
    /// Its notional, each order at its worst price.
    pub notional: Money,
}

/// The open orders of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Buys.
    pub buys: OpenSide,
    /// Sells.
    pub sells: OpenSide,
}

impl Exposure {
    /// One side.
    #[inline]
    pub fn side(&self, side: Side) -> &OpenSide {
        match side {
            Side::Buy => &self.buys,
            Side::Sell => &self.sells,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut OpenSide {
        match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        }
    }
}

/// A word of the venue that does not fit what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// An amount does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// A name that was used before.
    #[error("order {0} was sent before; a name is used once")]
    Known(ClientId),
    /// An order that was never sent, or that ended long ago.
    #[error("the venue speaks of order {0}, which was never sent or ended more than 4,096 orders ago")]
    Unknown(ClientId),
}

/// What an event did to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Whether anything changed; a repeated or overruled event changes nothing.
    pub changed: bool,
    /// Whether it was a fill that is counted here for the first time: the ledger books it exactly then.
    pub new_fill: bool,
    /// Whether the order has ended with this event.
    pub ended: bool,
}

/// Whether an open order is of this pair: numbers of pairs are each strategy's own.
fn same_pair(open: &Order, order: &Order, pair: u32) -> bool {
    open.oco == Some(pair) && (open.id.strategy, open.instrument, open.side) == (order.id.strategy, order.instrument, order.side)
}

/// The place of an order that was just put in: it spares looking its name up.
#[derive(Clone, Copy, Debug)]
pub struct Slot(u32);

/// All orders of an account: the open ones, and the last ended ones.
///
/// Guarantees: [`OrderTable::exposure`] is at every moment the sum over the open orders.
#[derive(Debug, Default)]
pub struct OrderTable {
    slots: Vec<Tracked>,
    names: Names,
    /// Open orders in the order in which they were sent.
    open: Vec<u32>,
    /// Ended orders, oldest first; their slots are used again.
    ended: VecDeque<u32>,
    exposures: Vec<Exposure>,
    open_notional: Money,
}

impl OrderTable {
    /// No orders, on so many instruments.
    pub fn new(instruments: usize) -> OrderTable {
        // What a running table needs is asked for at once: from then on orders come and go without asking.
        let room = REMEMBERED + OPEN_AT_ONCE;
        OrderTable {
            slots: Vec::with_capacity(room),
            names: Names::with_room(room),
            open: Vec::with_capacity(OPEN_AT_ONCE),
            ended: VecDeque::with_capacity(room),
            exposures: vec![Exposure::default(); instruments],
            open_notional: Money::ZERO,
        }
    }

    /// Takes in an order that is about to be sent: from here on it counts.
    ///
    /// # Errors
    /// [`TableError::Known`], [`TableError::Overflow`].
    pub fn insert(
        &mut self,
        universe: &Universe,
        order: Order,
        sent_at: Time,
        arrival: Option<HalfTicks>,
        worst_price: Price,
        reducing: bool,
    ) -> Result<Slot, TableError> {
        let oldest = self.ended.front().copied().filter(|_| self.ended.len() >= REMEMBERED);
        let slot = oldest.map_or_else(|| u32::try_from(self.slots.len()), Ok).map_err(|_| Overflow)?;
        if !self.names.insert(order.id, slot) {
            return Err(TableError::Known(order.id));
        }
        if let Err(overflow) = self.count(universe, &order, worst_price, order.qty, true) {
            self.names.remove(order.id);
            return Err(overflow.into());
        }
        match oldest {
            Some(_) => {
                self.ended.pop_front();
                let place = &mut self.slots[slot as usize];
                self.names.remove(place.order.id);
                place.replace(order, sent_at, arrival, worst_price, reducing);
            }
            None => self.slots.push(Tracked::new(order, sent_at, arrival, worst_price, reducing)),
        }
        self.open.push(slot);
        Ok(Slot(slot))
    }

    /// Adds or takes away what `qty` of an order may do.
    fn count(&mut self, universe: &Universe, order: &Order, worst: Price, qty: Qty, add: bool) -> Result<(), Overflow> {
        if qty == Qty::ZERO {
            return Ok(());
        }
        let notional = universe.get(order.instrument).notional(worst, qty)?;
        let side = self.exposures[usize::from(order.instrument.0)].side_mut(order.side);
        let (leaves, sum, open) = if add {
            (side.leaves.plus(qty)?, side.notional.plus(notional)?, self.open_notional.plus(notional)?)
        } else {
            (side.leaves.minus(qty)?, side.notional.minus(notional)?, self.open_notional.minus(notional)?)
        };
        *side = OpenSide { leaves, notional: sum };
        self.open_notional = open;
        Ok(())
    }

    /// Takes in a word of the venue, once: a repetition changes nothing.
    ///
    /// # Errors
    /// [`TableError::Unknown`], [`TableError::Overflow`].
    pub fn apply(&mut self, universe: &Universe, id: ClientId, event: &OrderEvent) -> Result<Applied, TableError> {
        self.take_in(universe, id, event).map(|(_, applied)| applied)
    }

    /// The same, and where the order is.
    pub(crate) fn take_in(&mut self, universe: &Universe, id: ClientId, event: &OrderEvent) -> Result<(Slot, Applied), TableError> {
        let slot = self.names.find(id).ok_or(TableError::Unknown(id))?;
        let tracked = &mut self.slots[slot as usize];
        let (order, worst, leaves_before, was_final) = (tracked.order, tracked.worst_price, tracked.leaves(), tracked.state.is_final());
        let notional = match event {
            OrderEvent::Fill(fill) => universe.get(order.instrument).notional(fill.price, fill.qty)?,
            OrderEvent::Accepted
            | OrderEvent::Rejected(_)
            | OrderEvent::Triggered
            | OrderEvent::Reduced { .. }
            | OrderEvent::Cancelled
            | OrderEvent::Expired
            | OrderEvent::CancelRejected => Money::ZERO,
        };
        let change = tracked.apply(event, notional)?;
        let ended = !was_final && tracked.state.is_final();
        let gone = leaves_before.minus(tracked.leaves())?;
        self.count(universe, &order, worst, gone, false)?;
        if ended {
            self.open.retain(|open| *open != slot);
            self.ended.push_back(slot);
        }
        Ok((Slot(slot), Applied { changed: change != Change::None, new_fill: change == Change::Filled, ended }))
    }

    /// An order by its name.
    pub fn get(&self, id: ClientId) -> Option<&Tracked> {
        self.names.find(id).map(|slot| &self.slots[slot as usize])
    }

    /// The open order that is the other leg of this one's pair.
    pub(crate) fn other_leg(&self, order: &Order, pair: u32) -> Option<Slot> {
        let is_other = |slot: &&u32| {
            let open = &self.slots[**slot as usize].order;
            open.id != order.id && same_pair(open, order, pair)
        };
        self.open.iter().find(is_other).copied().map(Slot)
    }

    /// How many open orders of its strategy, instrument and side have a pair's number.
    pub(crate) fn legs(&self, order: &Order, pair: u32) -> usize {
        self.open().filter(|open| same_pair(&open.order, order, pair)).count()
    }

    /// The place of an order.
    pub(crate) fn slot(&self, id: ClientId) -> Option<Slot> {
        self.names.find(id).map(Slot)
    }

    /// The order in a place.
    #[inline]
    pub(crate) fn at(&self, slot: Slot) -> &Tracked {
        &self.slots[slot.0 as usize]
    }

    pub(crate) fn set_reserved(&mut self, slot: Slot, amount: Money) {
        self.slots[slot.0 as usize].reserved = amount;
    }

    pub(crate) fn set_reserved_fee(&mut self, slot: Slot, amount: Money) {
        self.slots[slot.0 as usize].reserved_fee = amount;
    }

    /// The open orders, in the order in which they were sent.
    pub fn open(&self) -> impl Iterator<Item = &Tracked> {
        self.open.iter().map(|slot| &self.slots[*slot as usize])
    }

    /// How many orders are open.
    #[inline]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The notional of all open orders, each at its worst price.
    #[inline]
    pub fn open_notional(&self) -> Money {
        self.open_notional
    }

    /// What the open orders of an instrument may still do.
    #[inline]
    pub fn exposure(&self, instrument: InstrumentId) -> &Exposure {
        &self.exposures[usize::from(instrument.0)]
    }
}
