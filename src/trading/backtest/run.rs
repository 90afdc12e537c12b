//! A strategy file against data, from the first event to the result.

use std::sync::Arc;

use super::{Engine, EngineError, Outcome, Record};
use crate::account::Account;
use crate::input::{InputError, Source};
use crate::number::Overflow;
use crate::order::StrategyTag;
use crate::risk::{Guard, GuardStart, InMemory, Inputs, LatchKey, LatchStore};
use crate::spec::{SpecError, StrategyFile};
use crate::strategy::Strategy;
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
    /// The data, when it was to be read again.
    #[error("the data cannot be read again: {0}")]
    Reopen(String),
    /// A sweep of more trials than anyone reads.
    #[error("a sweep has at most {max} trials; try fewer values", max = super::sweep::MOST_TRIALS)]
    TooManyTrials,
    /// The run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An amount does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// The account of a backtest: latches are keyed by it.
const ACCOUNT: &str = "backtest";

/// An engine of a strategy file.
pub type Prepared<R> = Engine<Box<dyn Strategy + Send>, InMemory, R>;

/// Puts a run together that starts at `now`.
///
/// # Errors
/// [`RunError`].
pub fn prepare<R: Record>(file: &StrategyFile, now: Time, record: R) -> Result<Prepared<R>, RunError> {
    let strategy = file.build(&file.universe()?)?;
    prepare_with(file, strategy, InMemory::default(), now, record)
}

/// The same of a strategy that is there already, with latches that are kept somewhere.
fn prepare_with<S: Strategy, L: LatchStore, R: Record>(
    file: &StrategyFile,
    strategy: S,
    latches: L,
    now: Time,
    record: R,
) -> Result<Engine<S, L, R>, RunError> {
    let universe = Arc::new(file.universe()?);
    let limits = file.limits(&universe)?;
    let account = Account::new(universe, limits.market_rules(), file.cash)?;
    let guard = Guard::start(GuardStart { key: latch_key(file), epoch: 1, now }, limits, &account, Inputs::of_backtest(), latches);
    Ok(Engine::new(file.settings()?, account, guard, StrategyTag::of(&file.name), strategy, record)?)
}

/// Whose latches those of a backtest are.
pub fn latch_key(file: &StrategyFile) -> LatchKey {
    LatchKey { account: ACCOUNT.to_owned(), strategy: file.name.clone() }
}

/// Takes up to so many events of some data; `each` sees the engine after each of them.
pub(super) fn drive_with<S: Strategy, L: LatchStore, R: Record>(
    file: &StrategyFile,
    strategy: S,
    latches: L,
    mut data: impl Source,
    record: R,
    most: u64,
    mut each: impl FnMut(&Engine<S, L, R>),
) -> Result<Engine<S, L, R>, RunError> {
    let mut next = data.advance()?;
    let mut engine = prepare_with(file, strategy, latches, next.map_or(Time(0), |key| key.time), record)?;
    let mut taken = 0;
    while next.is_some() && taken < most {
        if let Some(event) = data.current() {
            engine.market(&event)?;
            taken += 1;
            each(&engine);
        }
        next = data.advance()?;
    }
    Ok(engine)
}

/// Runs a strategy file against data.
///
/// Guarantees: the same file and data give the same result, to the last digit and the hash.
///
/// # Errors
/// [`RunError`]: nothing of a run that stopped early is a result.
pub fn run<R: Record>(file: &StrategyFile, data: impl Source, record: R) -> Result<(Outcome, R), RunError> {
    run_with_latches(file, data, record, InMemory::default())
}

/// The same with latches that outlive it: what stopped the strategy before stops it again, and latches that cannot be read halt it.
///
/// # Errors
/// [`RunError`].
pub fn run_with_latches<R: Record, L: LatchStore>(
    file: &StrategyFile,
    data: impl Source,
    record: R,
    latches: L,
) -> Result<(Outcome, R), RunError> {
    let strategy = file.build(&file.universe()?)?;
    Ok(drive_with(file, strategy, latches, data, record, u64::MAX, |_| {})?.finish()?)
}
