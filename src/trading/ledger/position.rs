//! A position: how much, and what it cost.

use crate::number::{Money, Overflow};
use crate::order::Side;

/// A trade as statistics count it: from flat to flat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Profit or loss after fees, in the quote asset.
    pub profit: Money,
}

/// A position. Quantity and total cost are kept; an average price is for display, since it cannot be exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Base amount held; negative when short.
    held: Money,
    /// What was paid for it; negative when short.
    cost: Money,
    /// Profit or loss of what was closed, before fees.
    realised: Money,
    /// Fees, in the quote asset.
    fees: Money,
    /// Profit or loss since the position was last flat, after fees.
    since_flat: Money,
}

impl Position {
    /// Base amount held; negative when short.
    #[inline]
    pub fn held(&self) -> Money {
        self.held
    }

    /// What was paid for it; negative when short.
    pub fn cost(&self) -> Money {
        self.cost
    }

    /// Profit or loss of what was closed, before fees.
    pub fn realised(&self) -> Money {
        self.realised
    }

    /// Fees, in the quote asset.
    pub fn fees(&self) -> Money {
        self.fees
    }

    /// A trade of `base` for `notional`: what opens adds its cost, what closes releases cost × closed / held, half-even; the last close
    /// releases all. A flip is a close plus an open at the same price. Returns what it realised.
    pub(super) fn trade(&mut self, side: Side, base: Money, notional: Money) -> Result<Money, Overflow> {
        let signed = |amount: Money| match side {
            Side::Buy => Ok(amount),
            Side::Sell => amount.negated(),
        };
        let same_way = match side {
            Side::Buy => self.held.0 >= 0,
            Side::Sell => self.held.0 <= 0,
        };
        if same_way {
            self.held = self.held.plus(signed(base)?)?;
            self.cost = self.cost.plus(signed(notional)?)?;
            return Ok(Money::ZERO);
        }
        let held = self.held.magnitude()?;
        let closing = base.min(held);
        // The part of the notional that belongs to the close; a flip's rest opens the other way.
        let closing_notional = if closing == base { notional } else { notional.share(closing.0, base.0)? };
        let released = if closing == held { self.cost } else { self.cost.share(closing.0, held.0)? };
        // A long is closed by a sell: proceeds less cost. A short holds its proceeds as negative cost: they less what the buy paid.
        let realised = signed(closing_notional)?.plus(released)?.negated()?;
        self.held = self.held.plus(signed(closing)?)?;
        self.cost = self.cost.minus(released)?;
        self.realised = self.realised.plus(realised)?;
        self.since_flat = self.since_flat.plus(realised)?;
        if closing < base {
            self.held = self.held.plus(signed(base.minus(closing)?)?)?;
            self.cost = self.cost.plus(signed(notional.minus(closing_notional)?)?)?;
        }
        Ok(realised)
    }

    /// A fee in the base asset: it reduces the position at its pro-rata cost, which is lost.
    pub(super) fn pay_in_base(&mut self, amount: Money) -> Result<(), Overflow> {
        let lost = if amount == self.held || self.held == Money::ZERO { self.cost } else { self.cost.share(amount.0, self.held.0)? };
        self.held = self.held.minus(amount)?;
        self.cost = self.cost.minus(lost)?;
        self.since_flat = self.since_flat.minus(lost)?;
        Ok(())
    }

    /// Whether a trade on this side makes it smaller.
    pub(super) fn is_reduced_by(&self, side: Side) -> bool {
        match side {
            Side::Buy => self.held.0 < 0,
            Side::Sell => self.held.0 > 0,
        }
    }

    /// Ends a fill: counts its fee, and the round trip when a fill that reduced it left less than one lot.
    pub(super) fn settle(&mut self, fee_in_quote: Money, paid_in_base: bool, flat: bool) -> Result<Option<RoundTrip>, Overflow> {
        self.fees = self.fees.plus(fee_in_quote)?;
        if !paid_in_base {
            // A fee in base has taken its cost with it.
            self.since_flat = self.since_flat.minus(fee_in_quote)?;
        }
        if !flat {
            return Ok(None);
        }
        let profit = std::mem::take(&mut self.since_flat);
        Ok(Some(RoundTrip { profit }))
    }
}
