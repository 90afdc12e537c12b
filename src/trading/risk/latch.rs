//! What a restart must not forget: why trading stopped, the highest equity, the start of the day.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Code;
use crate::number::{Money, Overflow};
use crate::time::Time;

/// Whose latches they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LatchKey {
    /// The exchange account.
    pub account: String,
    /// The strategy.
    pub strategy: String,
}

/// What a strategy may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything that its limits allow.
    Active,
    /// Only what makes a position smaller.
    Reducing(Code),
    /// Nothing but what makes a position smaller; a named person has to let it go on.
    Halted(Code),
}

/// The part of a guard that outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latches {
    /// What the strategy may do.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// The highest equity that was ever accepted.
    pub high_water: Money,
    /// The UTC day that daily limits count.
    pub day: i64,
    /// Equity at the last accepted mark before that day.
    pub day_start: Money,
    /// Equity at the last accepted mark.
    pub last_equity: Money,
    /// Whether the loss of this day has stopped trading, whatever else had before.
    pub daily_loss: bool,
    /// Whether the drawdown has stopped trading since a person last let it go on.
    pub drawdown: bool,
    /// Whether slippage has stopped trading since a person last let it go on.
    pub slippage: bool,
}

impl Latches {
    /// With money brought in from outside, or taken out when negative: what losses are counted from moves as equity does.
    pub(super) fn moved_by(self, amount: Money) -> Result<Latches, Overflow> {
        let high_water = self.high_water.plus(amount)?;
        let (day_start, last_equity) = (self.day_start.plus(amount)?, self.last_equity.plus(amount)?);
        Ok(Latches { high_water, day_start, last_equity, ..self })
    }
}

/// Latches that could not be read or written. Whoever meets it halts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("latches of {account}/{strategy}: {why}; the strategy stays halted until a person has looked", account = key.account, strategy = key.strategy)]
pub struct LatchError {
    /// Whose.
    pub key: LatchKey,
    /// What is wrong.
    pub why: String,
}

/// Where latches are kept.
pub trait LatchStore {
    /// The latches that were saved last; none when none ever were.
    ///
    /// # Errors
    /// [`LatchError`] when there may be some but they cannot be read.
    fn load(&self, key: &LatchKey) -> Result<Option<Latches>, LatchError>;

    /// Makes latches durable: they are kept through a crash when this returns.
    ///
    /// # Errors
    /// [`LatchError`].
    fn save(&mut self, key: &LatchKey, latches: &Latches) -> Result<(), LatchError>;
}

/// Latches in memory: for backtests, which start anew each time.
#[derive(Clone, Debug, Default)]
pub struct InMemory {
    kept: std::collections::BTreeMap<LatchKey, Latches>,
}

impl LatchStore for InMemory {
    fn load(&self, key: &LatchKey) -> Result<Option<Latches>, LatchError> {
        Ok(self.kept.get(key).copied())
    }

    fn save(&mut self, key: &LatchKey, latches: &Latches) -> Result<(), LatchError> {
        match self.kept.get_mut(key) {
            Some(kept) => *kept = *latches,
            None => {
                self.kept.insert(key.clone(), *latches);
            }
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    account: String,
    strategy: String,
    state: String,
    code: Option<String>,
    since_ns: i64,
    high_water: Money,
    day: i64,
    day_start: Money,
    last_equity: Money,
    #[serde(default)]
    daily_loss: bool,
    #[serde(default)]
    drawdown: bool,
    #[serde(default)]
    slippage: bool,
}

impl Latches {
    /// Latches as a text to keep: the SHA-256 of the second line, then one line of JSON.
    pub fn to_text(&self, key: &LatchKey) -> String {
        let (state, code) = match self.state {
            State::Active => ("active", None),
            State::Reducing(code) => ("reducing", Some(code.name().to_owned())),
            State::Halted(code) => ("halted", Some(code.name().to_owned())),
        };
        let written = Written {
            account: key.account.clone(),
            strategy: key.strategy.clone(),
            state: state.to_owned(),
            code,
            since_ns: self.since.0,
            high_water: self.high_water,
            day: self.day,
            day_start: self.day_start,
            last_equity: self.last_equity,
            daily_loss: self.daily_loss,
            drawdown: self.drawdown,
            slippage: self.slippage,
        };
        // A struct of strings and integers always has a JSON form.
        let line = serde_json::to_string(&written).unwrap_or_default();
        format!("{}\n{line}\n", hex(line.as_bytes()))
    }

    /// Reads what [`Latches::to_text`] wrote for the same key.
    ///
    /// # Errors
    /// [`LatchError`]: cut, changed, of another key, or with a word that is not known.
    pub fn from_text(key: &LatchKey, text: &str) -> Result<Latches, LatchError> {
        let wrong = |why: &str| LatchError { key: key.clone(), why: why.to_owned() };
        let (digest, line) = text.split_once('\n').ok_or_else(|| wrong("cut: expected two lines"))?;
        let line = line.strip_suffix('\n').ok_or_else(|| wrong("cut: the last line does not end"))?;
        if hex(line.as_bytes()) != digest {
            return Err(wrong("changed: the digest does not fit"));
        }
        let written: Written = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        if (&written.account, &written.strategy) != (&key.account, &key.strategy) {
            return Err(wrong("they are another strategy's"));
        }
        let code = written.code.as_deref().map(|name| Code::named(name).ok_or_else(|| wrong("an unknown code"))).transpose()?;
        let state = match (written.state.as_str(), code) {
            ("active", None) => State::Active,
            ("reducing", Some(code)) => State::Reducing(code),
            ("halted", Some(code)) => State::Halted(code),
            (_, _) => return Err(wrong("an unknown state")),
        };
        let Written { since_ns, high_water, day, day_start, last_equity, daily_loss, drawdown, slippage, .. } = written;
        Ok(Latches { state, since: Time(since_ns), high_water, day, day_start, last_equity, daily_loss, drawdown, slippage })
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
