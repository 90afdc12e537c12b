//! Limits that no configuration can raise, in the reporting currency.

/// Row 2, whole units: a hundred times what an account trades by default.
pub const ORDER_NOTIONAL: i64 = 250_000;
/// Row 7, whole units.
pub const POSITION_NOTIONAL: i64 = 1_000_000;
/// Row 8, whole units.
pub const GROSS_EXPOSURE: i64 = 2_000_000;
/// Row 8: spot owns what it holds, so exposure never passes equity.
pub const LEVERAGE_BPS: u32 = 10_000;
/// Row 11: part of day-start equity.
pub const DAILY_LOSS_BPS: u32 = 500;
/// Row 12: part of the highest equity.
pub const DRAWDOWN_BPS: u32 = 2_000;
/// Row 3.
pub const COLLAR_BPS: u32 = 500;
/// Row 4: orders in any second.
pub const ORDERS_PER_SECOND: u32 = 10;
/// Row 10.
pub const OPEN_ORDERS: u32 = 200;
/// Row 18.
pub const DATA_AGE_MS: i64 = 10_000;
/// Row 21: what the venue itself accepts (`timestamp < serverTime + 1000`).
pub const CLOCK_SKEW_MS: i64 = 1_000;
