//! Long while the fast average of closes is above the slow one.

use super::{Seen, Strategy, View};
use crate::event::MarketEvent;
use crate::indicator::Sum;
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Submit};
use crate::number::Qty;
use crate::order::Side;

/// Buys a fixed quantity when the fast average of closes crosses above the slow one while flat, sells all when it crosses below.
///
/// A cross is a strict change of sign from one bar to the next: `d[i-1] < 0 < d[i]`, or `d[i-1] > 0 > d[i]`. Averages are compared as
/// integers, so equal is equal.
#[derive(Debug)]
pub struct SmaCross {
    at: InstrumentId,
    qty: Qty,
    fast: Sum,
    slow: Sum,
    before: Option<i128>,
    tag: u64,
}

impl SmaCross {
    /// On an instrument, with the lengths of the two averages in bars.
    pub fn new(at: InstrumentId, fast: usize, slow: usize, qty: Qty) -> SmaCross {
        SmaCross { at, qty, fast: Sum::new(fast), slow: Sum::new(slow), before: None, tag: 0 }
    }

    /// The fast average less the slow one, times both lengths: its sign is exact.
    fn difference(&self) -> Option<i128> {
        Some(self.fast.value()? * self.slow.length() as i128 - self.slow.value()? * self.fast.length() as i128)
    }
}

impl Strategy for SmaCross {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        let (MarketEvent::Bar(bar), true) = (stamped.event, stamped.instrument == self.at) else { return };
        self.fast.push(bar.close.0);
        self.slow.push(bar.close.0);
        let (before, Some(after)) = (self.before, self.difference()) else { return };
        self.before = Some(after);
        let Some(before) = before else { return };
        let held = view.position(self.at);
        let wanted = match held.cmp(&Qty::ZERO) {
            std::cmp::Ordering::Equal if before < 0 && after > 0 && !view.is_waiting(self.at) => Some((Side::Buy, self.qty)),
            std::cmp::Ordering::Greater if before > 0 && after < 0 => Some((Side::Sell, held)),
            std::cmp::Ordering::Less | std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => None,
        };
        if let Some((side, qty)) = wanted {
            self.tag += 1;
            intents.push(Intent::Submit(Submit::market(self.at, side, qty, self.tag)));
        }
    }
}
