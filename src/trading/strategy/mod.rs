//! Strategies: they receive events and answer with intents, and reach the market in no other way.

mod buy_and_hold;
mod donchian;
mod market_maker;
mod mean_reversion;
mod sma_cross;
mod view;

pub use buy_and_hold::BuyAndHold;
pub use donchian::DonchianBreakout;
pub use market_maker::{MarketMaker, MarketMakerSettings};
pub use mean_reversion::{MeanReversion, MeanReversionSettings};
pub use sma_cross::SmaCross;
pub use view::View;

use crate::event::Stamped;
use crate::intent::Intent;
use crate::order::{ClientId, OrderEvent};
use crate::time::Time;

/// What a strategy is shown.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Something in the market.
    Market(&'a Stamped<'a>),
    /// A word about one of its orders.
    Order(ClientId, &'a OrderEvent),
    /// A timer that it asked for.
    Timer(Time),
}

/// A strategy: the same events always lead to the same intents. It has no clock, no randomness and no other input.
pub trait Strategy {
    /// Answers an event with intents, in the order in which they are meant.
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>);
}

impl<S: Strategy + ?Sized> Strategy for Box<S> {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        (**self).on_event(seen, view, intents);
    }
}
