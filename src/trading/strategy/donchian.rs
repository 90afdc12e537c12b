//! Buys what breaks out upwards, sells what breaks out downwards.

use super::{Seen, Strategy, View};
use crate::event::MarketEvent;
use crate::indicator::Extremes;
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Submit};
use crate::number::Qty;
use crate::order::Side;

/// Buys a fixed quantity when a close is above the highest high of the bars before it, sells all when one is below the lowest low of
/// fewer bars before it.
#[derive(Debug)]
pub struct DonchianBreakout {
    at: InstrumentId,
    qty: Qty,
    enter: Extremes,
    leave: Extremes,
    tag: u64,
}

impl DonchianBreakout {
    /// On an instrument, with the lengths of the two channels in bars.
    pub fn new(at: InstrumentId, enter: usize, leave: usize, qty: Qty) -> DonchianBreakout {
        DonchianBreakout { at, qty, enter: Extremes::new(enter), leave: Extremes::new(leave), tag: 0 }
    }
}

impl Strategy for DonchianBreakout {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        let (MarketEvent::Bar(bar), true) = (stamped.event, stamped.instrument == self.at) else { return };
        // The channels hold the bars before this one: a bar cannot break out of itself.
        let (above, below) = (self.enter.value().map(|(high, _)| high), self.leave.value().map(|(_, low)| low));
        self.enter.push(bar.high.0, bar.low.0);
        self.leave.push(bar.high.0, bar.low.0);
        if view.is_waiting(self.at) {
            return;
        }
        let held = view.position(self.at);
        let wanted = if held == Qty::ZERO && above.is_some_and(|high| bar.close.0 > high) {
            Some((Side::Buy, self.qty))
        } else if held > Qty::ZERO && below.is_some_and(|low| bar.close.0 < low) {
            Some((Side::Sell, held))
        } else {
            None
        };
        if let Some((side, qty)) = wanted {
            self.tag += 1;
            intents.push(Intent::Submit(Submit::market(self.at, side, qty, self.tag)));
        }
    }
}
