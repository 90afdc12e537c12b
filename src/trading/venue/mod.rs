//! Simulated venues: where checked orders meet recorded markets.
//!
//! Architecture invariant: an order never meets an event whose key is not greater than its own. (`tests/bars.rs`)

mod bars;
mod funds;
mod latency;
mod path;
mod queue;
mod ticks;
mod trail;

pub use bars::{BarFill, BarVenue, BarVenueRules};
pub(crate) use funds::Funds;
pub use latency::{Delay, Latency};
pub use ticks::{TickVenue, Triggers};

use crate::event::Key;
use crate::instrument::{Fee, Liquidity};
use crate::number::{Overflow, Price, Qty};
use crate::order::{ClientId, Order, OrderEvent, TableError};
use crate::risk::Checked;

/// What a venue is asked to do, and when that reaches it.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To take an order.
    Order(Checked<Order>),
    /// To cancel one.
    Cancel(ClientId),
}

/// A wish on its way to the venue.
#[derive(Debug)]
pub(crate) struct OnTheWay {
    pub(crate) arrives: Key,
    pub(crate) asked: Asked,
}

/// Something that stops a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VenueError {
    /// An amount does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// A word about an order that the account does not know: a bug.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The account behind the orders, as a venue sees it: what it can pay, and who is told.
pub trait Desk {
    /// The most of an order that the account can pay for at a price, fees and all.
    ///
    /// # Errors
    /// [`Overflow`].
    fn affordable(&self, order: &Order, price: Price) -> Result<Qty, Overflow>;

    /// The fee of a trade.
    ///
    /// # Errors
    /// [`Overflow`].
    fn fee(&self, order: &Order, price: Price, qty: Qty, liquidity: Liquidity) -> Result<Fee, Overflow>;

    /// Tells the account. What it says is booked when this returns.
    ///
    /// # Errors
    /// [`VenueError`].
    fn tell(&mut self, id: ClientId, event: OrderEvent) -> Result<(), VenueError>;
}

/// Whether two orders are the legs of one pair.
pub(crate) fn is_pair(one: &Order, other: &Order) -> bool {
    let of = |order: &Order| (order.oco, order.id.strategy, order.instrument, order.side);
    one.oco.is_some() && one.id != other.id && of(one) == of(other)
}

/// Takes from an order's open quantity what the other leg of its pair traded, and gives what its owner is told.
pub(crate) fn reduce(order: &Order, left: &mut Qty, by: Qty) -> Result<OrderEvent, Overflow> {
    let filled = order.qty.minus(*left)?;
    *left = Qty(left.0.saturating_sub(by.0).max(0));
    if *left == Qty::ZERO {
        return Ok(OrderEvent::Cancelled);
    }
    Ok(OrderEvent::Reduced { to: filled.plus(*left)? })
}
