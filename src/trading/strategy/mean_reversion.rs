//! Buys what fell far below its mean, sells when it is back.

use super::{Seen, Strategy, View};
use crate::event::MarketEvent;
use crate::indicator::Moments;
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Submit};
use crate::number::Qty;
use crate::order::Side;

/// How far is far, and how near is back. Scores are in standard deviations of the last closes.
#[derive(Clone, Copy, Debug)]
pub struct MeanReversionSettings {
    /// Bars of the mean.
    pub length: usize,
    /// Buys at a score of minus this or below.
    pub enter: f64,
    /// Sells at a score of minus this or above.
    pub leave: f64,
    /// How much.
    pub qty: Qty,
}

/// Buys a fixed quantity while the close is `enter` deviations or more below its mean, sells all once it is within `leave` of it. The
/// window holds the close that is judged.
#[derive(Debug)]
pub struct MeanReversion {
    at: InstrumentId,
    settings: MeanReversionSettings,
    moments: Moments,
    tag: u64,
}

impl MeanReversion {
    /// On an instrument.
    pub fn new(at: InstrumentId, settings: MeanReversionSettings) -> MeanReversion {
        MeanReversion { at, moments: Moments::new(settings.length), settings, tag: 0 }
    }
}

impl Strategy for MeanReversion {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        let (MarketEvent::Bar(bar), true) = (stamped.event, stamped.instrument == self.at) else { return };
        self.moments.push(bar.close.0);
        let Some(score) = self.moments.z_score(bar.close.0) else { return };
        if view.is_waiting(self.at) {
            return;
        }
        let held = view.position(self.at);
        let wanted = if held == Qty::ZERO && score <= -self.settings.enter {
            Some((Side::Buy, self.settings.qty))
        } else if held > Qty::ZERO && score >= -self.settings.leave {
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
