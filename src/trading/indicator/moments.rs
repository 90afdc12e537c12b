//! Rolling sum, mean and standard deviation.

use std::collections::VecDeque;

/// The sum of the last values, exactly.
#[derive(Clone, Debug)]
pub struct Sum {
    values: VecDeque<i64>,
    length: usize,
    sum: i128,
}

impl Sum {
    /// Of so many values, at least one.
    pub fn new(length: usize) -> Sum {
        let length = length.max(1);
        Sum { values: VecDeque::with_capacity(length + 1), length, sum: 0 }
    }

    /// Takes the next value; what leaves the window is returned.
    pub fn push(&mut self, value: i64) -> Option<i64> {
        self.values.push_back(value);
        self.sum += i128::from(value);
        if self.values.len() <= self.length {
            return None;
        }
        let left = self.values.pop_front()?;
        self.sum -= i128::from(left);
        Some(left)
    }

    /// The sum, once the window is full.
    pub fn value(&self) -> Option<i128> {
        (self.values.len() == self.length).then_some(self.sum)
    }

    /// Values in the window.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Mean and standard deviation of the last values.
#[derive(Clone, Debug)]
pub struct Moments {
    sum: Sum,
    squares: i128,
}

impl Moments {
    /// Of so many values, at least two.
    pub fn new(length: usize) -> Moments {
        Moments { sum: Sum::new(length.max(2)), squares: 0 }
    }

    /// Takes the next value.
    pub fn push(&mut self, value: i64) {
        let square = |value: i64| i128::from(value) * i128::from(value);
        // Squares of 64-bit numbers sum over millions of values before 128 bits are full; past that the sum stays at its end.
        self.squares = self.squares.saturating_add(square(value));
        if let Some(left) = self.sum.push(value) {
            self.squares -= square(left);
        }
    }

    /// Mean and sample standard deviation (ddof 1), once the window is full.
    pub fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        let (sum, count) = (self.sum.value()?, self.sum.length() as i128);
        // n Σx² - (Σx)² is an exact integer, so no digits cancel before the division.
        let spread = count.checked_mul(self.squares)?.checked_sub(sum.checked_mul(sum)?)?;
        let variance = spread as f64 / (count * (count - 1)) as f64;
        Some((sum as f64 / count as f64, variance.max(0.0).sqrt()))
    }

    /// How many deviations a value is from the mean; none until the window is full, or while nothing moves.
    pub fn z_score(&self, value: i64) -> Option<f64> {
        let (mean, deviation) = self.mean_and_deviation()?;
        (deviation > 0.0).then(|| (value as f64 - mean) / deviation)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    /// As a textbook has it, over the whole window each time.
    fn reference(window: &[i64]) -> (f64, f64) {
        let count = window.len() as f64;
        let mean = window.iter().map(|value| *value as f64).sum::<f64>() / count;
        let variance = window.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance.sqrt())
    }

    proptest! {
        #[test]
        fn steps_agree_with_the_whole_window(values in proptest::collection::vec(1_i64..10_000_000, 0..200), length in 2_usize..30) {
            let (mut moments, mut sum) = (Moments::new(length), Sum::new(length));
            for (end, value) in values.iter().enumerate() {
                moments.push(*value);
                sum.push(*value);
                let full = end + 1 >= length;
                prop_assert_eq!(sum.value().is_some(), full);
                prop_assert_eq!(moments.mean_and_deviation().is_some(), full);
                if full {
                    let window = &values[end + 1 - length..=end];
                    prop_assert_eq!(sum.value().unwrap(), window.iter().map(|value| i128::from(*value)).sum::<i128>());
                    let ((mean, deviation), (mean_wanted, deviation_wanted)) = (moments.mean_and_deviation().unwrap(), reference(window));
                    prop_assert!((mean - mean_wanted).abs() <= 1e-9 * mean_wanted.abs());
                    prop_assert!((deviation - deviation_wanted).abs() <= 1e-9 * deviation_wanted.max(1.0));
                }
            }
        }
    }

    #[test]
    fn what_does_not_move_has_no_score() {
        let mut moments = Moments::new(3);
        for _ in 0..3 {
            moments.push(7);
        }
        assert_eq!(moments.z_score(7), None);
        assert_eq!(moments.mean_and_deviation(), Some((7.0, 0.0)));
    }
}
