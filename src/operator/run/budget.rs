//! Holding what the next effect may cost, and settling what it did.

use std::time::Duration;

use reeve_core::budget::{Amounts, Dimension, Price};
use reeve_core::journal::{Actor, BudgetReserved, BudgetSettled, Cause, Event, Suspension};
use reeve_core::model::{ModelRequest, Usage};

use super::driver::Driver;
use crate::error::Error;

/// Whether the effect may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It may, for at most this long.
    For(Duration),
    /// It does not fit: the run stands still, with the reason in its rows.
    Not,
}

impl Driver {
    /// Stages a reservation for the effect whose intent is staged next, cut to the time that the budget has left.
    ///
    /// A run without a budget holds nothing. A reservation that is open already (the effect was begun before a crash) is kept.
    pub(super) async fn hold(&mut self, key: String, wish: Amounts) -> Result<Held, Error> {
        let time = Duration::from_millis(wish.runtime_ms);
        let Some(account) = self.log.state().started.as_ref().and_then(|started| started.spec.budget.clone()) else {
            return Ok(Held::For(time));
        };
        if let Some(open) = self.log.state().gates.reserved.as_ref().filter(|open| open.key == key) {
            return Ok(Held::For(Duration::from_millis(open.amounts.runtime_ms)));
        }
        let balance = self.context.journal.balance(&account).await?;
        let left_ms = balance.left(Dimension::RuntimeMs).unwrap_or(u64::MAX).max(1);
        let amounts = Amounts { runtime_ms: wish.runtime_ms.min(left_ms), ..wish };
        if let Err(exceeded) = balance.fits(&account, &amounts) {
            self.out_of_budget(amounts, &exceeded.to_string())?;
            return Ok(Held::Not);
        }
        self.log.stage(&Actor::Operator, Event::BudgetReserved(BudgetReserved { account, key, amounts }))?;
        Ok(Held::For(Duration::from_millis(amounts.runtime_ms)))
    }

    /// Makes the staged intent durable; another run may have been faster, and then nothing of it is.
    pub(super) async fn commit_held(&mut self) -> Result<bool, Error> {
        let wish = self.log.state().gates.reserved.as_ref().map(|reserved| reserved.amounts);
        match self.commit().await {
            Ok(()) => Ok(true),
            Err(Error::Exceeded(exceeded)) => {
                self.out_of_budget(wish.unwrap_or_default(), &exceeded.to_string())?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn out_of_budget(&mut self, wish: Amounts, why: &str) -> Result<(), Error> {
        self.budget_wish = Some(wish);
        let message = format!("{why}. Raise the limit (kubectl reeve budget raise), and the run goes on.");
        self.log.stage(&Actor::Operator, Event::RunSuspended(Suspension { cause: Cause::Budget, message }))
    }

    /// Whether what the run waits for may fit by now.
    pub(super) async fn budget_may_fit(&self) -> Result<bool, Error> {
        let Some(account) = self.log.state().started.as_ref().and_then(|started| started.spec.budget.clone()) else { return Ok(true) };
        let balance = self.context.journal.balance(&account).await?;
        // After a restart nobody knows what it waited for: it asks again, and is told again.
        let wish = self.budget_wish.unwrap_or_default();
        let left_ms = balance.left(Dimension::RuntimeMs).unwrap_or(u64::MAX).max(1);
        Ok(balance.fits(&account, &Amounts { runtime_ms: wish.runtime_ms.min(left_ms), ..wish }).is_ok())
    }

    /// Stages what the effect in hand did cost. None: nobody knows, so it counts in full.
    pub(super) fn settle(&mut self, used: Option<Amounts>) -> Result<(), Error> {
        let Some(reserved) = self.log.state().gates.reserved.clone() else { return Ok(()) };
        let BudgetReserved { account, key, amounts } = reserved;
        // What killing at the limit took longer than the limit is Reeve's own time.
        let in_time = |used: Amounts| Amounts { runtime_ms: used.runtime_ms.min(amounts.runtime_ms), ..used };
        let settled = BudgetSettled { account, key, used: used.map_or(amounts, in_time), in_full: used.is_none() };
        self.log.stage(&Actor::Operator, Event::BudgetSettled(settled))
    }
}

/// The most that a request can use in this time.
pub(super) fn of_request(request: &ModelRequest, price: &Price, deadline: Duration) -> Amounts {
    reeve_core::budget::of_request(request, price, ms(deadline))
}

/// What an answer used.
pub(super) fn of_answer(usage: &Usage, price: &Price, took: Duration) -> Amounts {
    reeve_core::budget::of_answer(usage, price, ms(took))
}

/// Only time: a request that was refused, or never sent.
pub(super) fn of_refusal(took: Duration) -> Amounts {
    Amounts { runtime_ms: ms(took), ..Amounts::default() }
}

/// A tool call of this length.
pub(super) fn of_call(time: Duration) -> Amounts {
    Amounts { tool_calls: 1, runtime_ms: ms(time), ..Amounts::default() }
}

/// Milliseconds, a begun one whole.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
