//! Indicators, one step at a time.
//!
//! Sums are kept as integers, so they never drift however long they run. Floats appear only in what is read off them, and never become a
//! price but by [`round_to_tick`].

mod extremes;
mod moments;

pub use extremes::Extremes;
pub use moments::{Moments, Sum};

use crate::number::Price;

/// A float as a price on the grid: the nearest tick, ties to even. None for what is no number or past 2^53 ticks, where floats no longer
/// tell ticks apart.
pub fn round_to_tick(value: f64) -> Option<Price> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() || value.abs() > EXACT {
        return None;
    }
    // In range by the line above.
    Some(Price(value.round_ties_even() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_become_prices_by_the_nearest_tick_and_never_by_a_guess() {
        let cases = [(1.4, Some(1)), (1.5, Some(2)), (2.5, Some(2)), (-2.5, Some(-2)), (0.0, Some(0))];
        for (value, ticks) in cases {
            assert_eq!(round_to_tick(value), ticks.map(Price));
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e17, -1e17] {
            assert_eq!(round_to_tick(value), None);
        }
    }
}
