//! Quotes both sides of the market and lives off the spread.

use super::{Seen, Strategy, View};
use crate::event::MarketEvent;
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Size, Submit};
use crate::number::{HalfTicks, Price, Qty};
use crate::order::{OrderKind, Side};

/// How a market maker quotes.
#[derive(Clone, Copy, Debug)]
pub struct MarketMakerSettings {
    /// Distance of each quote from the mid, in ticks.
    pub half_spread_ticks: i64,
    /// Quantity of each quote.
    pub qty: Qty,
    /// The most that it wants to hold: nearer to it, both quotes move down, by up to a half spread.
    pub max_position: Qty,
    /// A quote is left alone while it is within so many ticks of where it should be.
    pub tolerance_ticks: i64,
}

/// Keeps one post-only bid and one post-only ask around the mid, moved against its position. Spot: it asks only for what it holds.
#[derive(Debug)]
pub struct MarketMaker {
    at: InstrumentId,
    settings: MarketMakerSettings,
    tag: u64,
}

impl MarketMaker {
    /// On an instrument.
    pub fn new(at: InstrumentId, settings: MarketMakerSettings) -> MarketMaker {
        MarketMaker { at, settings, tag: 0 }
    }

    /// Where bid and ask should stand: the mid less a share of the half spread by position, then a half spread either way, bids rounded
    /// down and asks up.
    fn targets(&self, mid: HalfTicks, held: Qty) -> (Price, Price) {
        let MarketMakerSettings { half_spread_ticks, max_position, .. } = self.settings;
        let skew = i128::from(half_spread_ticks) * 2 * i128::from(held.0) / i128::from(max_position.0.max(1));
        let center = HalfTicks(mid.0.saturating_sub(i64::try_from(skew).unwrap_or(0)));
        let bid = Price(center.floor().0.saturating_sub(half_spread_ticks));
        let ask = Price(center.ceil().0.saturating_add(half_spread_ticks));
        (bid, ask)
    }

    fn quote(&mut self, side: Side, wanted: Option<(Price, Qty)>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let mut kept = false;
        for open in view.open_orders(self.at).filter(|open| open.order.side == side) {
            let stands = match (open.order.kind.limit(), wanted) {
                (Some(price), Some((target, _))) => price.0.abs_diff(target.0) <= self.settings.tolerance_ticks.unsigned_abs(),
                (Some(_), None) | (None, _) => false,
            };
            if stands && !kept {
                kept = true;
            } else {
                intents.push(Intent::Cancel(open.order.id));
                // The new quote follows once the old one is known to be gone: two would be twice the risk.
                kept = true;
            }
        }
        if let (false, Some((price, qty))) = (kept, wanted.filter(|(price, qty)| price.0 > 0 && *qty > Qty::ZERO)) {
            self.tag += 1;
            let kind = OrderKind::Limit { price, post_only: true };
            intents.push(Intent::Submit(Submit { kind, size: Size::Lots(qty), ..Submit::market(self.at, side, qty, self.tag) }));
        }
    }
}

impl Strategy for MarketMaker {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(stamped) = seen else { return };
        if stamped.instrument != self.at {
            return;
        }
        let mid = match stamped.event {
            MarketEvent::Quote(quote) if quote.bid < quote.ask => HalfTicks::mid(quote.bid, quote.ask),
            MarketEvent::Bar(bar) => HalfTicks::of(bar.close),
            MarketEvent::Quote(_)
            | MarketEvent::Trade(_)
            | MarketEvent::Status(_)
            | MarketEvent::Disconnect
            | MarketEvent::Snapshot(_)
            | MarketEvent::Delta(_) => return,
        };
        let Ok(mid) = mid else { return };
        let held = view.position(self.at);
        let (bid, ask) = self.targets(mid, held);
        let room = Qty((self.settings.max_position.0 - held.0).max(0));
        let bid = (room > Qty::ZERO).then_some((bid, self.settings.qty.min(room)));
        let ask = (held > Qty::ZERO).then_some((ask, self.settings.qty.min(held)));
        self.quote(Side::Buy, bid, view, intents);
        self.quote(Side::Sell, ask, view, intents);
    }
}
