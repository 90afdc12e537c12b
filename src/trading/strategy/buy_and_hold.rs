//! The measure of every other strategy.

use super::{Seen, Strategy, View};
use crate::event::MarketEvent;
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Size, Submit};
use crate::number::Qty;
use crate::order::Side;

/// Buys once, as soon as there is a price, and keeps it.
#[derive(Debug)]
pub struct BuyAndHold {
    at: InstrumentId,
    size: Size,
    asked: bool,
}

impl BuyAndHold {
    /// On an instrument.
    pub fn new(at: InstrumentId, size: Size) -> BuyAndHold {
        BuyAndHold { at, size, asked: false }
    }
}

impl Strategy for BuyAndHold {
    fn on_event(&mut self, seen: &Seen<'_>, _view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        let priced = match stamped.event {
            MarketEvent::Bar(_) | MarketEvent::Trade(_) | MarketEvent::Quote(_) => true,
            MarketEvent::Status(_) | MarketEvent::Disconnect | MarketEvent::Snapshot(_) | MarketEvent::Delta(_) => false,
        };
        if self.asked || !priced || stamped.instrument != self.at {
            return;
        }
        self.asked = true;
        intents.push(Intent::Submit(Submit { size: self.size, ..Submit::market(self.at, Side::Buy, Qty::ZERO, 1) }));
    }
}
