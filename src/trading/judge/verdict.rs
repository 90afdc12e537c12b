//! Whether a result can be believed. What cannot be said is Inconclusive, which promotes nothing.

use serde::Serialize;

use crate::number::Money;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be said.
    Inconclusive,
}

impl Verdict {
    fn of(holds: bool) -> Verdict {
        if holds { Verdict::Pass } else { Verdict::Fail }
    }
}

/// The verdicts on a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdicts {
    /// The same signals where the data ends earlier.
    pub look_ahead: Verdict,
    /// Profit with costs doubled.
    pub cost_stress: Verdict,
    /// The 95th percentile of drawdown over reordered returns is within the limit.
    pub monte_carlo: Verdict,
    /// Enough trades to say anything.
    pub trades: Verdict,
    /// All of them together.
    pub overall: Verdict,
}

/// Fewer round trips than this say nothing.
pub const LEAST_TRADES: u64 = 30;
/// Part of the neighbours that has to be profitable, in percent.
const NEIGHBOURS_PERCENT: usize = 70;
/// Part of the in-sample Sharpe ratio that has to be left out of sample.
const SHARPE_LEFT: f64 = 0.5;

impl Verdicts {
    /// From their parts: one Fail fails all, one Inconclusive leaves all of it open.
    pub fn new(look_ahead: Verdict, cost_stress: Verdict, drawdown_95: Option<f64>, drawdown_limit: f64, trades: u64) -> Verdicts {
        let monte_carlo = drawdown_95.map_or(Verdict::Inconclusive, |drawdown| Verdict::of(drawdown <= drawdown_limit));
        let enough = if trades < LEAST_TRADES { Verdict::Inconclusive } else { Verdict::Pass };
        let all = [look_ahead, cost_stress, monte_carlo, enough];
        let overall = if all.contains(&Verdict::Fail) {
            Verdict::Fail
        } else if all.contains(&Verdict::Inconclusive) {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        Verdicts { look_ahead, cost_stress, monte_carlo, trades: enough, overall }
    }
}

/// Profit that is still there with costs doubled.
pub fn cost_stress(profit_at_twice: Option<Money>) -> Verdict {
    profit_at_twice.map_or(Verdict::Inconclusive, |profit| Verdict::of(profit > Money::ZERO))
}

/// Sharpe ratios out of sample against those in sample, fold by fold: on average at least half is left, and more than zero.
pub fn out_of_sample(folds: &[(Option<f64>, Option<f64>)]) -> Verdict {
    let known: Option<Vec<(f64, f64)>> = folds.iter().map(|(inside, outside)| inside.zip(*outside)).collect();
    match known {
        Some(known) if !known.is_empty() => {
            let count = known.len() as f64;
            let (inside, outside) =
                known.iter().fold((0.0, 0.0), |(inside, outside), fold| (inside + fold.0 / count, outside + fold.1 / count));
            Verdict::of(outside > 0.0 && outside >= SHARPE_LEFT * inside)
        }
        Some(_) | None => Verdict::Inconclusive,
    }
}

/// Profits of the parameters a tenth either way: most of them have to be profits too.
pub fn neighbourhood(profits: &[Money]) -> Verdict {
    if profits.is_empty() {
        return Verdict::Inconclusive;
    }
    let profitable = profits.iter().filter(|profit| **profit > Money::ZERO).count();
    Verdict::of(profitable * 100 >= profits.len() * NEIGHBOURS_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Inconclusive, Pass};

    #[test]
    fn one_fail_fails_all_and_one_open_answer_leaves_all_open() {
        let overall = |look_ahead, cost, drawdown, trades| Verdicts::new(look_ahead, cost, drawdown, 0.2, trades).overall;
        assert_eq!(overall(Pass, Pass, Some(0.2), 30), Pass);
        assert_eq!(overall(Pass, Pass, Some(0.200_001), 30), Fail);
        assert_eq!(overall(Pass, Pass, Some(0.1), 29), Inconclusive);
        assert_eq!(overall(Pass, Pass, None, 30), Inconclusive);
        assert_eq!(overall(Inconclusive, Fail, Some(0.1), 1), Fail);
    }

    #[test]
    fn each_verdict_at_its_limit() {
        assert_eq!([cost_stress(None), cost_stress(Some(Money(1))), cost_stress(Some(Money(0)))], [Inconclusive, Pass, Fail]);
        let fold = |inside, outside| (Some(inside), Some(outside));
        assert_eq!(out_of_sample(&[fold(2.0, 1.0), fold(1.0, 0.5)]), Pass);
        assert_eq!(out_of_sample(&[fold(2.0, 0.999), fold(1.0, 0.5)]), Fail);
        assert_eq!(out_of_sample(&[fold(-1.0, -0.1)]), Fail, "half of a loss is no profit");
        assert_eq!([out_of_sample(&[]), out_of_sample(&[(Some(1.0), None)])], [Inconclusive, Inconclusive]);
        let profits = |good: usize, bad: usize| [vec![Money(1); good], vec![Money(0); bad]].concat();
        assert_eq!([neighbourhood(&profits(7, 3)), neighbourhood(&profits(69, 31)), neighbourhood(&[])], [Pass, Fail, Inconclusive]);
    }
}
