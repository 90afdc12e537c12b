//! What runs may spend, and what they did: amounts, limits, balances, prices. The sums themselves are `reeve-store`'s.
//!
//! ```text
//! budget.limited (operator's stream) → limits      budget.reserved → reserved += amounts
//!                                                  budget.settled  → reserved -= reserved, used += used
//! ```
//!
//! Architecture invariant: integers only. Money is in micro-USD, time in milliseconds; what does not come out even is rounded up, against
//! whoever spends.

mod effect;
mod price;
#[cfg(test)]
mod tests;

pub(crate) use effect::of_request_bytes;
pub use effect::{of_answer, of_request};
pub use price::{InvalidUsd, Price, parse_usd, usd};

use reeve_api::{Balance as ShownBalance, BudgetLimits, RiskBudgetStatus, UsdBalance};
use serde::{Deserialize, Serialize};

/// How much of each dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Tokens, input and output together.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub cost_micro_usd: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Milliseconds that a model or a tool worked.
    pub runtime_ms: u64,
}

/// Limits in force. None does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Tokens.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub cost_micro_usd: Option<u64>,
    /// Tool calls.
    pub tool_calls: Option<u64>,
    /// Milliseconds.
    pub runtime_ms: Option<u64>,
}

/// What stands in an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Limits in force. None: nobody ever made this budget, so nothing may be spent from it.
    pub limits: Option<Limits>,
    /// Spent.
    pub used: Amounts,
    /// Held for what is under way.
    pub reserved: Amounts,
}

/// A dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// Tokens.
    Tokens,
    /// Millionths of a US dollar.
    CostMicroUsd,
    /// Tool calls.
    ToolCalls,
    /// Milliseconds.
    RuntimeMs,
}

impl Dimension {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Dimension; 4] = [Dimension::Tokens, Dimension::CostMicroUsd, Dimension::ToolCalls, Dimension::RuntimeMs];

    /// As a field of `spec.limits`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dimension::Tokens => "tokens",
            Dimension::CostMicroUsd => "costUSD",
            Dimension::ToolCalls => "toolCalls",
            Dimension::RuntimeMs => "runtimeSeconds",
        }
    }

    /// An amount for a person.
    fn show(self, amount: u64) -> String {
        match self {
            Dimension::Tokens | Dimension::ToolCalls => amount.to_string(),
            Dimension::CostMicroUsd => usd(amount),
            Dimension::RuntimeMs => format!("{}.{:03} s", amount / 1000, amount % 1000),
        }
    }
}

/// Why an amount does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// There is no such budget.
    #[error("RiskBudget {account} is not there, or was never in force: create it, with the verb raise")]
    NoBudget {
        /// `<namespace>/<name>`.
        account: String,
    },
    /// A limit is in the way.
    #[error(
        "RiskBudget {account}: {} has a limit of {}, of which {} is used and {} reserved; {} more is needed",
        .dimension.as_str(), .dimension.show(*.limit), .dimension.show(*.used), .dimension.show(*.reserved), .dimension.show(*.asked)
    )]
    Limit {
        /// `<namespace>/<name>`.
        account: String,
        /// Which.
        dimension: Dimension,
        /// The limit.
        limit: u64,
        /// Spent.
        used: u64,
        /// Held for others.
        reserved: u64,
        /// Asked for.
        asked: u64,
    },
}

impl Amounts {
    /// One dimension.
    pub const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Tokens => self.tokens,
            Dimension::CostMicroUsd => self.cost_micro_usd,
            Dimension::ToolCalls => self.tool_calls,
            Dimension::RuntimeMs => self.runtime_ms,
        }
    }

    /// The sum; None where it is past what can be counted.
    pub fn plus(&self, other: &Amounts) -> Option<Amounts> {
        Some(Amounts {
            tokens: self.tokens.checked_add(other.tokens)?,
            cost_micro_usd: self.cost_micro_usd.checked_add(other.cost_micro_usd)?,
            tool_calls: self.tool_calls.checked_add(other.tool_calls)?,
            runtime_ms: self.runtime_ms.checked_add(other.runtime_ms)?,
        })
    }

    /// The difference; None where it is below nothing.
    pub fn minus(&self, other: &Amounts) -> Option<Amounts> {
        Some(Amounts {
            tokens: self.tokens.checked_sub(other.tokens)?,
            cost_micro_usd: self.cost_micro_usd.checked_sub(other.cost_micro_usd)?,
            tool_calls: self.tool_calls.checked_sub(other.tool_calls)?,
            runtime_ms: self.runtime_ms.checked_sub(other.runtime_ms)?,
        })
    }
}

impl Limits {
    /// The limits of a spec.
    ///
    /// # Errors
    /// [`InvalidUsd`]; the API server's schema lets none through.
    pub fn of(spec: &BudgetLimits) -> Result<Limits, InvalidUsd> {
        let count = |n: Option<i64>| n.map(|n| u64::try_from(n).unwrap_or(0));
        Ok(Limits {
            tokens: count(spec.tokens),
            cost_micro_usd: spec.cost_usd.as_deref().map(parse_usd).transpose()?,
            tool_calls: count(spec.tool_calls),
            runtime_ms: count(spec.runtime_seconds).map(|seconds| seconds.saturating_mul(1000)),
        })
    }

    /// One dimension.
    pub const fn of_dimension(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Tokens => self.tokens,
            Dimension::CostMicroUsd => self.cost_micro_usd,
            Dimension::ToolCalls => self.tool_calls,
            Dimension::RuntimeMs => self.runtime_ms,
        }
    }
}

impl Balance {
    /// What is left of a dimension; None where nothing limits it.
    pub fn left(&self, dimension: Dimension) -> Option<u64> {
        let limit = self.limits.as_ref()?.of_dimension(dimension)?;
        Some(limit.saturating_sub(self.used.of(dimension)).saturating_sub(self.reserved.of(dimension)))
    }

    /// Whether this much more may be reserved.
    ///
    /// # Errors
    /// The first dimension in whose limit it does not fit. Asking for nothing of a dimension always fits it.
    pub fn fits(&self, account: &str, asked: &Amounts) -> Result<(), Exceeded> {
        let Some(limits) = &self.limits else { return Err(Exceeded::NoBudget { account: account.to_owned() }) };
        for dimension in Dimension::ALL {
            let (used, reserved, asked) = (self.used.of(dimension), self.reserved.of(dimension), asked.of(dimension));
            let sum = used.checked_add(reserved).and_then(|sum| sum.checked_add(asked));
            if let Some(limit) = limits.of_dimension(dimension)
                && asked > 0
                && sum.is_none_or(|sum| sum > limit)
            {
                return Err(Exceeded::Limit { account: account.to_owned(), dimension, limit, used, reserved, asked });
            }
        }
        Ok(())
    }

    /// The dimensions of which nothing is left.
    pub fn exhausted(&self) -> Vec<Dimension> {
        Dimension::ALL.into_iter().filter(|dimension| self.left(*dimension) == Some(0)).collect()
    }

    /// The dimensions of which more was used than the limit allows: a provider that charged more than it can, or a limit that was lowered.
    pub fn breached(&self) -> Vec<Dimension> {
        let limit = |dimension| self.limits.as_ref().and_then(|limits| limits.of_dimension(dimension));
        Dimension::ALL.into_iter().filter(|dimension| limit(*dimension).is_some_and(|limit| self.used.of(*dimension) > limit)).collect()
    }

    /// The balance as a status shows it; conditions are the caller's.
    pub fn shown(&self) -> RiskBudgetStatus {
        let limit = |dimension| self.limits.as_ref().and_then(|limits| limits.of_dimension(dimension));
        let count = |dimension, unit: u64| ShownBalance {
            limit: limit(dimension).map(|n| long(n / unit)),
            used: long(self.used.of(dimension).div_ceil(unit)),
            reserved: long(self.reserved.of(dimension).div_ceil(unit)),
            left: self.left(dimension).map(|n| long(n / unit)),
        };
        RiskBudgetStatus {
            tokens: Some(count(Dimension::Tokens, 1)),
            cost_usd: Some(UsdBalance {
                limit: limit(Dimension::CostMicroUsd).map(usd),
                used: usd(self.used.cost_micro_usd),
                reserved: usd(self.reserved.cost_micro_usd),
                left: self.left(Dimension::CostMicroUsd).map(usd),
            }),
            tool_calls: Some(count(Dimension::ToolCalls, 1)),
            runtime_seconds: Some(count(Dimension::RuntimeMs, 1000)),
            ..RiskBudgetStatus::default()
        }
    }
}

/// The account of a budget: what was spent stays with the name.
pub fn account(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn long(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
