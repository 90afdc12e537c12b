//! What a trade costs.

use super::{AssetId, Instrument};
use crate::number::{Money, Overflow, Price, Qty};
use crate::order::Side;

/// Which side of a trade we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liquidity {
    /// Our order rested.
    Maker,
    /// Our order met one that rested.
    Taker,
}

/// What a fee is paid in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeAsset {
    /// The quote asset: out of cash.
    Quote,
    /// What is received, as most venues take it: a buy leaves less of the base asset than was bought, a sell pays in the quote asset.
    Base,
    /// An asset of its own, such as an exchange's token, at that asset's mark.
    Third(AssetId),
}

/// The schedule of an instrument.
#[derive(Clone, Copy, Debug)]
pub struct Fees {
    /// What it is paid in.
    pub asset: FeeAsset,
    /// Decimals to which the venue rounds a fee up; none means not rounded.
    pub rounding: Option<u32>,
    /// Fee of one lot at a price of one tick, as a maker: rate × notional unit, exact.
    pub(super) maker_unit: Money,
    /// The same as a taker.
    pub(super) taker_unit: Money,
    /// Fee on one lot of base, as a maker.
    pub(super) maker_base: Money,
    /// The same as a taker.
    pub(super) taker_base: Money,
}

/// A fee: how much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// The asset that it is paid in.
    pub asset: AssetId,
    /// The amount; negative is a rebate.
    pub amount: Money,
    /// The same in the quote asset, for budgets and the result of a trade.
    pub in_quote: Money,
}

impl Instrument {
    /// The fee of a trade: |notional| × rate, unrounded unless the instrument says how. `third_mark` is the price of one unit of a third
    /// asset in the quote asset; a fee in that asset is rounded up to 8 decimals.
    ///
    /// # Errors
    /// [`Overflow`]; also without a positive mark of the third asset, which the risk chain refuses before any trade.
    pub fn fee(&self, price: Price, qty: Qty, side: Side, liquidity: Liquidity, third_mark: Option<Money>) -> Result<Fee, Overflow> {
        let steps = i128::from(price.0).abs() * i128::from(qty.0).abs();
        let (unit, base) = match liquidity {
            Liquidity::Maker => (self.fees.maker_unit, self.fees.maker_base),
            Liquidity::Taker => (self.fees.taker_unit, self.fees.taker_base),
        };
        let in_quote = unit.times(steps)?;
        let rounded = |amount: Money| self.fees.rounding.map_or(Ok(amount), |decimals| amount.rounded_up(decimals));
        match (self.fees.asset, side) {
            (FeeAsset::Quote, Side::Buy | Side::Sell) | (FeeAsset::Base, Side::Sell) => {
                let amount = rounded(in_quote)?;
                Ok(Fee { asset: self.quote, amount, in_quote: amount })
            }
            (FeeAsset::Base, Side::Buy) => Ok(Fee { asset: self.base, amount: rounded(base.times(i128::from(qty.0).abs())?)?, in_quote }),
            (FeeAsset::Third(asset), Side::Buy | Side::Sell) => {
                let mark = third_mark.filter(|mark| mark.0 > 0).ok_or(Overflow)?;
                Ok(Fee { asset, amount: in_quote.bought_at(mark)?.rounded_up(8)?, in_quote })
            }
        }
    }

    /// The most that the fee of such a trade can be, in the quote asset.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn worst_fee(&self, price: Price, qty: Qty) -> Result<Money, Overflow> {
        let worst = self.worst_fee_unrounded(price, qty)?;
        self.fees.rounding.map_or(Ok(worst), |decimals| worst.rounded_up(decimals))
    }

    /// The same before the venue rounds it: its share of a larger trade's.
    ///
    /// # Errors
    /// [`Overflow`].
    pub(crate) fn worst_fee_unrounded(&self, price: Price, qty: Qty) -> Result<Money, Overflow> {
        let worst_unit = self.fees.maker_unit.max(self.fees.taker_unit).max(Money::ZERO);
        worst_unit.times(i128::from(price.0).abs() * i128::from(qty.0).abs())
    }
}
