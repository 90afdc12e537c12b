//! A strategy file against data, from the first event to the result.

use std::sync::Arc;

use super::{Engine, EngineError, Outcome, Record};
use crate::account::Account;
use crate::input::{InputError, Source};
use crate::number::Overflow;
use crate::order::StrategyTag;
use crate::risk::{Guard, GuardStart, InMemory, Inputs, LatchKey};
use crate::spec::{SpecError, StrategyFile};
use crate::time::Time;

/// A backtest that came to no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The strategy file.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The data.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An amount does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// The account of a backtest: latches are keyed by it.
const ACCOUNT: &str = "backtest";

/// Runs a strategy file against data.
///
/// Guarantees: the same file and data give the same result, to the last digit and the hash.
///
/// # Errors
/// [`RunError`]: nothing of a run that stopped early is a result.
pub fn run<R: Record>(file: &StrategyFile, mut data: impl Source, record: R) -> Result<(Outcome, R), RunError> {
    let universe = Arc::new(file.universe()?);
    let limits = file.limits(&universe)?;
    let strategy = file.build(&universe)?;
    let account = Account::new(universe, limits.market_rules(), file.cash)?;
    let first = data.advance()?;
    let key = LatchKey { account: ACCOUNT.to_owned(), strategy: file.name.clone() };
    let start = GuardStart { key, epoch: 1, now: first.map_or(Time(0), |key| key.time) };
    let guard = Guard::start(start, limits, &account, Inputs::of_backtest(), InMemory::default());
    let mut engine = Engine::new(file.settings()?, account, guard, StrategyTag::of(&file.name), strategy, record)?;
    let mut next = first;
    while next.is_some() {
        if let Some(event) = data.current() {
            engine.market(&event)?;
        }
        next = data.advance()?;
    }
    Ok(engine.finish()?)
}
