//! A result judged by running it again: with costs doubled and trebled, and on data that ends earlier.

use serde::Serialize;

use super::run::{RunError, drive_with, run};
use super::{EquitySeries, Outcome};
use crate::input::{Interval, Source};
use crate::judge::{Annual, MonteCarlo, Statistics, Verdict, Verdicts, cost_stress, drawdowns, returns};
use crate::number::Money;
use crate::risk::InMemory;
use crate::spec::{SpecError, StrategyFile};
use crate::strategy::Strategy;
use crate::time::{NS_PER_DAY, Time};

/// Where data is cut to see whether the same signals come of it.
const CUTS: u64 = 20;
/// Reordered series.
const RUNS: usize = 1_000;

/// What a result is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Statistics of the equity series.
    pub statistics: Statistics,
    /// Profit with costs doubled.
    pub profit_at_twice_the_costs: Option<Money>,
    /// Profit with costs trebled.
    pub profit_at_thrice_the_costs: Option<Money>,
    /// Drawdowns of reordered returns.
    pub monte_carlo: Option<MonteCarlo>,
    /// Whether it can be believed.
    pub verdicts: Verdicts,
}

/// What annualisation counts as a year for a strategy file's data.
///
/// # Errors
/// [`SpecError`]: bars of more than a day that are not months give no point a day, so neither count of days is a year of them.
pub fn years_of(file: &StrategyFile) -> Result<Annual, SpecError> {
    match (file.data.interval.parse(), file.data.sessions) {
        (Ok(Interval::Month), _) => Ok(Annual::Months),
        (Ok(Interval::Fixed(ns)), _) if ns > NS_PER_DAY => {
            let why = format!("expected a day at most, or 1mo, to judge a result by the year, found {:?}", file.data.interval);
            Err(SpecError::Field { field: "data.interval", why })
        }
        (Ok(Interval::Fixed(_)) | Err(_), true) => Ok(Annual::TradingDays),
        (Ok(Interval::Fixed(_)) | Err(_), false) => Ok(Annual::EveryDay),
    }
}

/// Judges an outcome. `open` opens the same data again, or says that it cannot: what needs it is then Inconclusive.
///
/// # Errors
/// [`RunError`]: a run of it that fails where the first one did not.
pub fn judge<S: Source>(
    file: &StrategyFile,
    outcome: &Outcome,
    series: &[(Time, Money)],
    seed: u64,
    open: impl Fn() -> Result<Option<S>, RunError>,
) -> Result<Judged, RunError> {
    let equity: Vec<Money> = series.iter().map(|(_, equity)| *equity).collect();
    let returns = returns(&equity);
    let profit = |times| -> Result<Option<Money>, RunError> {
        let Some(data) = open()? else { return Ok(None) };
        let (outcome, _) = run(&file.with_costs(times)?, data, EquitySeries::default())?;
        Ok(outcome.equity.and_then(|equity| equity.minus(file.cash).ok()))
    };
    let (twice, thrice) = (profit(2)?, profit(3)?);
    let monte_carlo = drawdowns(&returns, RUNS, seed);
    let universe = file.universe()?;
    let limit = f64::from(file.limits(&universe)?.drawdown_bps()) / 10_000.0;
    let look_ahead = look_ahead(file, outcome.tally.events, seed, &open, |_| Ok(file.build(&universe)?))?;
    let drawdown_95 = monte_carlo.as_ref().map(|monte_carlo| monte_carlo.percentile_95);
    Ok(Judged {
        statistics: Statistics::of(&returns, years_of(file)?),
        profit_at_twice_the_costs: twice,
        profit_at_thrice_the_costs: thrice,
        verdicts: Verdicts::new(look_ahead, cost_stress(twice), drawdown_95, limit, outcome.tally.trades),
        monte_carlo,
    })
}

/// Whether data that ends earlier leads to the same orders and fills up to there, at twenty places drawn by the seed. `build` makes the
/// strategy anew for each run and is told how many events the data has then: what a strategy reads ahead of the engine, it can read only so
/// far.
///
/// Proves nothing of what a strategy knows from elsewhere than the data it is given.
///
/// # Errors
/// [`RunError`].
pub fn look_ahead<S: Source, T: Strategy>(
    file: &StrategyFile,
    events: u64,
    seed: u64,
    open: &impl Fn() -> Result<Option<S>, RunError>,
    build: impl Fn(u64) -> Result<T, RunError>,
) -> Result<Verdict, RunError> {
    let (Some(whole), true) = (open()?, events > 0) else { return Ok(Verdict::Inconclusive) };
    let mut cuts: Vec<u64> =
        (0..CUTS).map(|cut| 1 + (seed.wrapping_add(cut + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % events).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (mut hashes, mut taken) = (Vec::new(), 0);
    drive_with(file, build(events)?, InMemory::default(), whole, (), u64::MAX, |engine| {
        taken += 1;
        if cuts.binary_search(&taken).is_ok() {
            hashes.push(engine.hash());
        }
    })?;
    for (cut, wanted) in cuts.iter().zip(&hashes) {
        let Some(data) = open()? else { return Ok(Verdict::Inconclusive) };
        if drive_with(file, build(*cut)?, InMemory::default(), data, (), *cut, |_| {})?.hash() != *wanted {
            return Ok(Verdict::Fail);
        }
    }
    Ok(Verdict::Pass)
}
