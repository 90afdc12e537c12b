//! Why an order was denied, in the words that alerts and journals use.

use std::fmt;

use crate::number::{Money, Qty};

/// The code of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Row 1: the order's quantity.
    MaxOrderQty,
    /// Row 2: the order's notional.
    MaxOrderNotional,
    /// Row 3: the price is too far from the market.
    PriceCollar,
    /// Row 4: too many messages.
    RateLimit,
    /// Row 5: the same order too often; a person has to look.
    RepeatHalt,
    /// Row 6: the same intent twice.
    Duplicate,
    /// Row 7: the position that could come of it.
    MaxPosition,
    /// Row 8: what the whole account would hold.
    Exposure,
    /// Row 10: open orders.
    OpenOrders,
    /// Row 11: the day's loss.
    DailyLoss,
    /// Row 12: the loss from the highest equity.
    Drawdown,
    /// Row 13: losses in a row, or too much at risk in one trade.
    LossStreak,
    /// Row 17: it would trade with an order of our own.
    SelfTrade,
    /// Row 18: no fresh data.
    StaleData,
    /// Row 18: the price jumped and nothing has confirmed it.
    PriceJump,
    /// Row 18: the book is crossed.
    BookCrossed,
    /// Row 19: the instrument does not trade, or not like this.
    MarketStatus,
    /// Row 19: the venue is about to shut down.
    ShutdownWindow,
    /// Row 20: the venue refuses too much.
    ErrorRate,
    /// Row 21: our clock and the venue's are apart.
    ClockSkew,
    /// Row 22: our books and the venue's are not known to agree.
    Unreconciled,
    /// Row 15: the kill switch.
    Killed,
    /// Something that a control needs is missing, zero or negative.
    MissingInput,
    /// Row 28: the day's turnover.
    DailyTurnover,
    /// Row 29: the day's fees.
    FeeBudget,
    /// Row 30: an instrument that the limits do not name.
    NotAllowed,
    /// Row 31: outside trading hours.
    TradingHours,
    /// Row 32: too many cancels for the orders.
    CancelRatio,
    /// Row 33: fills too far from the mid of when they were sent.
    Slippage,
    /// Row 34: the strategy gave no answer.
    StrategySilent,
    /// The order contradicts itself, or the instrument's own filters.
    OrderInvalid,
    /// A reducing order too small for the venue.
    Dust,
    /// The account cannot pay for it, or does not own what it sells.
    InsufficientBalance,
    /// An amount left the ledger's range.
    LedgerOverflow,
}

impl Code {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Code::MaxOrderQty => "MAX_ORDER_QTY",
            Code::MaxOrderNotional => "MAX_ORDER_NOTIONAL",
            Code::PriceCollar => "PRICE_COLLAR",
            Code::RateLimit => "RATE_LIMIT",
            Code::RepeatHalt => "REPEAT_HALT",
            Code::Duplicate => "DUPLICATE",
            Code::MaxPosition => "MAX_POSITION",
            Code::Exposure => "EXPOSURE",
            Code::OpenOrders => "OPEN_ORDERS",
            Code::DailyLoss => "DAILY_LOSS",
            Code::Drawdown => "DRAWDOWN",
            Code::LossStreak => "LOSS_STREAK",
            Code::SelfTrade => "SELF_TRADE",
            Code::StaleData => "STALE_DATA",
            Code::PriceJump => "PRICE_JUMP",
            Code::BookCrossed => "BOOK_CROSSED",
            Code::MarketStatus => "MARKET_STATUS",
            Code::ShutdownWindow => "SHUTDOWN_WINDOW",
            Code::ErrorRate => "ERROR_RATE",
            Code::ClockSkew => "CLOCK_SKEW",
            Code::Unreconciled => "UNRECONCILED",
            Code::Killed => "KILLED",
            Code::MissingInput => "MISSING_INPUT",
            Code::DailyTurnover => "DAILY_TURNOVER",
            Code::FeeBudget => "FEE_BUDGET",
            Code::NotAllowed => "NOT_ALLOWED",
            Code::TradingHours => "TRADING_HOURS",
            Code::CancelRatio => "CANCEL_RATIO",
            Code::Slippage => "SLIPPAGE",
            Code::StrategySilent => "STRATEGY_SILENT",
            Code::OrderInvalid => "ORDER_INVALID",
            Code::Dust => "DUST",
            Code::InsufficientBalance => "INSUFFICIENT_BALANCE",
            Code::LedgerOverflow => "LEDGER_OVERFLOW",
        }
    }

    /// Every code.
    pub const ALL: [Code; 34] = [
        Code::MaxOrderQty,
        Code::MaxOrderNotional,
        Code::PriceCollar,
        Code::RateLimit,
        Code::RepeatHalt,
        Code::Duplicate,
        Code::MaxPosition,
        Code::Exposure,
        Code::OpenOrders,
        Code::DailyLoss,
        Code::Drawdown,
        Code::LossStreak,
        Code::SelfTrade,
        Code::StaleData,
        Code::PriceJump,
        Code::BookCrossed,
        Code::MarketStatus,
        Code::ShutdownWindow,
        Code::ErrorRate,
        Code::ClockSkew,
        Code::Unreconciled,
        Code::Killed,
        Code::MissingInput,
        Code::DailyTurnover,
        Code::FeeBudget,
        Code::NotAllowed,
        Code::TradingHours,
        Code::CancelRatio,
        Code::Slippage,
        Code::StrategySilent,
        Code::OrderInvalid,
        Code::Dust,
        Code::InsufficientBalance,
        Code::LedgerOverflow,
    ];

    /// The code of a word.
    pub fn named(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Lots.
    Lots(Qty),
    /// Reporting currency.
    Money(Money),
    /// Hundredths of a percent.
    Bps(i64),
    /// Things.
    Count(u64),
    /// Milliseconds.
    Ms(i64),
    /// In words.
    Words(&'static str),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Lots(qty) => write!(f, "{} lots", qty.0),
            Figure::Money(money) => write!(f, "{money}"),
            Figure::Bps(bps) => write!(f, "{bps} bps"),
            Figure::Count(count) => write!(f, "{count}"),
            Figure::Ms(ms) => write!(f, "{ms} ms"),
            Figure::Words(words) => f.write_str(words),
        }
    }
}

/// A denied order: which control, what it allows, what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: allowed {allowed}, found {found}")]
pub struct Denial {
    /// The control.
    pub code: Code,
    /// What it allows.
    pub allowed: Figure,
    /// What it found.
    pub found: Figure,
}

impl Denial {
    /// A denial.
    pub(crate) fn new(code: Code, allowed: Figure, found: Figure) -> Denial {
        Denial { code, allowed, found }
    }

    /// Something that a control needs is missing, zero or negative.
    pub(crate) fn missing(needed: &'static str) -> Denial {
        Denial::new(Code::MissingInput, Figure::Words(needed), Figure::Words("none, zero or negative"))
    }
}

impl From<crate::number::Overflow> for Denial {
    fn from(_: crate::number::Overflow) -> Denial {
        Denial::new(Code::LedgerOverflow, Figure::Words("amounts of 128 bits at scale 24"), Figure::Words("more"))
    }
}
