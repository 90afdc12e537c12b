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

pub(super) use daily_loss::{allowed as daily_loss_allowed, breach as daily_loss_breach};
pub(super) use drawdown::{allowed as drawdown_allowed, breach as drawdown_breach};
pub(super) use exposure::gross;
pub(super) use position::worst_case;

use super::Denial;
use super::ask::Ask;

/// For which orders a control is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// For every order.
    All,
    /// Not for an order that makes the position smaller: what gets an account out of the market is never blocked by what limits its way in.
    Entering,
    /// Not for the sale at the end of the data: there is no venue any more that it could be about.
    WhileThereIsAVenue,
}

/// The order of the controls, written once. They are called by name and not through a table, so that each reads what the one before it
/// has already brought near.
macro_rules! chain {
    ($($orders:ident $check:ident),* $(,)?) => {
        /// Asks one control after the other; the first that denies is the answer.
        #[inline]
        pub(super) fn judge(ask: &Ask<'_>, at_end: bool) -> Result<(), Denial> {
            $(
                let skipped = match For::$orders {
                    For::All => false,
                    For::Entering => ask.reducing,
                    For::WhileThereIsAVenue => at_end,
                };
                if !skipped {
                    $check::judge(ask)?;
                }
            )*
            Ok(())
        }
    };
}

// Row numbers are those of the field's tables.
chain! {
    All state,
    All instrument,
    Entering allowed,                 // 30
    Entering hours,                   // 31
    WhileThereIsAVenue market_status, // 19
    All clock_skew,                   // 21
    WhileThereIsAVenue market_data,   // 18
    All reconciled,                   // 22
    All error_rate,                   // 20
    All order_qty,                    // 1
    Entering order_notional,          // 2
    All collar,                       // 3
    Entering duplicate,               // 6
    WhileThereIsAVenue rate,          // 4, by windows of their own
    Entering repeat,                  // 5
    Entering position,                // 7
    Entering exposure,                // 8
    Entering open_orders,             // 10
    All self_trade,                   // 17
    Entering turnover,                // 28
    Entering fee_budget,              // 29
    Entering cancel_ratio,            // 32
    Entering slippage,                // 33
    Entering daily_loss,              // 11
    Entering drawdown,                // 12
    Entering loss_streak,             // 13
    Entering sizing,                  // 14
    Entering funds,
}
