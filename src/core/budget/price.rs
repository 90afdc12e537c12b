//! Decimal dollars to micro-USD and back, and what an answer costs.

use reeve_api::ModelPrice;
use serde::{Deserialize, Serialize};

use crate::model::Usage;

/// Digits behind the point of a micro-USD.
const SCALE: u32 = 6;
const ONE_USD: u64 = 10_u64.pow(SCALE);
const MILLION_TOKENS: u128 = 1_000_000;

/// A text that is no amount of dollars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected US dollars as a decimal with at most {SCALE} digits behind the point, such as \"12.50\", found {found:?}")]
pub struct InvalidUsd {
    found: String,
}

/// Reads dollars as micro-USD, exactly.
///
/// # Errors
/// [`InvalidUsd`] for a sign, an exponent, more than six digits behind the point, or more than can be counted.
pub fn parse_usd(text: &str) -> Result<u64, InvalidUsd> {
    let invalid = || InvalidUsd { found: text.chars().take(40).collect() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > SCALE as usize {
        return Err(invalid());
    }
    let whole: u64 = whole.parse().map_err(|_| invalid())?;
    let micro: u64 = format!("{fraction:0<6}").parse().map_err(|_| invalid())?;
    whole.checked_mul(ONE_USD).and_then(|usd| usd.checked_add(micro)).ok_or_else(invalid)
}

/// Micro-USD as dollars, without trailing zeros.
pub fn usd(micro: u64) -> String {
    let (whole, fraction) = (micro / ONE_USD, micro % ONE_USD);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{fraction:06}").trim_end_matches('0'))
}

/// What a model costs: micro-USD per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Input.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cached_input: u64,
    /// Output.
    pub output: u64,
}

impl Price {
    /// The price of a spec.
    ///
    /// # Errors
    /// [`InvalidUsd`]; the API server's schema lets none through.
    pub fn of(spec: &ModelPrice) -> Result<Price, InvalidUsd> {
        let input = parse_usd(&spec.input_usd)?;
        let cached_input = spec.cached_input_usd.as_deref().map_or(Ok(input), parse_usd)?;
        Ok(Price { input, cached_input, output: parse_usd(&spec.output_usd)? })
    }

    /// Whether nothing costs anything.
    pub const fn is_free(&self) -> bool {
        self.input == 0 && self.cached_input == 0 && self.output == 0
    }

    /// What these tokens cost, micro-USD, rounded up.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let of = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let millionths = of(usage.input_tokens - cached, self.input) + of(cached, self.cached_input) + of(usage.output_tokens, self.output);
        u64::try_from(millionths.div_ceil(MILLION_TOKENS)).unwrap_or(u64::MAX)
    }

    /// The most that a request can cost: no input token comes from a cache, unless that were dearer.
    pub fn most(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let dearest = Price { input: self.input.max(self.cached_input), ..*self };
        dearest.cost(&Usage { input_tokens, output_tokens, ..Usage::default() })
    }
}
