//! The controls, one a file, in the order in which they are asked. The first denial is the answer.

mod allowed;
mod cancel_ratio;
mod clock_skew;
mod collar;
mod daily_loss;
mod drawdown;
mod duplicate;
mod error_rate;
mod exposure;
mod fee_budget;
mod funds;
mod hours;
mod instrument;
mod loss_streak;
mod market_data;
mod market_status;
mod open_orders;
mod order_notional;
mod order_qty;
mod position;
mod rate;
mod reconciled;
mod repeat;
mod self_trade;
mod sizing;
mod slippage;
mod state;
mod turnover;

pub(super) use daily_loss::breach as daily_loss_breach;
pub(super) use drawdown::breach as drawdown_breach;
pub(super) use exposure::gross;
pub(super) use position::worst_case;

use super::Denial;
use super::ask::Ask;

/// One control.
pub(super) struct Check {
    /// Whether it is skipped for an order that makes the position smaller: what gets an account out of the market is never blocked by
    /// what limits its way in.
    pub(super) skipped_when_reducing: bool,
    /// Whether it is skipped for the sale at the end of the data: there is no venue any more that it could be about.
    pub(super) skipped_at_end: bool,
    pub(super) judge: fn(&Ask<'_>) -> Result<(), Denial>,
}

const fn always(judge: fn(&Ask<'_>) -> Result<(), Denial>) -> Check {
    Check { skipped_when_reducing: false, skipped_at_end: false, judge }
}

const fn entering(judge: fn(&Ask<'_>) -> Result<(), Denial>) -> Check {
    Check { skipped_when_reducing: true, skipped_at_end: false, judge }
}

const fn of_the_venue(judge: fn(&Ask<'_>) -> Result<(), Denial>) -> Check {
    Check { skipped_when_reducing: false, skipped_at_end: true, judge }
}

/// The chain. Row numbers are those of the field's tables.
pub(super) const CHAIN: [Check; 28] = [
    always(state::judge),
    always(instrument::judge),
    entering(allowed::judge),           // 30
    entering(hours::judge),             // 31
    of_the_venue(market_status::judge), // 19
    always(clock_skew::judge),          // 21
    of_the_venue(market_data::judge),   // 18
    always(reconciled::judge),          // 22
    always(error_rate::judge),          // 20
    always(order_qty::judge),           // 1
    entering(order_notional::judge),    // 2
    always(collar::judge),              // 3
    entering(duplicate::judge),         // 6
    of_the_venue(rate::judge),          // 4, by windows of their own
    entering(repeat::judge),            // 5
    entering(position::judge),          // 7
    entering(exposure::judge),          // 8
    entering(open_orders::judge),       // 10
    always(self_trade::judge),          // 17
    entering(turnover::judge),          // 28
    entering(fee_budget::judge),        // 29
    entering(cancel_ratio::judge),      // 32
    entering(slippage::judge),          // 33
    entering(daily_loss::judge),        // 11
    entering(drawdown::judge),          // 12
    entering(loss_streak::judge),       // 13
    entering(sizing::judge),            // 14
    entering(funds::judge),
];
