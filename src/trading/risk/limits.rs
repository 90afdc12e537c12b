//! What a strategy may do: read from a file, bounded by the ceilings, compiled to integers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ceilings;
use crate::instrument::{InstrumentId, Universe};
use crate::number::{Money, Qty, parse_decimal};

/// Which ceilings bound the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CeilingSet {
    /// Those of [`ceilings`].
    #[default]
    Standard,
    /// None but leverage: for research on recorded data. A result under them is not promotable.
    Research,
}

/// So many of something in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountIn {
    /// How many.
    pub count: u32,
    /// In how long.
    pub window_ms: i64,
}

/// Row 13: losing round trips in a row, and the pause that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LossStreak {
    /// Losing round trips in a row that start the pause.
    pub trades: u32,
    /// How long no position is opened.
    pub pause_ms: i64,
}

/// Row 33: the average slippage of the last fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlippageLimit {
    /// The most that the average may be.
    pub bps: u32,
    /// Over how many fills; fewer say nothing yet.
    pub fills: u32,
}

/// Row 31: from a minute of the UTC day to another; a window over midnight has `from` after `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hours {
    /// First minute of the UTC day.
    pub from_minute: u16,
    /// First minute of the UTC day that is outside again.
    pub to_minute: u16,
}

/// What a file says of one instrument's limits. Both are mandatory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstrumentLimitsSpec {
    /// Row 1.
    pub max_order_qty: Option<String>,
    /// Row 7.
    pub max_position: Option<String>,
}

/// What a file says of limits. What it leaves out is at its ceiling, or, where there is none, not limited.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsSpec {
    /// Row 30: the instruments that may be traded, with rows 1 and 7.
    pub instruments: BTreeMap<String, InstrumentLimitsSpec>,
    /// Which ceilings.
    #[serde(default)]
    pub ceilings: CeilingSet,
    /// Row 2.
    pub max_order_notional: Option<Money>,
    /// Row 7, in the reporting currency.
    pub max_position_notional: Option<Money>,
    /// Row 8.
    pub max_gross_exposure: Option<Money>,
    /// Row 8, exposure as a part of equity.
    pub max_leverage_bps: Option<u32>,
    /// Row 3.
    pub price_collar_bps: Option<u32>,
    /// Row 4.
    pub orders_per_second: Option<u32>,
    /// Row 4, a venue's own bucket.
    pub venue_orders: Option<CountIn>,
    /// Row 5.
    pub repeat: Option<CountIn>,
    /// Row 6.
    pub duplicate_window_ms: Option<i64>,
    /// Row 10.
    pub max_open_orders: Option<u32>,
    /// Row 10, value of the open orders.
    pub max_open_notional: Option<Money>,
    /// Row 11, part of day-start equity.
    pub max_daily_loss_bps: Option<u32>,
    /// Row 11, in the reporting currency.
    pub max_daily_loss: Option<Money>,
    /// Row 11: after the next UTC midnight the strategy may trade again by itself. For paper and backtests.
    #[serde(default)]
    pub auto_rearm: bool,
    /// Whether positions are closed once a control stopped trading.
    #[serde(default)]
    pub flatten: bool,
    /// Row 12, part of the highest equity.
    pub max_drawdown_bps: Option<u32>,
    /// Row 13.
    pub loss_streak: Option<LossStreak>,
    /// Row 13: what one trade may lose at its stop, part of equity; an order that opens then needs a stop.
    pub max_trade_risk_bps: Option<u32>,
    /// Row 18.
    pub data_age_ms: Option<i64>,
    /// Row 18: the widest spread that is traded on.
    pub max_spread_bps: Option<u32>,
    /// Row 18: the furthest that a mark may move at once and be believed.
    pub max_jump_bps: Option<u32>,
    /// Row 19: how long before an announced shutdown nothing is opened.
    pub shutdown_lead_ms: Option<i64>,
    /// Row 20.
    pub errors: Option<CountIn>,
    /// Row 21.
    pub clock_skew_ms: Option<i64>,
    /// Row 28.
    pub daily_turnover: Option<Money>,
    /// Row 29.
    pub fee_budget: Option<Money>,
    /// Row 31.
    pub hours: Option<Hours>,
    /// Row 32: cancels for a hundred orders of a day, from the twentieth order on.
    pub max_cancels_percent: Option<u32>,
    /// Row 33.
    pub slippage: Option<SlippageLimit>,
}

/// Limits that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A limit above its ceiling.
    #[error("limits: {field}: {found} is above its ceiling, {ceiling}; a configuration can only tighten it")]
    AboveCeiling {
        /// The field.
        field: &'static str,
        /// The limit.
        found: String,
        /// The ceiling.
        ceiling: String,
    },
    /// A limit that is zero or negative.
    #[error("limits: {field}: expected more than zero, found {found}")]
    NotPositive {
        /// The field.
        field: &'static str,
        /// The limit.
        found: String,
    },
    /// A mandatory limit that is missing, off the grid, or on an instrument that is not there.
    #[error("limits of instrument {symbol}: {field}: {why}")]
    Instrument {
        /// The instrument.
        symbol: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Rows 1 and 7 of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentLimits {
    /// Row 1.
    pub max_order_qty: Qty,
    /// Row 7.
    pub max_position: Qty,
    /// Row 2 in the instrument's own ticks × lots: one product of an order is compared with it, and no money is reckoned.
    pub(super) max_order_steps: i128,
    /// Row 7 in money, alike.
    pub(super) max_position_steps: i128,
}

/// Limits as the chain reads them.
///
/// Guarantees: none is above its ceiling, none is zero or negative.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(super) instruments: Vec<Option<InstrumentLimits>>,
    pub(super) max_order_notional: Money,
    pub(super) max_position_notional: Money,
    pub(super) max_gross_exposure: Money,
    pub(super) max_leverage_bps: u32,
    pub(super) collar_bps: u32,
    pub(super) orders: CountIn,
    pub(super) venue_orders: Option<CountIn>,
    pub(super) repeat: Option<CountIn>,
    pub(super) duplicate_window_ms: i64,
    pub(super) max_open_orders: u32,
    pub(super) max_open_notional: Option<Money>,
    pub(super) daily_loss_bps: u32,
    pub(super) daily_loss: Option<Money>,
    pub(super) auto_rearm: bool,
    pub(super) flatten: bool,
    pub(super) drawdown_bps: u32,
    pub(super) loss_streak: Option<LossStreak>,
    pub(super) max_trade_risk_bps: Option<u32>,
    pub(super) data_age_ms: i64,
    pub(super) max_spread_bps: Option<u32>,
    pub(super) max_jump_bps: Option<u32>,
    pub(super) shutdown_lead_ms: i64,
    pub(super) errors: Option<CountIn>,
    pub(super) clock_skew_ms: i64,
    pub(super) daily_turnover: Option<Money>,
    pub(super) fee_budget: Option<Money>,
    pub(super) hours: Option<Hours>,
    pub(super) max_cancels_percent: Option<u32>,
    pub(super) slippage: Option<SlippageLimit>,
    promotable: bool,
}

/// Row 6 when a file names no window, milliseconds.
const DUPLICATE_WINDOW_MS: i64 = 1_000;
/// Row 19 when a file names no lead, milliseconds: a venue announces a shutdown about ten minutes ahead.
const SHUTDOWN_LEAD_MS: i64 = 60_000;
/// Row 4's window, milliseconds.
const SECOND_MS: i64 = 1_000;
/// Without a ceiling: far beyond any use, and still with room for arithmetic.
const UNBOUNDED: Money = Money::whole(100_000_000_000);
const UNBOUNDED_COUNT: u32 = 1_000_000;

/// Reads fields against their ceilings.
struct Bounds {
    research: bool,
}

impl Bounds {
    fn number<T: PartialOrd + Copy + Default + std::fmt::Display>(
        &self,
        field: &'static str,
        found: Option<T>,
        ceiling: T,
        without: T,
    ) -> Result<T, LimitError> {
        let ceiling = if self.research { without } else { ceiling };
        let Some(found) = found else { return Ok(ceiling) };
        if found <= T::default() {
            return Err(LimitError::NotPositive { field, found: found.to_string() });
        }
        if found > ceiling {
            return Err(LimitError::AboveCeiling { field, found: found.to_string(), ceiling: ceiling.to_string() });
        }
        Ok(found)
    }
}

fn positive<T: PartialOrd + Copy + Default + std::fmt::Display>(field: &'static str, found: Option<T>) -> Result<Option<T>, LimitError> {
    match found {
        Some(value) if value <= T::default() => Err(LimitError::NotPositive { field, found: value.to_string() }),
        other => Ok(other),
    }
}

fn counted(field: &'static str, found: Option<CountIn>) -> Result<Option<CountIn>, LimitError> {
    positive(field, found.map(|found| found.count))?;
    positive(field, found.map(|found| found.window_ms))?;
    Ok(found)
}

impl Limits {
    /// Compiles limits for the instruments of a run.
    ///
    /// # Errors
    /// [`LimitError`] names the field: above its ceiling, not positive, missing.
    pub fn compile(spec: &LimitsSpec, universe: &Universe) -> Result<Limits, LimitError> {
        let bounds = Bounds { research: spec.ceilings == CeilingSet::Research };
        let money = |field, found, ceiling| bounds.number(field, found, Money::whole(ceiling), UNBOUNDED);
        positive("lossStreak", spec.loss_streak.map(|streak| i64::from(streak.trades).min(streak.pause_ms)))?;
        positive("slippage", spec.slippage.map(|slippage| slippage.bps.min(slippage.fills)))?;
        let per_second = bounds.number("ordersPerSecond", spec.orders_per_second, ceilings::ORDERS_PER_SECOND, UNBOUNDED_COUNT)?;
        let max_order_notional = money("maxOrderNotional", spec.max_order_notional, ceilings::ORDER_NOTIONAL)?;
        let max_position_notional = money("maxPositionNotional", spec.max_position_notional, ceilings::POSITION_NOTIONAL)?;
        Ok(Limits {
            instruments: instruments(spec, universe, max_order_notional, max_position_notional)?,
            max_order_notional,
            max_position_notional,
            max_gross_exposure: money("maxGrossExposure", spec.max_gross_exposure, ceilings::GROSS_EXPOSURE)?,
            max_leverage_bps: bounds.number("maxLeverageBps", spec.max_leverage_bps, ceilings::LEVERAGE_BPS, ceilings::LEVERAGE_BPS)?,
            collar_bps: bounds.number("priceCollarBps", spec.price_collar_bps, ceilings::COLLAR_BPS, 9_999)?,
            orders: CountIn { count: per_second, window_ms: SECOND_MS },
            venue_orders: counted("venueOrders", spec.venue_orders)?,
            repeat: counted("repeat", spec.repeat)?,
            duplicate_window_ms: positive("duplicateWindowMs", spec.duplicate_window_ms)?.unwrap_or(DUPLICATE_WINDOW_MS),
            max_open_orders: bounds.number("maxOpenOrders", spec.max_open_orders, ceilings::OPEN_ORDERS, UNBOUNDED_COUNT)?,
            max_open_notional: positive("maxOpenNotional", spec.max_open_notional)?,
            daily_loss_bps: bounds.number("maxDailyLossBps", spec.max_daily_loss_bps, ceilings::DAILY_LOSS_BPS, 10_000)?,
            daily_loss: positive("maxDailyLoss", spec.max_daily_loss)?,
            auto_rearm: spec.auto_rearm,
            flatten: spec.flatten,
            drawdown_bps: bounds.number("maxDrawdownBps", spec.max_drawdown_bps, ceilings::DRAWDOWN_BPS, 10_000)?,
            loss_streak: spec.loss_streak,
            max_trade_risk_bps: positive("maxTradeRiskBps", spec.max_trade_risk_bps)?,
            data_age_ms: bounds.number("dataAgeMs", spec.data_age_ms, ceilings::DATA_AGE_MS, 86_400_000)?,
            max_spread_bps: positive("maxSpreadBps", spec.max_spread_bps)?,
            max_jump_bps: positive("maxJumpBps", spec.max_jump_bps)?,
            shutdown_lead_ms: positive("shutdownLeadMs", spec.shutdown_lead_ms)?.unwrap_or(SHUTDOWN_LEAD_MS),
            errors: counted("errors", spec.errors)?,
            clock_skew_ms: bounds.number("clockSkewMs", spec.clock_skew_ms, ceilings::CLOCK_SKEW_MS, ceilings::CLOCK_SKEW_MS)?,
            daily_turnover: positive("dailyTurnover", spec.daily_turnover)?,
            fee_budget: positive("feeBudget", spec.fee_budget)?,
            hours: hours(spec.hours)?,
            max_cancels_percent: positive("maxCancelsPercent", spec.max_cancels_percent)?,
            slippage: spec.slippage,
            promotable: spec.ceilings == CeilingSet::Standard,
        })
    }

    /// Rows 1 and 7 of an instrument; none when it is not on the list.
    #[inline]
    pub fn of(&self, at: InstrumentId) -> Option<&InstrumentLimits> {
        self.instruments.get(usize::from(at.0)).and_then(Option::as_ref)
    }

    /// Whether a result under these limits may be promoted.
    pub fn promotable(&self) -> bool {
        self.promotable
    }

    /// Row 12, part of the highest equity.
    pub fn drawdown_bps(&self) -> u32 {
        self.drawdown_bps
    }

    /// What the account's markets need to know of them.
    pub fn market_rules(&self) -> crate::account::MarketRules {
        crate::account::MarketRules { data_age_ms: self.data_age_ms, max_jump_bps: self.max_jump_bps }
    }
}

fn hours(found: Option<Hours>) -> Result<Option<Hours>, LimitError> {
    const DAY_MINUTES: u16 = 24 * 60;
    match found {
        Some(hours) if hours.from_minute >= DAY_MINUTES || hours.to_minute > DAY_MINUTES || hours.from_minute == hours.to_minute => {
            let found = format!("{} to {}, which is no part of 0 to {DAY_MINUTES}", hours.from_minute, hours.to_minute);
            Err(LimitError::NotPositive { field: "hours", found })
        }
        other => Ok(other),
    }
}

fn instruments(spec: &LimitsSpec, universe: &Universe, order: Money, position: Money) -> Result<Vec<Option<InstrumentLimits>>, LimitError> {
    let mut compiled = vec![None; universe.len()];
    for (symbol, limits) in &spec.instruments {
        let wrong = |field, why: String| LimitError::Instrument { symbol: symbol.clone(), field, why };
        let at = universe.find(symbol).ok_or_else(|| wrong("symbol", "no such instrument in this run".to_owned()))?;
        let qty = |field, text: &Option<String>| {
            let text = text.as_deref().ok_or_else(|| wrong(field, "quantity limits are mandatory for each instrument".to_owned()))?;
            let decimal = parse_decimal(text).map_err(|error| wrong(field, error.to_string()))?;
            let qty = universe.get(at).qty(decimal).map_err(|error| wrong(field, error.to_string()))?;
            if qty > Qty::ZERO { Ok(qty) } else { Err(wrong(field, format!("expected more than zero, found {text}"))) }
        };
        compiled[usize::from(at.0)] = Some(InstrumentLimits {
            max_order_qty: qty("maxOrderQty", &limits.max_order_qty)?,
            max_position: qty("maxPosition", &limits.max_position)?,
            max_order_steps: universe.get(at).steps_within(order),
            max_position_steps: universe.get(at).steps_within(position),
        });
    }
    Ok(compiled)
}
