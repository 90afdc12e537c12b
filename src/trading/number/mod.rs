//! Numbers that decide a cent: integers, never floats.
//!
//! A price is ticks, a quantity is lots, money is an integer at scale 24. Every operation is checked; none rounds unless its name says so.

mod money;
mod muldiv;

use std::fmt;

pub(crate) use money::parse_decimal;
pub use money::{AmountError, Money, SCALE};
pub use muldiv::{mul_div_half_even, mul_div_up};

/// A result left the range of its type. Whoever meets it halts: a ledger that wrapped is worse than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("LEDGER_OVERFLOW: an amount left the range of 128 bits at scale 24; the run stops here, look for a mistaken price or quantity")]
pub struct Overflow;

/// A price, in ticks of its instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

/// A quantity, in lots of its instrument. Unsigned in meaning: a side says the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qty(pub i64);

impl Qty {
    /// Nothing.
    pub const ZERO: Qty = Qty(0);

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn plus(self, other: Qty) -> Result<Qty, Overflow> {
        self.0.checked_add(other.0).map(Qty).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn minus(self, other: Qty) -> Result<Qty, Overflow> {
        self.0.checked_sub(other.0).map(Qty).ok_or(Overflow)
    }
}

/// A price at half a tick: the mid of a book lies between two ticks as often as on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HalfTicks(pub i64);

impl HalfTicks {
    /// The price itself.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn of(price: Price) -> Result<HalfTicks, Overflow> {
        price.0.checked_mul(2).map(HalfTicks).ok_or(Overflow)
    }

    /// The middle of two prices.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn mid(bid: Price, ask: Price) -> Result<HalfTicks, Overflow> {
        bid.0.checked_add(ask.0).map(HalfTicks).ok_or(Overflow)
    }

    /// The nearest price not above.
    #[inline]
    pub fn floor(self) -> Price {
        Price(self.0.div_euclid(2))
    }

    /// The nearest price not below.
    #[inline]
    pub fn ceil(self) -> Price {
        Price(self.0.div_euclid(2) + self.0.rem_euclid(2))
    }
}

/// A rate in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bps(pub u32);

impl Bps {
    /// The whole: one hundred percent.
    pub const ONE: i64 = 10_000;
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bps", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mid_between_two_ticks_floors_and_ceils_to_them() {
        let mid = HalfTicks::mid(Price(100), Price(101));
        assert_eq!(mid.map(|mid| (mid.floor(), mid.ceil())), Ok((Price(100), Price(101))));
        let on = HalfTicks::mid(Price(100), Price(102));
        assert_eq!(on.map(|mid| (mid.floor(), mid.ceil())), Ok((Price(101), Price(101))));
    }

    #[test]
    fn quantities_that_leave_their_range_are_refused() {
        assert_eq!(Qty(i64::MAX).plus(Qty(1)), Err(Overflow));
        assert_eq!(Qty(i64::MIN).minus(Qty(1)), Err(Overflow));
        assert_eq!(HalfTicks::of(Price(i64::MAX)), Err(Overflow));
        assert_eq!(HalfTicks::mid(Price(i64::MAX), Price(1)), Err(Overflow));
    }
}
