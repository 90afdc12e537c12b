//! Money: an integer at scale 24.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Overflow, mul_div_half_even, mul_div_up};

/// Decimals of the ledger: price, quantity and fee-rate decimals of any instrument together fit, so nothing it books is ever rounded.
pub const SCALE: u32 = 24;

/// One whole unit.
const ONE: i128 = 10_i128.pow(SCALE);

/// An amount of an asset or of currency, exact to 24 decimals; up to about 170 trillion either way.
///
/// As text it is a decimal without trailing zeros, and so it is in every file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub i128);

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal.
    #[error("expected a decimal such as 12.5, found {0:?}")]
    NotADecimal(String),
    /// Finer or larger than the ledger holds.
    #[error("{0} does not fit the ledger: at most 24 decimals and 170 trillion")]
    DoesNotFit(String),
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// Whole units.
    pub const fn whole(units: i64) -> Money {
        Money(units as i128 * ONE)
    }

    /// The amount of a decimal, exactly.
    ///
    /// # Errors
    /// [`AmountError::DoesNotFit`].
    pub fn from_decimal(decimal: Decimal) -> Result<Money, AmountError> {
        let decimal = decimal.normalize();
        let fits = || AmountError::DoesNotFit(decimal.to_string());
        let missing = SCALE.checked_sub(decimal.scale()).ok_or_else(fits)?;
        decimal.mantissa().checked_mul(10_i128.pow(missing)).map(Money).ok_or_else(fits)
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn plus(self, other: Money) -> Result<Money, Overflow> {
        self.0.checked_add(other.0).map(Money).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn minus(self, other: Money) -> Result<Money, Overflow> {
        self.0.checked_sub(other.0).map(Money).ok_or(Overflow)
    }

    /// This many times.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn times(self, count: i128) -> Result<Money, Overflow> {
        self.0.checked_mul(count).map(Money).ok_or(Overflow)
    }

    /// The share `part / whole`, rounded half to even at scale 24.
    ///
    /// # Errors
    /// [`Overflow`], also when `whole` is zero.
    pub fn share(self, part: i128, whole: i128) -> Result<Money, Overflow> {
        mul_div_half_even(self.0, part, whole).map(Money)
    }

    /// The amount that at this price is worth as much as this, rounded up at scale 24; a negative one gets no larger.
    ///
    /// # Errors
    /// [`Overflow`], also at a price of zero.
    pub fn bought_at(self, price: Money) -> Result<Money, Overflow> {
        mul_div_up(self.0, ONE, price.0).map(Money)
    }

    /// The product of two amounts, rounded half to even at scale 24: an amount of one asset at its price.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn at(self, price: Money) -> Result<Money, Overflow> {
        mul_div_half_even(self.0, price.0, ONE).map(Money)
    }

    /// Without its sign.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn magnitude(self) -> Result<Money, Overflow> {
        self.0.checked_abs().map(Money).ok_or(Overflow)
    }

    /// With the other sign.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn negated(self) -> Result<Money, Overflow> {
        self.0.checked_neg().map(Money).ok_or(Overflow)
    }

    /// Rounded up to so many decimals, a negative amount towards zero: neither what a venue charges nor what it pays is rounded in our
    /// favour.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn rounded_up(self, decimals: u32) -> Result<Money, Overflow> {
        let Some(dropped) = SCALE.checked_sub(decimals) else { return Ok(self) };
        let step = 10_i128.pow(dropped);
        let rest = self.0.rem_euclid(step);
        if rest == 0 {
            return Ok(self);
        }
        let up = step - rest;
        self.0.checked_add(up).map(Money).ok_or(Overflow)
    }

    /// For charts and statistics only: a float cannot hold it.
    pub fn to_f64(self) -> f64 {
        (self.0 / ONE) as f64 + (self.0 % ONE) as f64 / ONE as f64
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{rest:024}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl FromStr for Money {
    type Err = AmountError;

    /// Digits straight to the integer: the ledger holds more of them than `Decimal` does.
    fn from_str(text: &str) -> Result<Money, AmountError> {
        let digits = plain_digits(text)?;
        let does_not_fit = || AmountError::DoesNotFit(text.chars().take(60).collect());
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let decimals = decimals.trim_end_matches('0');
        let missing = (SCALE as usize).checked_sub(decimals.len()).ok_or_else(does_not_fit)?;
        let push = |value: i128, digit: u8| value.checked_mul(10)?.checked_add(i128::from(digit - b'0'));
        let zeros = std::iter::repeat_n(b'0', missing);
        let value = whole.bytes().chain(decimals.bytes()).chain(zeros).try_fold(0, push).ok_or_else(does_not_fit)?;
        Ok(Money(if text.starts_with('-') { -value } else { value }))
    }
}

/// The digits and the one point of a plain decimal, without its sign: no exponent, no group marks, no `NaN`.
fn plain_digits(text: &str) -> Result<&str, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let points = digits.bytes().filter(|byte| *byte == b'.').count();
    let plain = digits.len() > points && points <= 1 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { Ok(digits) } else { Err(AmountError::NotADecimal(text.chars().take(40).collect())) }
}

/// A decimal exactly as it is written.
///
/// # Errors
/// [`AmountError`].
pub(crate) fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    plain_digits(text)?;
    Decimal::from_str_exact(text).map_err(|_| AmountError::DoesNotFit(text.chars().take(40).collect()))
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_print_as_they_are_written_without_trailing_zeros() {
        let cases = [
            ("100000", "100000"),
            ("108913.77790", "108913.7779"),
            ("-0.5", "-0.5"),
            ("0.000000000000000000000001", "0.000000000000000000000001"),
        ];
        for (text, printed) in cases {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), printed);
        }
        assert_eq!(Money::whole(-3).to_string(), "-3");
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["", "-", ".", "NaN", "inf", "1e5", "1_000", "1,5", "+1", " 1", "1 ", "1.2.3", "--1"] {
            assert!(matches!(text.parse::<Money>(), Err(AmountError::NotADecimal(_))), "{text:?}");
        }
        for text in ["0.0000000000000000000000001", "99999999999999999999999999999", "1000000000000000"] {
            assert!(matches!(text.parse::<Money>(), Err(AmountError::DoesNotFit(_))), "{text:?}");
        }
    }

    #[test]
    fn rounding_up_goes_towards_the_larger() {
        let up = |text: &str, decimals| text.parse::<Money>().unwrap().rounded_up(decimals).unwrap().to_string();
        assert_eq!(up("0.123456781", 8), "0.12345679");
        assert_eq!(up("0.12345678", 8), "0.12345678");
        assert_eq!(up("-0.123456789", 8), "-0.12345678", "a rebate is not made larger");
        assert_eq!(up("-0.12345678", 8), "-0.12345678");
        assert_eq!(Money(i128::MAX).rounded_up(8), Err(Overflow));
    }

    #[test]
    fn arithmetic_that_leaves_the_range_is_refused() {
        assert_eq!(Money(i128::MAX).plus(Money(1)), Err(Overflow));
        assert_eq!(Money(i128::MIN).minus(Money(1)), Err(Overflow));
        assert_eq!(Money(i128::MAX).times(2), Err(Overflow));
        assert_eq!(Money(i128::MIN).magnitude(), Err(Overflow));
        assert_eq!(Money(i128::MIN).negated(), Err(Overflow));
        assert_eq!(Money(1).share(1, 0), Err(Overflow));
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same_amount(value in prop_oneof![-(10_i128.pow(28))..10_i128.pow(28), -i128::MAX..i128::MAX]) {
            let money = Money(value);
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        }

        #[test]
        fn a_decimal_and_its_text_are_the_same_amount(mantissa in -(10_i64.pow(18))..10_i64.pow(18), scale in 0_u32..=24) {
            let decimal = Decimal::new(mantissa, scale);
            prop_assert_eq!(Money::from_decimal(decimal).ok(), decimal.to_string().parse::<Money>().ok());
        }

        #[test]
        fn shares_of_a_whole_lose_less_than_one_unit_each(total in -(10_i128.pow(36))..10_i128.pow(36), parts in 1_i128..1000) {
            let share = Money(total).share(1, parts).unwrap();
            let lost = share.times(parts).unwrap().minus(Money(total)).unwrap().magnitude().unwrap();
            prop_assert!(lost.0 <= parts);
        }
    }
}
