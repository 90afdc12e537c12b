//! How much of a Sharpe ratio is luck.

use super::normal;
use super::statistics::{deviation, mean, moment};

/// Euler and Mascheroni's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// The probability that the true Sharpe ratio, a return and not a year, is above `threshold` (Bailey and López de Prado 2012, "The Sharpe
/// Ratio Efficient Frontier", equation 9).
pub fn probabilistic_sharpe(returns: &[f64], threshold: f64) -> Option<f64> {
    let deviation = deviation(returns).filter(|deviation| *deviation > 0.0)?;
    let sharpe = mean(returns)? / deviation;
    let (skew, kurtosis) = (moment(returns, 3)?, moment(returns, 4)?);
    let spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe;
    (spread > 0.0).then(|| normal::cumulative((sharpe - threshold) * (returns.len() as f64 - 1.0).sqrt() / spread.sqrt()))
}

/// The probability that the best of `trials` is more than the best of as many lucky ones: the threshold is the Sharpe ratio that the best
/// of `trials` without any skill is expected to show, given the variance of the ratios that were tried (Bailey and López de Prado 2014,
/// "The Deflated Sharpe Ratio", equations 1 and 2). None without at least two trials: then it is Inconclusive.
pub fn deflated_sharpe(returns: &[f64], trials: usize, variance: f64) -> Option<f64> {
    if trials < 2 || !(variance.is_finite() && variance >= 0.0) {
        return None;
    }
    let trials = trials as f64;
    let (first, second) = (normal::quantile(1.0 - 1.0 / trials)?, normal::quantile(1.0 - 1.0 / (trials * std::f64::consts::E))?);
    probabilistic_sharpe(returns, variance.sqrt() * ((1.0 - EULER) * first + EULER * second))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn more_trials_leave_less_of_a_ratio() {
        let returns: Vec<f64> = (0..250).map(|day| 0.001 + 0.01 * f64::from(day * 7 % 11 - 5) / 5.0).collect();
        let alone = probabilistic_sharpe(&returns, 0.0).unwrap();
        let of_ten = deflated_sharpe(&returns, 10, 0.005).unwrap();
        let of_thousand = deflated_sharpe(&returns, 1_000, 0.005).unwrap();
        assert!(1.0 > alone && alone > of_ten && of_ten > of_thousand && of_thousand > 0.0, "{alone} {of_ten} {of_thousand}");
        assert_eq!(deflated_sharpe(&returns, 1, 0.005), None);
        assert_eq!(probabilistic_sharpe(&[0.01, 0.01], 0.0), None, "what does not vary has no ratio");
    }

    #[test]
    fn the_paper_s_own_example() {
        // Bailey and López de Prado 2014, section "A numerical example": annualised ratio 2.5 over 1250 days, skew -3, kurtosis 10,
        // 100 trials with an annualised variance of 1/2: threshold 0.1132 a day, 0.9004 deflated.
        let (first, second) = (normal::quantile(0.99).unwrap(), normal::quantile(1.0 - 1.0 / (100.0 * std::f64::consts::E)).unwrap());
        let threshold = (0.5_f64 / 250.0).sqrt() * ((1.0 - EULER) * first + EULER * second);
        assert!((threshold - 0.1132).abs() < 5e-5, "{threshold}");
        let sharpe = 2.5 / 250.0_f64.sqrt();
        let spread = 1.0 + 3.0 * sharpe + 9.0 / 4.0 * sharpe * sharpe;
        let deflated = normal::cumulative((sharpe - threshold) * 1_249.0_f64.sqrt() / spread.sqrt());
        assert!((deflated - 0.9004).abs() < 5e-5, "{deflated}");
    }
}
