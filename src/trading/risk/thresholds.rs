//! Amounts that limits come to at the equity of the moment, kept while it does not change: dividing anew for each order costs more than
//! all comparisons of the chain.

use super::Denial;
use super::checks;
use super::latch::Latches;
use super::limits::Limits;
use crate::number::{Money, Overflow};

/// Row 8, 11 and 12 in the reporting currency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    /// What they were computed from.
    from: (Option<Money>, Money, Money),
    /// Row 8: the most exposure at this equity.
    pub(super) leverage: Money,
    /// Row 11, if it is breached.
    pub(super) daily_loss: Option<Denial>,
    /// Row 12, if it is breached.
    pub(super) drawdown: Option<Denial>,
}

impl Thresholds {
    /// At this equity. Without any, nothing is allowed; that it is missing is said by whoever asks for it.
    pub(super) fn at(limits: &Limits, latches: &Latches, equity: Option<Money>) -> Result<Thresholds, Overflow> {
        let from = (equity, latches.day_start, latches.high_water);
        let Some(equity) = equity.filter(|equity| *equity > Money::ZERO) else {
            return Ok(Thresholds { from, leverage: Money::ZERO, daily_loss: None, drawdown: None });
        };
        Ok(Thresholds {
            from,
            leverage: equity.share(i128::from(limits.max_leverage_bps), 10_000)?,
            daily_loss: checks::daily_loss_breach(limits, latches.day_start, equity),
            drawdown: checks::drawdown_breach(limits, latches.high_water, equity),
        })
    }

    /// Whether they still hold.
    pub(super) fn hold(&self, latches: &Latches, equity: Option<Money>) -> bool {
        self.from == (equity, latches.day_start, latches.high_water)
    }
}
