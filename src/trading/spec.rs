//! A strategy as a file says it: what it trades, under which limits, how it is tested.

use serde::Deserialize;

use crate::backtest::{Liquidate, Settings};
use crate::input::{BarColumns, BarsFrom};
use crate::instrument::{InstrumentId, InstrumentSpec, LoadError, Universe};
use crate::intent::Size;
use crate::number::{Bps, Money, Qty, parse_decimal};
use crate::risk::{LimitError, Limits, LimitsSpec};
use crate::strategy::{
    BuyAndHold, DonchianBreakout, MarketMaker, MarketMakerSettings, MeanReversion, MeanReversionSettings, SmaCross, Strategy,
};
use crate::time::NS_PER_MS;
use crate::venue::{BarFill, BarVenueRules, Delay, Latency, Triggers};

/// A strategy file.
///
/// ```yaml
/// name: crosses
/// currency: USD
/// cash: 100000
/// strategy:
///   smaCross: {instrument: GOOG, fast: 10, slow: 20, qty: 10}
/// instruments:
/// - symbol: GOOG
///   base: GOOG
///   quote: USD
///   tickSize: 0.01
///   lotSize: 1
///   maxQty: 1000000
///   maxPrice: 100000
///   fees: {maker: 0.001, taker: 0.001}
/// limits:
///   instruments:
///     GOOG: {maxOrderQty: 10, maxPosition: 10}
/// data: {interval: 1d, sessions: true}
/// backtest: {barFill: next_open}
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StrategyFile {
    /// Its name: orders and latches carry it.
    pub name: String,
    /// What it does.
    pub strategy: StrategySpec,
    /// The reporting currency.
    pub currency: String,
    /// Starting cash in it.
    pub cash: Money,
    /// The instruments.
    pub instruments: Vec<InstrumentSpec>,
    /// Its limits.
    pub limits: LimitsSpec,
    /// How its data is read.
    pub data: DataSpec,
    /// How it is tested.
    #[serde(default)]
    pub backtest: BacktestSpec,
}

/// What a strategy does: a map of one entry, whose name is its kind. (Told apart by a field, decimals would pass through floats.)
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum StrategySpec {
    /// [`SmaCross`].
    SmaCross {
        /// The instrument.
        instrument: String,
        /// Bars of the fast average.
        fast: usize,
        /// Bars of the slow average.
        slow: usize,
        /// How much.
        qty: String,
    },
    /// [`MeanReversion`].
    MeanReversion {
        /// The instrument.
        instrument: String,
        /// Bars of the mean.
        length: usize,
        /// Buys this many deviations below the mean.
        enter: f64,
        /// Sells once it is this near.
        leave: f64,
        /// How much.
        qty: String,
    },
    /// [`DonchianBreakout`].
    DonchianBreakout {
        /// The instrument.
        instrument: String,
        /// Bars whose highest high is broken.
        enter: usize,
        /// Bars whose lowest low is broken.
        leave: usize,
        /// How much.
        qty: String,
    },
    /// [`MarketMaker`].
    MarketMaker {
        /// The instrument.
        instrument: String,
        /// Distance of each quote from the mid.
        half_spread_ticks: i64,
        /// How much it quotes.
        qty: String,
        /// The most that it wants to hold.
        max_position: String,
        /// How far a quote may be from where it should be.
        #[serde(default)]
        tolerance_ticks: i64,
    },
    /// [`BuyAndHold`].
    BuyAndHold {
        /// The instrument.
        instrument: String,
        /// How much; without it as much as `fractionBps` of equity buys.
        qty: Option<String>,
        /// Part of equity.
        fraction_bps: Option<u32>,
    },
}

/// How data is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSpec {
    /// Length of a bar, such as `1d`.
    pub interval: String,
    /// Names of the columns.
    #[serde(default)]
    pub columns: BarColumns,
    /// Makes bars of the trades in the data, and shows the strategy nothing else.
    pub bars: Option<BarsFromSpec>,
    /// From the exchange to us.
    #[serde(default)]
    pub feed_latency_ms: i64,
    /// Whether the market has sessions: then a year has 252 days, else 365.
    #[serde(default)]
    pub sessions: bool,
}

/// What ends a bar that is made of trades.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum BarsFromSpec {
    /// The length of `interval`.
    Interval {},
    /// So many trades.
    Ticks(u64),
    /// So much volume.
    Volume(String),
}

/// When an order is filled first.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarFillSpec {
    /// At the next open.
    #[default]
    NextOpen,
    /// At the close of the bar that led to it: OPTIMISTIC.
    SameClose,
}

/// What becomes of positions at the end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiquidateSpec {
    /// Sold at the last close.
    #[default]
    LastClose,
    /// Valued at the last mark.
    Mark,
}

/// What sets off a stop where the data is ticks.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopTriggerSpec {
    /// The last trade.
    #[default]
    LastTrade,
    /// The mid of the market.
    Mark,
}

/// How a strategy is tested.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BacktestSpec {
    /// When an order is filled first.
    #[serde(default)]
    pub bar_fill: BarFillSpec,
    /// What becomes of positions at the end.
    #[serde(default)]
    pub liquidate: LiquidateSpec,
    /// From us to the venue.
    #[serde(default)]
    pub latency_ms: i64,
    /// From the venue to us.
    #[serde(default)]
    pub return_latency_ms: i64,
    /// Latency as it was measured, which takes the place of both; it is read from a file of its own.
    #[serde(skip)]
    pub recorded_latency: Option<Latency>,
    /// What sets off a stop.
    #[serde(default)]
    pub stop_trigger: StopTriggerSpec,
    /// What a stop loses beyond its trigger.
    #[serde(default)]
    pub stop_slippage_ticks: i64,
}

/// A strategy file that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// An instrument.
    #[error(transparent)]
    Instrument(#[from] LoadError),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Another field.
    #[error("{field}: {why}")]
    Field {
        /// The field.
        field: &'static str,
        /// What was expected and what was found.
        why: String,
    },
}

fn field(field: &'static str, why: impl ToString) -> SpecError {
    SpecError::Field { field, why: why.to_string() }
}

impl StrategyFile {
    /// Its instruments.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn universe(&self) -> Result<Universe, SpecError> {
        Ok(Universe::load(&self.currency, &self.instruments)?)
    }

    /// Its limits.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn limits(&self, universe: &Universe) -> Result<Limits, SpecError> {
        Ok(Limits::compile(&self.limits, universe)?)
    }

    /// How it is tested.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn settings(&self) -> Result<Settings, SpecError> {
        let BacktestSpec { bar_fill, liquidate, latency_ms, return_latency_ms, recorded_latency, stop_trigger, stop_slippage_ticks } =
            &self.backtest;
        let not_negative = [
            ("backtest.latencyMs", latency_ms),
            ("backtest.returnLatencyMs", return_latency_ms),
            ("backtest.stopSlippageTicks", stop_slippage_ticks),
        ];
        for (name, value) in not_negative {
            if *value < 0 {
                return Err(field(name, format!("expected zero or more, found {value}")));
            }
        }
        let fill = match bar_fill {
            BarFillSpec::NextOpen => BarFill::NextOpen,
            BarFillSpec::SameClose => BarFill::SameClose,
        };
        let liquidate = match liquidate {
            LiquidateSpec::LastClose => Liquidate::LastClose,
            LiquidateSpec::Mark => Liquidate::Mark,
        };
        let ns = |ms: &i64| ms.checked_mul(NS_PER_MS).ok_or_else(|| field("backtest.latencyMs", "too long"));
        let fixed = Latency::Fixed(Delay { there_ns: ns(latency_ms)?, back_ns: ns(return_latency_ms)? });
        let latency = match recorded_latency {
            Some(_) if (*latency_ms, *return_latency_ms) != (0, 0) => {
                return Err(field("backtest.latencyMs", "expected none beside a recorded latency"));
            }
            Some(recorded) => recorded.clone(),
            None => fixed,
        };
        let triggers = match stop_trigger {
            StopTriggerSpec::LastTrade => Triggers::LastTrade,
            StopTriggerSpec::Mark => Triggers::Mark,
        };
        Ok(Settings { bars: BarVenueRules { fill, stop_slippage_ticks: *stop_slippage_ticks }, triggers, latency, liquidate })
    }

    /// What ends a bar that is made of an instrument's trades; none where the data is taken as it is.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn bars_from(&self, universe: &Universe, at: InstrumentId) -> Result<Option<BarsFrom>, SpecError> {
        Ok(match &self.data.bars {
            None => None,
            Some(BarsFromSpec::Interval {}) => {
                let interval = self.data.interval.parse().map_err(|error| field("data.interval", error))?;
                Some(BarsFrom::Time(interval))
            }
            Some(BarsFromSpec::Ticks(0)) => return Err(field("data.bars.ticks", "expected more than zero, found 0")),
            Some(BarsFromSpec::Ticks(count)) => Some(BarsFrom::Ticks(*count)),
            Some(BarsFromSpec::Volume(volume)) => Some(BarsFrom::Volume(lots("data.bars.volume", universe, at, volume)?)),
        })
    }

    /// The same with costs so many times as high: fees, and what stops slip.
    ///
    /// # Errors
    /// [`SpecError`] for a rate that is no decimal.
    pub fn with_costs(&self, times: u32) -> Result<StrategyFile, SpecError> {
        let mut file = self.clone();
        for instrument in &mut file.instruments {
            for rate in [&mut instrument.fees.maker, &mut instrument.fees.taker].into_iter().flatten() {
                let decimal = parse_decimal(rate).map_err(|error| field("fees", error))?;
                let costlier = decimal.checked_mul(times.into()).ok_or_else(|| field("fees", "too high to be multiplied"))?;
                // A rebate is no cost, and not a larger one either.
                *rate = costlier.max(decimal).to_string();
            }
        }
        file.backtest.stop_slippage_ticks = file.backtest.stop_slippage_ticks.saturating_mul(times.into());
        Ok(file)
    }

    /// The same with one parameter of its strategy changed.
    ///
    /// # Errors
    /// [`SpecError`] for a parameter that the strategy does not have, or a value that it cannot take.
    pub fn with_parameter(&self, name: &str, value: &str) -> Result<StrategyFile, SpecError> {
        Ok(StrategyFile { strategy: self.strategy.with(name, value)?, ..self.clone() })
    }

    /// The strategy itself.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn build(&self, universe: &Universe) -> Result<Box<dyn Strategy + Send>, SpecError> {
        self.strategy.build(universe)
    }
}

fn set<T: std::str::FromStr>(into: &mut T, name: &str, value: &str) -> Result<(), SpecError> {
    *into = value.parse().map_err(|_| field("strategy", format!("{name}: {value:?} is no value for it")))?;
    Ok(())
}

impl StrategySpec {
    fn with(&self, name: &str, value: &str) -> Result<StrategySpec, SpecError> {
        let mut changed = self.clone();
        match (&mut changed, name) {
            (StrategySpec::SmaCross { fast, .. }, "fast") => set(fast, name, value)?,
            (StrategySpec::SmaCross { slow, .. }, "slow") => set(slow, name, value)?,
            (StrategySpec::MeanReversion { length, .. }, "length") => set(length, name, value)?,
            (StrategySpec::MeanReversion { enter, .. }, "enter") => set(enter, name, value)?,
            (StrategySpec::MeanReversion { leave, .. }, "leave") => set(leave, name, value)?,
            (StrategySpec::DonchianBreakout { enter, .. }, "enter") => set(enter, name, value)?,
            (StrategySpec::DonchianBreakout { leave, .. }, "leave") => set(leave, name, value)?,
            (StrategySpec::MarketMaker { half_spread_ticks, .. }, "halfSpreadTicks") => set(half_spread_ticks, name, value)?,
            (StrategySpec::MarketMaker { tolerance_ticks, .. }, "toleranceTicks") => set(tolerance_ticks, name, value)?,
            (
                StrategySpec::SmaCross { qty, .. }
                | StrategySpec::MeanReversion { qty, .. }
                | StrategySpec::DonchianBreakout { qty, .. }
                | StrategySpec::MarketMaker { qty, .. },
                "qty",
            ) => set(qty, name, value)?,
            (
                StrategySpec::SmaCross { .. }
                | StrategySpec::MeanReversion { .. }
                | StrategySpec::DonchianBreakout { .. }
                | StrategySpec::MarketMaker { .. }
                | StrategySpec::BuyAndHold { .. },
                _,
            ) => return Err(field("strategy", format!("it has no parameter {name} that can be swept"))),
        }
        Ok(changed)
    }

    fn build(&self, universe: &Universe) -> Result<Box<dyn Strategy + Send>, SpecError> {
        Ok(match self {
            StrategySpec::SmaCross { instrument, fast, slow, qty } => {
                let at = find(universe, instrument)?;
                if *fast == 0 || fast >= slow {
                    return Err(field("strategy.fast", format!("expected 1 up to slow - 1, found {fast} with slow {slow}")));
                }
                Box::new(SmaCross::new(
                    at,
                    length("strategy.fast", *fast)?,
                    length("strategy.slow", *slow)?,
                    lots("strategy.qty", universe, at, qty)?,
                ))
            }
            StrategySpec::MeanReversion { instrument, length: bars, enter, leave, qty } => {
                let at = find(universe, instrument)?;
                if !(enter.is_finite() && leave.is_finite() && enter > leave) {
                    return Err(field("strategy.enter", format!("expected more than leave, found {enter} with leave {leave}")));
                }
                let (length, qty) = (length("strategy.length", *bars)?, lots("strategy.qty", universe, at, qty)?);
                Box::new(MeanReversion::new(at, MeanReversionSettings { length, enter: *enter, leave: *leave, qty }))
            }
            StrategySpec::DonchianBreakout { instrument, enter, leave, qty } => {
                let at = find(universe, instrument)?;
                let (enter, leave) = (length("strategy.enter", *enter)?, length("strategy.leave", *leave)?);
                Box::new(DonchianBreakout::new(at, enter, leave, lots("strategy.qty", universe, at, qty)?))
            }
            StrategySpec::MarketMaker { instrument, half_spread_ticks, qty, max_position, tolerance_ticks } => {
                let at = find(universe, instrument)?;
                if *half_spread_ticks <= 0 || *tolerance_ticks < 0 {
                    return Err(field("strategy.halfSpreadTicks", "expected more than zero, and a tolerance of zero or more"));
                }
                let (qty, max_position) =
                    (lots("strategy.qty", universe, at, qty)?, lots("strategy.maxPosition", universe, at, max_position)?);
                let (half_spread_ticks, tolerance_ticks) = (*half_spread_ticks, *tolerance_ticks);
                Box::new(MarketMaker::new(at, MarketMakerSettings { half_spread_ticks, qty, max_position, tolerance_ticks }))
            }
            StrategySpec::BuyAndHold { instrument, qty, fraction_bps } => {
                let at = find(universe, instrument)?;
                let size = match (qty, fraction_bps) {
                    (Some(qty), None) => Size::Lots(lots("strategy.qty", universe, at, qty)?),
                    (None, Some(bps)) if (1..=10_000).contains(bps) => Size::Fraction(Bps(*bps)),
                    (None, _) | (Some(_), Some(_)) => return Err(field("strategy.qty", "expected qty, or fractionBps of 1 to 10000")),
                };
                Box::new(BuyAndHold::new(at, size))
            }
        })
    }
}

/// The longest window of an indicator, bars: more than a day of seconds is a mistake, and memory is taken for all of it.
const MAX_LENGTH: usize = 100_000;

fn length(name: &'static str, bars: usize) -> Result<usize, SpecError> {
    if (1..=MAX_LENGTH).contains(&bars) { Ok(bars) } else { Err(field(name, format!("expected 1 to {MAX_LENGTH} bars, found {bars}"))) }
}

fn find(universe: &Universe, symbol: &str) -> Result<InstrumentId, SpecError> {
    universe.find(symbol).ok_or_else(|| field("strategy.instrument", format!("{symbol} is none of the file's instruments")))
}

fn lots(name: &'static str, universe: &Universe, at: InstrumentId, text: &str) -> Result<Qty, SpecError> {
    let decimal = parse_decimal(text).map_err(|error| field(name, error))?;
    let qty = universe.get(at).qty(decimal).map_err(|error| field(name, error))?;
    if qty > Qty::ZERO { Ok(qty) } else { Err(field(name, format!("expected more than zero, found {text}"))) }
}
