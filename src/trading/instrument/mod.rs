//! Instruments: the grid that prices and quantities stand on, and what a trade on it costs.

mod fee;
mod load;
mod universe;

use rust_decimal::Decimal;

pub use fee::{Fee, FeeAsset, Fees, Liquidity};
pub use load::{FeeSpec, InstrumentSpec, LoadError, SpecKind};
pub use universe::{AssetId, InstrumentId, Universe};

use crate::number::{AmountError, HalfTicks, Money, Overflow, Price, Qty};

/// A value that does not stand on an instrument's grid. It is refused: rounding it would trade what nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// Not a decimal, or one that the ledger cannot hold.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Not a multiple of the step.
    #[error("{value} is not a multiple of {step}, the {what} of {symbol}")]
    OffGrid {
        /// The value.
        value: Decimal,
        /// The step of the grid.
        step: Decimal,
        /// `tick size` or `lot size`.
        what: &'static str,
        /// The instrument.
        symbol: String,
    },
    /// More steps than an instrument may have.
    #[error("{value} is more steps of {step} than {symbol} may have")]
    TooLarge {
        /// The value.
        value: Decimal,
        /// The step of the grid.
        step: Decimal,
        /// The instrument.
        symbol: String,
    },
}

/// One instrument, loaded: every factor that money needs is an exact integer.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// Its name in files and at the venue.
    pub symbol: String,
    /// What is bought.
    pub base: AssetId,
    /// What it is paid with.
    pub quote: AssetId,
    /// Least quantity of an order that the venue takes.
    pub min_qty: Qty,
    /// Greatest quantity of an order that the venue takes.
    pub max_qty: Qty,
    /// Least notional of an order that the venue takes.
    pub min_notional: Money,
    /// The same in ticks × lots, rounded up.
    pub(crate) min_steps: i128,
    /// Greatest price that is believed; amounts up to it are known to fit.
    pub max_price: Price,
    /// What trades cost.
    pub fees: Fees,
    tick_size: Decimal,
    lot_size: Decimal,
    /// Money of one tick.
    tick_unit: Money,
    /// Base amount of one lot.
    lot_unit: Money,
    /// Money of one lot at a price of one tick: exact, since tick and lot decimals together stay within the ledger's scale.
    notional_unit: Money,
    /// What buying one lot at a price of one tick takes, its most fee and all; none where a fee is rounded or paid in another asset.
    buy_unit: Option<Money>,
}

impl Instrument {
    /// The price of a decimal.
    ///
    /// # Errors
    /// [`GridError`] when it is off the grid or out of range.
    pub fn price(&self, value: Decimal) -> Result<Price, GridError> {
        self.steps(value, self.tick_size, "tick size").map(Price)
    }

    /// The quantity of a decimal.
    ///
    /// # Errors
    /// [`GridError`] when it is off the grid or out of range.
    pub fn qty(&self, value: Decimal) -> Result<Qty, GridError> {
        self.steps(value, self.lot_size, "lot size").map(Qty)
    }

    fn steps(&self, value: Decimal, step: Decimal, what: &'static str) -> Result<i64, GridError> {
        // Exact in integers: Decimal's own division and remainder round past 28 digits.
        let too_large = || GridError::TooLarge { value, step, symbol: self.symbol.clone() };
        let scale = value.scale().max(step.scale());
        let wide = |decimal: Decimal| decimal.mantissa().checked_mul(10_i128.pow(scale - decimal.scale())).ok_or_else(too_large);
        let (value_wide, step_wide) = (wide(value)?, wide(step)?);
        if value_wide % step_wide != 0 {
            return Err(GridError::OffGrid { value, step, what, symbol: self.symbol.clone() });
        }
        i64::try_from(value_wide / step_wide).map_err(|_| too_large())
    }

    /// A price as people write it.
    pub fn price_text(&self, price: Price) -> String {
        Money(self.tick_unit.0.saturating_mul(i128::from(price.0))).to_string()
    }

    /// A quantity as people write it.
    pub fn qty_text(&self, qty: Qty) -> String {
        Money(self.lot_unit.0.saturating_mul(i128::from(qty.0))).to_string()
    }

    /// A price as an amount of the quote asset for one unit of the base asset.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn price_amount(&self, price: HalfTicks) -> Result<Money, Overflow> {
        self.tick_unit.share(i128::from(price.0), 2)
    }

    /// The base amount of a quantity.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn base_amount(&self, qty: Qty) -> Result<Money, Overflow> {
        if (0..=self.max_qty.0).contains(&qty.0) {
            return Ok(Money(self.lot_unit.0.wrapping_mul(i128::from(qty.0))));
        }
        self.lot_unit.times(i128::from(qty.0))
    }

    /// Whether amounts of this price and quantity are within those that were found to fit when the instrument was loaded: they are not
    /// found to fit again for each order, since a checked product of 128 bits costs six times a plain one.
    #[inline]
    fn is_known_to_fit(&self, price: Price, qty: Qty) -> bool {
        (0..=self.max_price.0).contains(&price.0) && (0..=self.max_qty.0).contains(&qty.0)
    }

    /// The whole lots in a base amount, towards zero: what a fee in the base asset left beyond them cannot be sold.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn whole_lots(&self, base: Money) -> Result<Qty, Overflow> {
        i64::try_from(base.0 / self.lot_unit.0).map(Qty).map_err(|_| Overflow)
    }

    /// Price × quantity, exactly.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn notional(&self, price: Price, qty: Qty) -> Result<Money, Overflow> {
        let steps = steps(price, qty);
        if self.is_known_to_fit(price, qty) {
            return Ok(Money(self.notional_unit.0.wrapping_mul(steps)));
        }
        self.notional_unit.times(steps)
    }

    /// What a buy takes of the quote asset: its notional, and the most fee where that is paid in the quote asset.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn buy_amount(&self, price: Price, qty: Qty) -> Result<Money, Overflow> {
        if let Some(unit) = self.buy_unit.filter(|_| self.is_known_to_fit(price, qty)) {
            return Ok(Money(unit.0.wrapping_mul(steps(price, qty))));
        }
        let fee = match self.fees.asset {
            FeeAsset::Quote => self.worst_fee(price, qty)?,
            FeeAsset::Base | FeeAsset::Third(_) => Money::ZERO,
        };
        self.notional(price, qty)?.plus(fee)
    }

    /// The greatest price × quantity, in ticks × lots, whose notional is within an amount.
    pub(crate) fn steps_within(&self, money: Money) -> i128 {
        money.0.max(0) / self.notional_unit.0
    }

    /// What a base amount is worth at a mark, half-even at the ledger's scale where half a tick or a dust amount makes it inexact.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn value(&self, base: Money, mark: HalfTicks) -> Result<Money, Overflow> {
        if base.0 % self.lot_unit.0 == 0 {
            let lots = base.0 / self.lot_unit.0;
            let doubled = lots.checked_mul(i128::from(mark.0)).ok_or(Overflow)?;
            return self.notional_unit.share(doubled, 2);
        }
        base.at(self.price_amount(mark)?)
    }

    /// The greatest whole number of lots whose notional at `price` is within `money`; none at a price that is not positive.
    pub fn lots_within(&self, money: Money, price: Price) -> Qty {
        let each = self.notional_unit.0.saturating_mul(i128::from(price.0));
        if each <= 0 || money.0 <= 0 {
            return Qty::ZERO;
        }
        Qty(i64::try_from(money.0 / each).unwrap_or(i64::MAX))
    }
}

/// Ticks × lots: two 64-bit numbers always fit 128 bits.
#[inline]
pub(crate) fn steps(price: Price, qty: Qty) -> i128 {
    i128::from(price.0) * i128::from(qty.0)
}
