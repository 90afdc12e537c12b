//! Amounts that limits come to at the equity of the moment, kept while it does not change: dividing anew for each order costs more than
//! all comparisons of the chain.

use super::Denial;
use super::checks;
use super::latch::Latches;
use super::limits::Limits;
use crate::account::Account;
use crate::number::{Money, Overflow};

/// What may be lost, by rows 11 and 12: it moves with the start of a day and with a new highest equity only.
#[derive(Clone, Copy, Debug)]
pub(super) struct MayLose {
    /// Day start and high-water mark that it is a part of.
    of: (Money, Money),
    daily: Result<Money, Overflow>,
    drawdown: Result<Money, Overflow>,
}

impl MayLose {
    pub(super) fn at(limits: &Limits, latches: &Latches) -> MayLose {
        let of = (latches.day_start, latches.high_water);
        MayLose { of, daily: checks::daily_loss_allowed(limits, of.0), drawdown: checks::drawdown_allowed(limits, of.1) }
    }

    /// Brings it up to date.
    pub(super) fn follow(&mut self, limits: &Limits, latches: &Latches) {
        if self.of != (latches.day_start, latches.high_water) {
            *self = MayLose::at(limits, latches);
        }
    }

    /// Row 11, if it is breached at this equity.
    pub(super) fn daily_loss(&self, equity: Money) -> Option<Denial> {
        checks::daily_loss_breach(self.daily, self.of.0, equity)
    }

    /// Row 12, if it is breached at this equity.
    pub(super) fn drawdown(&self, equity: Money) -> Option<Denial> {
        checks::drawdown_breach(self.drawdown, self.of.1, equity)
    }
}

/// Row 8, 11 and 12 in the reporting currency.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    /// How often the account's equity had changed when they were computed; none when day start or high-water mark have moved since.
    from: Option<u64>,
    /// Whether equity is known and above zero.
    pub(super) solvent: bool,
    /// Row 8: the most exposure, in money and at this equity.
    pub(super) exposure: Money,
    /// Row 11, if it is breached.
    pub(super) daily_loss: Option<Denial>,
    /// Row 12, if it is breached.
    pub(super) drawdown: Option<Denial>,
}

impl Thresholds {
    /// At this equity. Without any, nothing is allowed; that it is missing is said by whoever asks for it.
    #[inline(never)]
    pub(super) fn at(limits: &Limits, may_lose: &MayLose, account: &Account) -> Result<Thresholds, Overflow> {
        let from = Some(account.equity_changes());
        let Some(equity) = account.equity().filter(|equity| *equity > Money::ZERO) else {
            return Ok(Thresholds { from, ..Thresholds::default() });
        };
        let leverage = match limits.max_leverage_bps {
            10_000 => equity,
            bps => equity.share(i128::from(bps), 10_000)?,
        };
        let exposure = limits.max_gross_exposure.min(leverage);
        Ok(Thresholds { from, solvent: true, exposure, daily_loss: may_lose.daily_loss(equity), drawdown: may_lose.drawdown(equity) })
    }

    /// Whether they still hold.
    #[inline]
    pub(super) fn hold(&self, account: &Account) -> bool {
        self.from == Some(account.equity_changes())
    }

    /// Day start or high-water mark have moved.
    pub(super) fn forget(&mut self) {
        self.from = None;
    }
}
