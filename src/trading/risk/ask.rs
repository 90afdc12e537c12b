//! One order before the chain, and all that the checks may look at.

use super::history::History;
use super::latch::{Latches, State};
use super::limits::{InstrumentLimits, Limits};
use super::thresholds::Thresholds;
use super::{Code, Denial, Inputs};
use crate::account::{Account, Market};
use crate::instrument::{AssetId, Instrument};
use crate::number::{HalfTicks, Money, Price, Qty};
use crate::order::{Order, OrderKind, Side};
use crate::time::Time;

/// What the checks judge. Checks read it and change nothing.
pub(super) struct Ask<'a> {
    pub(super) now: Time,
    pub(super) order: &'a Order,
    pub(super) tag: u64,
    pub(super) stop: Option<Price>,
    pub(super) limits: &'a Limits,
    /// Rows 1 and 7 of the instrument; none when it is not on the list.
    pub(super) of: Option<&'a InstrumentLimits>,
    pub(super) account: &'a Account,
    pub(super) instrument: &'a Instrument,
    pub(super) market: &'a Market,
    pub(super) history: &'a History,
    pub(super) latches: &'a Latches,
    pub(super) inputs: &'a Inputs,
    pub(super) thresholds: &'a Thresholds,
    /// The worst price that the order names.
    pub(super) limit: Option<Price>,
    /// What an order of this side is judged by.
    pub(super) reference: Option<HalfTicks>,
    /// The worst price that it may get.
    pub(super) worst: Option<Price>,
    /// What has to be set aside for it; none where that has no place.
    pub(super) need: Option<(AssetId, Money)>,
    /// Whole lots held, negative when short.
    pub(super) position: Qty,
    /// Whether it makes the position smaller, whatever else is filled.
    pub(super) reducing: bool,
    /// Whether it was sized by the chain.
    pub(super) sized: bool,
}

impl Ask<'_> {
    pub(super) fn state(&self) -> State {
        self.latches.state
    }

    /// Its notional at the worst price.
    #[inline]
    pub(super) fn notional(&self) -> Result<Money, Denial> {
        let worst = self.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
        Ok(self.instrument.notional(worst, self.order.qty)?)
    }

    /// Equity, which controls need to be known and above zero.
    #[inline]
    pub(super) fn solvent(&self) -> Result<(), Denial> {
        if self.thresholds.solvent { Ok(()) } else { Err(Denial::missing("equity above zero")) }
    }

    /// The same, and how much it is.
    #[inline]
    pub(super) fn equity(&self) -> Result<Money, Denial> {
        self.account.equity().filter(|equity| equity.0 > 0).ok_or_else(|| Denial::missing("equity above zero"))
    }

    #[inline]
    pub(super) fn limits_of(&self) -> Result<&InstrumentLimits, Denial> {
        self.of.ok_or_else(|| {
            Denial::new(Code::NotAllowed, super::Figure::Words("the instruments of the limits"), super::Figure::Words("another"))
        })
    }
}

/// A price moved up by so many basis points, rounded up to a tick.
pub(super) fn raised(price: HalfTicks, bps: u32) -> Option<Price> {
    let scaled = i128::from(price.0) * (10_000 + i128::from(bps));
    i64::try_from(-(-scaled).div_euclid(20_000)).ok().map(Price)
}

/// A price moved down by so many basis points, rounded down to a tick.
pub(super) fn lowered(price: HalfTicks, bps: u32) -> Option<Price> {
    let scaled = i128::from(price.0) * (10_000 - i128::from(bps));
    i64::try_from(scaled.div_euclid(20_000)).ok().map(Price)
}

/// The worst price by which an order's notional counts: max(limit, reference) on both sides; a market order's is ask × (1 + collar).
#[inline]
pub(super) fn worst_price(market: &Market, now: Time, kind: OrderKind, reference: Option<HalfTicks>, collar_bps: u32) -> Option<Price> {
    let higher = |price: Price| reference.map_or(price, |reference| price.max(reference.ceil()));
    match kind {
        OrderKind::Limit { price, .. } | OrderKind::StopLimit { price, .. } => Some(higher(price)),
        OrderKind::Market => raised(market.reference(now, Side::Buy)?, collar_bps),
        OrderKind::TrailingStop { .. } => raised(reference?, collar_bps),
        OrderKind::Stop { trigger } => raised(HalfTicks::of(higher(trigger)).ok()?, collar_bps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_prices_go_to_the_safe_side_of_the_grid() {
        assert_eq!(raised(HalfTicks(20_000), 500), Some(Price(10_500)));
        assert_eq!(raised(HalfTicks(20_001), 500), Some(Price(10_501)));
        assert_eq!(lowered(HalfTicks(20_000), 500), Some(Price(9_500)));
        assert_eq!(lowered(HalfTicks(19_999), 500), Some(Price(9_499)));
        assert_eq!(raised(HalfTicks(i64::MAX), 9_999), Some(Price(9_222_910_868_252_933_069)));
    }
}
