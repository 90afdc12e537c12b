//! Statistics of an equity series, by the formulas that `empyrical` uses.
//!
//! The series has the starting cash as its first point; returns are simple, the risk-free rate is zero, deviations are of the sample
//! (ddof 1). A zero denominator gives none. (`tests/statistics.rs` compares with empyrical-reloaded to 1e-9.)

use serde::Serialize;

use crate::number::Money;

/// How many returns make a year, and it is printed with each figure that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Annual {
    /// Markets that never close, by days.
    #[serde(rename = "365")]
    EveryDay,
    /// Exchanges with sessions, by days.
    #[serde(rename = "252")]
    TradingDays,
    /// Months.
    #[serde(rename = "12")]
    Months,
}

impl Annual {
    /// Returns in a year.
    pub fn periods(self) -> f64 {
        match self {
            Annual::EveryDay => 365.0,
            Annual::TradingDays => 252.0,
            Annual::Months => 12.0,
        }
    }
}

/// Statistics of an equity series.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// What annualisation counts as a year.
    pub annual: Annual,
    /// Returns.
    pub count: usize,
    /// Π(1 + r) − 1.
    pub total_return: Option<f64>,
    /// Compound annual growth rate: (1 + total)^(periods / n) − 1.
    pub annual_return: Option<f64>,
    /// Standard deviation of returns × √periods.
    pub annual_volatility: Option<f64>,
    /// Mean / standard deviation × √periods (Sharpe 1994).
    pub sharpe: Option<f64>,
    /// Mean × periods / downside risk, the root of the mean of min(r, 0)² × √periods (Sortino and Price 1994).
    pub sortino: Option<f64>,
    /// Greatest loss from a high, as a negative fraction.
    pub max_drawdown: Option<f64>,
    /// Longest time below a high, in returns.
    pub longest_drawdown: usize,
    /// Annual return / |greatest loss from a high| (Young 1991); none without a loss.
    pub calmar: Option<f64>,
    /// Sum of gains over a return of zero / sum of losses (Keating and Shadwick 2002).
    pub omega: Option<f64>,
    /// Third standardised moment, of the population.
    pub skew: Option<f64>,
    /// Fourth standardised moment less three, of the population.
    pub excess_kurtosis: Option<f64>,
    /// The 5th percentile of returns, interpolated: what one period in twenty loses at least.
    pub value_at_risk: Option<f64>,
    /// Mean of the returns at or below it.
    pub expected_shortfall: Option<f64>,
    /// 95th / |5th| percentile of returns.
    pub tail_ratio: Option<f64>,
    /// R² of the line through cumulated log returns.
    pub stability: Option<f64>,
}

/// Simple returns of an equity series. The fall to zero or below is the last one, since nothing after it has a return.
pub fn returns(equity: &[Money]) -> Vec<f64> {
    let pairs = equity.windows(2).filter_map(|pair| if let [before, after] = pair { Some((*before, *after)) } else { None });
    pairs.take_while(|(before, _)| *before > Money::ZERO).map(|(before, after)| after.to_f64() / before.to_f64() - 1.0).collect()
}

/// A quotient, or none for a denominator of zero.
fn over(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator != 0.0 && denominator.is_finite()).then(|| numerator / denominator)
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    over(values.iter().sum(), values.len() as f64)
}

/// Standard deviation of the sample.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    over(squares, values.len() as f64 - 1.0).filter(|variance| *variance >= 0.0).map(f64::sqrt)
}

/// The standardised moment of the population.
pub(super) fn moment(values: &[f64], power: i32) -> Option<f64> {
    let mean = mean(values)?;
    let central = |power| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / values.len() as f64;
    over(central(power), central(2).powf(f64::from(power) / 2.0))
}

/// A percentile of sorted values, interpolated between the two nearest (Hyndman and Fan 1996, type 7).
pub(super) fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * (sorted.len().checked_sub(1)? as f64);
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// The greatest loss from a high as a negative fraction, and the longest time below one in returns.
pub(super) fn drawdown(returns: &[f64]) -> (f64, usize) {
    let (mut value, mut high, mut worst) = (1.0_f64, 1.0_f64, 0.0_f64);
    let (mut below, mut longest) = (0, 0);
    for step in returns {
        value *= 1.0 + step;
        if value >= high {
            (high, below) = (value, 0);
        } else {
            below += 1;
            longest = longest.max(below);
        }
        worst = worst.min(value / high - 1.0);
    }
    (worst, longest)
}

/// R² of a line through the cumulated log returns over their number.
fn stability(returns: &[f64]) -> Option<f64> {
    let mut sum = 0.0;
    let curve: Vec<f64> = returns
        .iter()
        .map(|step| {
            sum += step.ln_1p();
            sum
        })
        .collect();
    let places: Vec<f64> = (0..curve.len()).map(|place| place as f64).collect();
    let (mean_x, mean_y) = (mean(&places)?, mean(&curve)?);
    let covariance: f64 = places.iter().zip(&curve).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let squares = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    over(covariance.powi(2), squares(&places, mean_x) * squares(&curve, mean_y))
}

impl Statistics {
    /// Statistics of simple returns.
    pub fn of(returns: &[f64], annual: Annual) -> Statistics {
        let (periods, count) = (annual.periods(), returns.len());
        let some = |value: f64| (count > 0).then_some(value);
        let total = returns.iter().fold(1.0, |value, step| value * (1.0 + step)) - 1.0;
        let annual_return = some(total).and_then(|total| over(periods, count as f64).map(|power| (1.0 + total).powf(power) - 1.0));
        let (mean, deviation) = (mean(returns), deviation(returns));
        let downside = over(returns.iter().map(|step| step.min(0.0).powi(2)).sum(), count as f64).map(|square| (square * periods).sqrt());
        let (worst, longest_drawdown) = drawdown(returns);
        let mut sorted = returns.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (percentile(&sorted, 0.05), percentile(&sorted, 0.95));
        let (gains, losses) = returns.iter().fold((0.0, 0.0), |(gains, losses), step| (gains + step.max(0.0), losses - step.min(0.0)));
        Statistics {
            annual,
            count,
            total_return: some(total),
            annual_return,
            annual_volatility: deviation.map(|deviation| deviation * periods.sqrt()),
            sharpe: mean.zip(deviation).and_then(|(mean, deviation)| over(mean, deviation)).map(|ratio| ratio * periods.sqrt()),
            sortino: mean.zip(downside).and_then(|(mean, downside)| over(mean * periods, downside)),
            max_drawdown: some(worst),
            longest_drawdown,
            calmar: annual_return.filter(|_| worst < 0.0).and_then(|annual_return| over(annual_return, worst.abs())),
            omega: over(gains, losses),
            skew: moment(returns, 3),
            excess_kurtosis: moment(returns, 4).map(|kurtosis| kurtosis - 3.0),
            value_at_risk: low,
            expected_shortfall: shortfall(&sorted),
            tail_ratio: low.zip(high).and_then(|(low, high)| over(high.abs(), low.abs())),
            stability: stability(returns),
        }
    }
}

/// Mean of the worst twentieth of sorted returns, the return at its edge with them.
fn shortfall(sorted: &[f64]) -> Option<f64> {
    let edge = ((sorted.len().checked_sub(1)? as f64) * 0.05).floor() as usize;
    mean(sorted.get(..=edge)?)
}
