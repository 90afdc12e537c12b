//! One strategy with many parameters, and how much of the best is luck.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::judged::years_of;
use super::run::{RunError, run};
use super::{EquitySeries, Outcome};
use crate::input::Source;
use crate::judge::{Statistics, Verdict, deflated_sharpe, neighbourhood, out_of_sample, returns};
use crate::number::Money;
use crate::spec::StrategyFile;

/// A parameter and the values that are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The field of the strategy.
    pub name: String,
    /// Its values, as text.
    pub values: Vec<String>,
}

/// Trials that a sweep may have: a day of runs of a second each, and no more than anyone reads.
pub const MOST_TRIALS: usize = 100_000;
/// Folds of the walk forward.
const FOLDS: usize = 5;

/// One set of parameters and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// Parameters by name.
    pub parameters: Vec<(String, String)>,
    /// Profit.
    pub profit: Option<Money>,
    /// Round trips.
    pub trades: u64,
    /// Annualised Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Greatest loss from a high, as a negative fraction.
    pub max_drawdown: Option<f64>,
    /// Hash over orders and fills.
    pub hash: String,
    #[serde(skip)]
    returns: Vec<f64>,
}

/// A fold of the walk forward: the best trial of what came before, on what came after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fold {
    /// Place of the trial that was best in sample.
    pub trial: usize,
    /// Its Sharpe ratio in sample.
    pub in_sample: Option<f64>,
    /// Its Sharpe ratio out of sample.
    pub out_of_sample: Option<f64>,
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// Every trial, the last parameter changing fastest.
    pub trials: Vec<Trial>,
    /// Place of the best one by Sharpe ratio, the first of equals.
    pub best: Option<usize>,
    /// The probability that the best is more than the luckiest of as many.
    pub deflated_sharpe: Option<f64>,
    /// The walk forward.
    pub folds: Vec<Fold>,
    /// Whether what was best before was good after.
    pub out_of_sample: Verdict,
    /// Whether parameters a tenth either way are profitable too.
    pub neighbourhood: Verdict,
}

/// All combinations of the values.
fn combinations(axes: &[Axis]) -> Result<Vec<Vec<(String, String)>>, RunError> {
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len())).filter(|count| *count <= MOST_TRIALS);
    let count = count.ok_or(RunError::TooManyTrials)?;
    let of = |mut place: usize| {
        let mut parameters: Vec<(String, String)> = axes
            .iter()
            .rev()
            .map(|axis| {
                let value = axis.values[place % axis.values.len()].clone();
                place /= axis.values.len();
                (axis.name.clone(), value)
            })
            .collect();
        parameters.reverse();
        parameters
    };
    Ok((0..count).map(of).collect())
}

fn trial<S: Source>(
    file: &StrategyFile,
    parameters: Vec<(String, String)>,
    open: &(impl Fn() -> Result<S, RunError> + Sync),
) -> Result<Trial, RunError> {
    let mut changed = file.clone();
    for (name, value) in &parameters {
        changed = changed.with_parameter(name, value)?;
    }
    let (outcome, series): (Outcome, EquitySeries) = run(&changed, open()?, EquitySeries::default())?;
    let points: Vec<Money> = series.points.iter().map(|(_, equity)| *equity).collect();
    let returns = returns(&points);
    let statistics = Statistics::of(&returns, years_of(file)?);
    Ok(Trial {
        parameters,
        profit: outcome.equity.and_then(|equity| equity.minus(file.cash).ok()),
        trades: outcome.tally.trades,
        sharpe: statistics.sharpe,
        max_drawdown: statistics.max_drawdown,
        hash: outcome.hash,
        returns,
    })
}

/// Runs every set of parameters on so many threads. Trials share nothing, and each goes to its own place: the same on any number.
fn run_all<S: Source>(
    file: &StrategyFile,
    sets: Vec<Vec<(String, String)>>,
    threads: usize,
    open: &(impl Fn() -> Result<S, RunError> + Sync),
) -> Result<Vec<Trial>, RunError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Trial, RunError>>>> = Mutex::new(sets.iter().map(|_| None).collect());
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(parameters) = sets.get(place) else { return };
            let trial = trial(file, parameters.clone(), open);
            if let Some(slot) = done.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
                *slot = Some(trial);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, sets.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

/// The best by a measure, the first of equals; none where nothing has one.
fn best_by(trials: &[Trial], measure: impl Fn(&Trial) -> Option<f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, value) in trials.iter().enumerate().filter_map(|(place, trial)| measure(trial).map(|value| (place, value))) {
        if best.is_none_or(|(_, so_far)| value > so_far) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

/// Tries every combination of the values, judges the best, and walks forward: on five stretches of the data, the trial that was best on
/// all before. Strategies see no future, so a stretch of a whole run is what a run up to there would have gone on to.
///
/// # Errors
/// [`RunError`] of the first trial, by place, that failed.
pub fn sweep<S: Source>(
    file: &StrategyFile,
    axes: &[Axis],
    threads: usize,
    open: impl Fn() -> Result<S, RunError> + Sync,
) -> Result<Sweep, RunError> {
    let trials = run_all(file, combinations(axes)?, threads, &open)?;
    let best = best_by(&trials, |trial| trial.sharpe);
    let annual = years_of(file)?;
    let sharpe = |returns: &[f64]| Statistics::of(returns, annual).sharpe;
    let length = trials.iter().map(|trial| trial.returns.len()).min().unwrap_or(0);
    let cut = |fold: usize| fold * length / (FOLDS + 1);
    let folds: Vec<Fold> = (1..=FOLDS)
        .filter_map(|fold| {
            let trial = best_by(&trials, |trial| sharpe(&trial.returns[..cut(fold)]))?;
            let returns = &trials[trial].returns;
            Some(Fold { trial, in_sample: sharpe(&returns[..cut(fold)]), out_of_sample: sharpe(&returns[cut(fold)..cut(fold + 1)]) })
        })
        .collect();
    let neighbours = best.map(|best| neighbours(file, &trials[best].parameters, threads, &open)).transpose()?.unwrap_or_default();
    let pairs: Vec<_> = folds.iter().map(|fold| (fold.in_sample, fold.out_of_sample)).collect();
    Ok(Sweep {
        deflated_sharpe: best.and_then(|best| deflated(&trials, best, annual.periods())),
        out_of_sample: if folds.len() == FOLDS { out_of_sample(&pairs) } else { Verdict::Inconclusive },
        neighbourhood: neighbourhood(&neighbours),
        best,
        folds,
        trials,
    })
}

/// The deflated Sharpe ratio of the best, with the number and the variance of all; ratios a return, not a year.
fn deflated(trials: &[Trial], best: usize, periods: f64) -> Option<f64> {
    let ratios: Vec<f64> = trials.iter().filter_map(|trial| trial.sharpe).map(|ratio| ratio / periods.sqrt()).collect();
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (ratios.len() as f64 - 1.0);
    // One without a ratio was tried all the same.
    deflated_sharpe(&trials[best].returns, trials.len(), variance)
}

/// Profits of each parameter a tenth up and down, one at a time; whole numbers by one at least.
fn neighbours<S: Source>(
    file: &StrategyFile,
    best: &[(String, String)],
    threads: usize,
    open: &(impl Fn() -> Result<S, RunError> + Sync),
) -> Result<Vec<Money>, RunError> {
    let mut sets = Vec::new();
    for (place, (_, value)) in best.iter().enumerate() {
        for moved in moved(value) {
            let mut parameters = best.to_vec();
            parameters[place].1 = moved;
            sets.push(parameters);
        }
    }
    // A neighbour that makes no sense, such as a fast average as long as the slow one, is none.
    sets.retain(|parameters| {
        let changed = parameters.iter().try_fold(file.clone(), |file, (name, value)| file.with_parameter(name, value));
        changed.and_then(|file| file.universe().and_then(|universe| file.build(&universe).map(|_| ()))).is_ok()
    });
    let trials = run_all(file, sets, threads, open)?;
    Ok(trials.into_iter().map(|trial| trial.profit.unwrap_or(Money::ZERO)).collect())
}

fn moved(value: &str) -> Vec<String> {
    if let Ok(whole) = value.parse::<i64>() {
        let step = (whole / 10).abs().max(1);
        return vec![(whole - step).to_string(), (whole + step).to_string()];
    }
    let Ok(decimal) = crate::number::parse_decimal(value) else { return Vec::new() };
    let tenth = decimal.checked_mul(rust_decimal::Decimal::new(1, 1)).unwrap_or_default();
    let ends = [decimal.checked_sub(tenth), decimal.checked_add(tenth)];
    ends.into_iter().flatten().map(|end| end.normalize().to_string()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_trial_without_a_ratio_was_a_trial_all_the_same() {
        let trial = |sharpe, returns: &[f64]| Trial {
            parameters: Vec::new(),
            profit: None,
            trades: 0,
            sharpe,
            max_drawdown: None,
            hash: String::new(),
            returns: returns.to_vec(),
        };
        let best = trial(Some(2.0), &[0.01, -0.005, 0.012, -0.004, 0.008]);
        let mut trials = vec![best, trial(Some(1.0), &[])];
        let of_two = deflated(&trials, 0, 365.0).unwrap();
        trials.push(trial(None, &[]));
        assert!(deflated(&trials, 0, 365.0).unwrap() < of_two);
    }
}
