//! What the same returns could have done in another order.

use serde::Serialize;

use super::statistics::{drawdown, percentile};

/// Greatest losses from a high over reordered returns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonteCarlo {
    /// Runs.
    pub runs: usize,
    /// The seed: the same one gives the same runs.
    pub seed: u64,
    /// The median, as a positive fraction.
    pub median: f64,
    /// The 95th percentile, as a positive fraction.
    pub percentile_95: f64,
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, with a bias of less than 2^-40 for any series that fits in memory.
    fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Draws each run with replacement from the returns (Efron 1979); none without returns.
pub fn drawdowns(returns: &[f64], runs: usize, seed: u64) -> Option<MonteCarlo> {
    if returns.is_empty() || runs == 0 {
        return None;
    }
    let mut random = Random(seed);
    let mut drawn = vec![0.0; returns.len()];
    let mut worst: Vec<f64> = (0..runs)
        .map(|_| {
            drawn.iter_mut().for_each(|step| *step = returns[random.below(returns.len())]);
            drawdown(&drawn).0.abs()
        })
        .collect();
    worst.sort_by(f64::total_cmp);
    Some(MonteCarlo { runs, seed, median: percentile(&worst, 0.5)?, percentile_95: percentile(&worst, 0.95)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_runs_and_another_other_ones() {
        let returns: Vec<f64> = (0..100).map(|day| 0.01 * f64::from(day * 7 % 11 - 5) / 5.0).collect();
        let (one, again, other) =
            (drawdowns(&returns, 1_000, 7).unwrap(), drawdowns(&returns, 1_000, 7).unwrap(), drawdowns(&returns, 1_000, 8).unwrap());
        assert_eq!(one, again);
        assert_ne!(one.percentile_95, other.percentile_95);
        assert!(one.median < one.percentile_95 && one.percentile_95 < 1.0);
        assert_eq!(drawdowns(&[], 1_000, 7), None);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
