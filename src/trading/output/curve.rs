//! A curve in bounded memory.

/// The most points that a curve in a report has.
pub const MOST_POINTS: usize = 5_000;

/// Points over time, thinned as they come: of each stretch of time the lowest and the highest stay, so that no peak is lost.
///
/// Guarantees: at most [`MOST_POINTS`] points come out, in the order of their times, the first and the last among them.
#[derive(Clone, Debug)]
pub struct Curve<T> {
    /// Pairs of the lowest and the highest of so many points each.
    stretches: Vec<Stretch<T>>,
    per_stretch: u64,
    in_last: u64,
    first: Option<(T, f64)>,
    last: Option<(T, f64)>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch<T> {
    low: (T, f64),
    high: (T, f64),
}

/// Two points a stretch, and room for the first and the last.
const MOST_STRETCHES: usize = MOST_POINTS / 2 - 1;

impl<T> Default for Curve<T> {
    fn default() -> Curve<T> {
        Curve { stretches: Vec::new(), per_stretch: 1, in_last: 0, first: None, last: None }
    }
}

impl<T: Copy + Ord> Curve<T> {
    /// Takes the next point.
    pub fn push(&mut self, at: T, value: f64) {
        let point = (at, value);
        self.first.get_or_insert(point);
        self.last = Some(point);
        if self.in_last == 0 || self.in_last >= self.per_stretch {
            if self.stretches.len() >= MOST_STRETCHES {
                self.halve();
            }
            // A stretch that halving left half full goes on.
            if self.in_last == 0 || self.in_last >= self.per_stretch {
                self.stretches.push(Stretch { low: point, high: point });
                self.in_last = 1;
                return;
            }
        }
        if let Some(stretch) = self.stretches.last_mut() {
            if value < stretch.low.1 {
                stretch.low = point;
            }
            if value > stretch.high.1 {
                stretch.high = point;
            }
        }
        self.in_last += 1;
    }

    /// Joins neighbours, two and two.
    fn halve(&mut self) {
        let odd = self.stretches.len() % 2 == 1;
        let joined = self.stretches.chunks(2).filter_map(|pair| match pair {
            [one] => Some(*one),
            [one, other] => Some(Stretch {
                low: if other.low.1 < one.low.1 { other.low } else { one.low },
                high: if other.high.1 > one.high.1 { other.high } else { one.high },
            }),
            _ => None,
        });
        self.stretches = joined.collect();
        self.per_stretch *= 2;
        self.in_last = if odd { self.in_last } else { self.per_stretch };
    }

    /// The points that are left.
    pub fn points(&self) -> Vec<(T, f64)> {
        let mut points: Vec<(T, f64)> = self.stretches.iter().flat_map(|stretch| [stretch.low, stretch.high]).collect();
        points.extend(self.first.into_iter().chain(self.last));
        points.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        points.dedup_by(|one, other| one.0 == other.0 && one.1 == other.1);
        points
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_thinned_curve_keeps_its_ends_and_its_peaks(count in 1_u32..60_000, peak: u32, dip: u32) {
            let (peak, dip) = (peak % count, dip % count);
            let value = |at: u32| if at == peak { 1e6 } else if at == dip { -1e6 } else { f64::from(at % 97) };
            let mut curve = Curve::default();
            (0..count).for_each(|at| curve.push(at, value(at)));
            let points = curve.points();
            prop_assert!(points.len() <= MOST_POINTS);
            prop_assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            prop_assert_eq!((points.first().unwrap().0, points.last().unwrap().0), (0, count - 1));
            prop_assert!(points.contains(&(peak, 1e6)) && (peak == dip || points.contains(&(dip, -1e6))));
            if count as usize <= MOST_STRETCHES {
                prop_assert_eq!(points.len(), count as usize);
            }
        }
    }
}
