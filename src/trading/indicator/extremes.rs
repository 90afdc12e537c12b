//! Rolling highest and lowest.

use std::collections::VecDeque;

/// The highest and the lowest of the last values, each step in constant time on average: values that a later one beats can never be an
/// extreme again and are dropped.
#[derive(Clone, Debug)]
pub struct Extremes {
    length: u64,
    seen: u64,
    highs: VecDeque<(u64, i64)>,
    lows: VecDeque<(u64, i64)>,
}

impl Extremes {
    /// Of so many values, at least one.
    pub fn new(length: usize) -> Extremes {
        let length = length.max(1);
        let room = || VecDeque::with_capacity(length + 1);
        Extremes { length: length as u64, seen: 0, highs: room(), lows: room() }
    }

    /// Takes the next high and low.
    pub fn push(&mut self, high: i64, low: i64) {
        let number = self.seen;
        self.seen += 1;
        while self.highs.back().is_some_and(|(_, last)| *last <= high) {
            self.highs.pop_back();
        }
        self.highs.push_back((number, high));
        while self.lows.back().is_some_and(|(_, last)| *last >= low) {
            self.lows.pop_back();
        }
        self.lows.push_back((number, low));
        let out = |queue: &VecDeque<(u64, i64)>| queue.front().is_some_and(|(place, _)| place + self.length <= number);
        if out(&self.highs) {
            self.highs.pop_front();
        }
        if out(&self.lows) {
            self.lows.pop_front();
        }
    }

    /// The highest and the lowest, once the window is full.
    pub fn value(&self) -> Option<(i64, i64)> {
        let (high, low) = (self.highs.front()?.1, self.lows.front()?.1);
        (self.seen >= self.length).then_some((high, low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_agree_with_the_whole_window(values in proptest::collection::vec((0_i64..50, 0_i64..50), 0..120), length in 1_usize..20) {
            let mut extremes = Extremes::new(length);
            for (end, (high, low)) in values.iter().enumerate() {
                extremes.push(*high, *low);
                let wanted = (end + 1 >= length).then(|| {
                    let window = &values[end + 1 - length..=end];
                    (window.iter().map(|value| value.0).fold(i64::MIN, i64::max), window.iter().map(|value| value.1).fold(i64::MAX, i64::min))
                });
                prop_assert_eq!(extremes.value(), wanted);
            }
        }
    }
}
