//! One multiplication and one division with nothing lost between them.

use std::cmp::Ordering;

use super::Overflow;

/// Which neighbour a result between two takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    /// The nearer one; of two as near, the even one.
    HalfEven,
    /// The larger one.
    Up,
}

/// `amount × part / whole`, rounded half to even, through 256 bits: the product never has to fit.
///
/// # Errors
/// [`Overflow`] when `whole` is zero or the result has no place in 128 bits.
pub fn mul_div_half_even(amount: i128, part: i128, whole: i128) -> Result<i128, Overflow> {
    mul_div(amount, part, whole, Rounding::HalfEven)
}

/// `amount × part / whole`, rounded up to the larger neighbour, through 256 bits.
///
/// # Errors
/// [`Overflow`] when `whole` is zero or the result has no place in 128 bits.
pub fn mul_div_up(amount: i128, part: i128, whole: i128) -> Result<i128, Overflow> {
    mul_div(amount, part, whole, Rounding::Up)
}

fn mul_div(amount: i128, part: i128, whole: i128, rounding: Rounding) -> Result<i128, Overflow> {
    if whole == 0 {
        return Err(Overflow);
    }
    let negative = (amount < 0) ^ (part < 0) ^ (whole < 0);
    let divisor = whole.unsigned_abs();
    // What fits takes the short way; it is the same arithmetic.
    let (quotient, remainder) = match amount.unsigned_abs().checked_mul(part.unsigned_abs()) {
        Some(product) => (product / divisor, product % divisor),
        None => {
            let (high, low) = widening(amount.unsigned_abs(), part.unsigned_abs());
            divide(high, low, divisor)?
        }
    };
    // Half of the divisor is compared without doubling the remainder, which could overflow.
    let up = match (rounding, remainder.cmp(&(divisor - remainder))) {
        (Rounding::HalfEven, Ordering::Less) => 0,
        (Rounding::HalfEven, Ordering::Equal) => quotient & 1,
        (Rounding::HalfEven, Ordering::Greater) => 1,
        (Rounding::Up, Ordering::Less | Ordering::Equal | Ordering::Greater) => u128::from(remainder > 0 && !negative),
    };
    let magnitude = quotient.checked_add(up).ok_or(Overflow)?;
    match (negative, i128::try_from(magnitude)) {
        (false, Ok(value)) => Ok(value),
        (true, Ok(value)) => Ok(-value),
        (true, Err(_)) if magnitude == i128::MIN.unsigned_abs() => Ok(i128::MIN),
        (_, Err(_)) => Err(Overflow),
    }
}

/// The 256-bit product of two 128-bit numbers, high and low half (schoolbook, 64-bit digits).
fn widening(a: u128, b: u128) -> (u128, u128) {
    const DIGIT: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & DIGIT, b >> 64, b & DIGIT);
    let (low, cross1, cross2, high) = (a0 * b0, a1 * b0, a0 * b1, a1 * b1);
    let middle = (low >> 64) + (cross1 & DIGIT) + (cross2 & DIGIT);
    (high + (cross1 >> 64) + (cross2 >> 64) + (middle >> 64), (middle << 64) | (low & DIGIT))
}

/// Quotient and remainder of a 256-bit number (long division, one bit a step).
fn divide(high: u128, low: u128, divisor: u128) -> Result<(u128, u128), Overflow> {
    if high >= divisor {
        return Err(Overflow);
    }
    let (mut remainder, mut quotient) = (high, 0_u128);
    for bit in (0..128).rev() {
        let carry = remainder >> 127;
        remainder = (remainder << 1) | ((low >> bit) & 1);
        if carry == 1 || remainder >= divisor {
            remainder = remainder.wrapping_sub(divisor);
            quotient |= 1 << bit;
        }
    }
    Ok((quotient, remainder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_to_the_even_neighbour_on_both_sides_of_zero() {
        let cases =
            [(5, 1, 2, 2), (7, 1, 2, 4), (-5, 1, 2, -2), (-7, 1, 2, -4), (5, 1, -2, -2), (1, 2, 3, 1), (-1, 2, 3, -1), (1, 1, 3, 0)];
        for (amount, part, whole, expected) in cases {
            assert_eq!(mul_div_half_even(amount, part, whole), Ok(expected), "{amount} * {part} / {whole}");
        }
    }

    #[test]
    fn a_product_past_128_bits_is_still_exact() {
        let big = 10_i128.pow(37);
        assert_eq!(mul_div_half_even(big, big, big), Ok(big));
        assert_eq!(mul_div_half_even(i128::MIN, 7, 7), Ok(i128::MIN));
        assert_eq!(mul_div_half_even(big, 3, 2 * big), Ok(2), "one and a half goes to two");
        assert_eq!(mul_div_half_even(big, 5, 2 * big), Ok(2), "two and a half goes to two");
    }

    #[test]
    fn rounding_up_goes_towards_the_larger_on_both_sides_of_zero() {
        let cases = [(1, 1, 3, 1), (-1, 1, 3, 0), (-5, 1, 3, -1), (5, -1, 3, -1), (4, 1, 2, 2), (5, 1, 2, 3), (0, 1, 3, 0)];
        for (amount, part, whole, expected) in cases {
            assert_eq!(mul_div_up(amount, part, whole), Ok(expected), "{amount} * {part} / {whole}");
        }
    }

    #[test]
    fn what_has_no_place_is_an_overflow() {
        assert_eq!(mul_div_half_even(1, 1, 0), Err(Overflow));
        assert_eq!(mul_div_half_even(i128::MAX, 2, 1), Err(Overflow));
        assert_eq!(mul_div_half_even(i128::MIN, 1, -1), Err(Overflow));
    }

    proptest! {
        #[test]
        fn the_long_way_and_the_short_way_agree(amount: i64, part: i64, whole in prop_oneof![i64::MIN..=-1, 1..=i64::MAX]) {
            let (amount, part, whole) = (i128::from(amount), i128::from(part), i128::from(whole));
            // A common factor of both amount and whole changes nothing but the way that is taken.
            let factor = 1_i128 << 63;
            for rounding in [Rounding::HalfEven, Rounding::Up] {
                let (short, long) = (mul_div(amount, part, whole, rounding), mul_div(amount * factor, part, whole * factor, rounding));
                prop_assert_eq!(short, long);
            }
        }

        #[test]
        fn a_division_undoes_a_multiplication(amount: i128, whole in prop_oneof![i128::MIN..=-1, 1..=i128::MAX]) {
            prop_assume!(!(amount == i128::MIN && whole == i128::MIN));
            prop_assert_eq!(mul_div_half_even(amount, whole, whole), Ok(amount));
        }
    }
}
