//! Names of orders that a restart makes again.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A strategy in 60 bits: the start of the SHA-256 of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrategyTag(u64);

/// An order's name: strategy, epoch of the writer, number of the intent. The same three always make the same name, and every order
/// says whose it is.
///
/// As text 35 characters at most, of the letters that venues allow (Binance: `^[\.A-Z\:/a-z0-9_-]{1,36}$`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Whose it is.
    pub strategy: StrategyTag,
    /// The writer's epoch: a restart has a higher one.
    pub epoch: u32,
    /// The number of the intent within the epoch, from 1.
    pub intent: u64,
}

/// A text that is not a name of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an order of ours: expected r, twelve letters, an epoch and a number, parted by dashes")]
pub struct ForeignId;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TAG_LETTERS: u32 = 12;

impl StrategyTag {
    /// The tag of a name.
    pub fn of(name: &str) -> StrategyTag {
        let digest = Sha256::digest(name.as_bytes());
        let first = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        StrategyTag(first >> 4)
    }

    /// Its bits.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// Digits of base 32 without leading zeros, at least one.
fn write_base32(f: &mut fmt::Formatter<'_>, value: u64, least: u32) -> fmt::Result {
    let needed = (64 - value.leading_zeros()).div_ceil(5).max(least).max(1);
    for place in (0..needed).rev() {
        let digit = value.checked_shr(place * 5).unwrap_or(0) & 31;
        write!(f, "{}", char::from(DIGITS[digit as usize]))?;
    }
    Ok(())
}

fn read_base32(text: &str) -> Result<u64, ForeignId> {
    let plain = !text.is_empty() && text.len() <= 13;
    if !plain {
        return Err(ForeignId);
    }
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = DIGITS.iter().position(|letter| *letter == byte).ok_or(ForeignId)?;
        value.checked_mul(32).and_then(|value| value.checked_add(digit as u64)).ok_or(ForeignId)
    })
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("r")?;
        write_base32(f, self.strategy.0, TAG_LETTERS)?;
        f.write_str("-")?;
        write_base32(f, u64::from(self.epoch), 1)?;
        f.write_str("-")?;
        write_base32(f, self.intent, 1)
    }
}

impl FromStr for ClientId {
    type Err = ForeignId;

    fn from_str(text: &str) -> Result<ClientId, ForeignId> {
        let mut parts = text.strip_prefix('r').ok_or(ForeignId)?.split('-');
        let (Some(tag), Some(epoch), Some(intent), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(ForeignId);
        };
        let strategy = StrategyTag(read_base32(tag)?);
        let epoch = u32::try_from(read_base32(epoch)?).map_err(|_| ForeignId)?;
        let id = ClientId { strategy, epoch, intent: read_base32(intent)? };
        // One order has one name: what prints otherwise is not ours.
        if id.to_string() == text { Ok(id) } else { Err(ForeignId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_three_always_make_the_same_name() {
        let id = ClientId { strategy: StrategyTag::of("sma-cross"), epoch: 1, intent: 1 };
        assert_eq!(id.to_string(), ClientId { strategy: StrategyTag::of("sma-cross"), epoch: 1, intent: 1 }.to_string());
        let largest = ClientId { strategy: StrategyTag(u64::MAX >> 4), epoch: u32::MAX, intent: u64::MAX };
        assert_eq!(largest.to_string().len(), 35);
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for text in
            ["", "r", "x000000000000-1-1", "r000000000000-1", "r000000000000-1-1-1", "r000000000000-01-1", "r000000000000-1-u", "r0-1-1"]
        {
            assert_eq!(text.parse::<ClientId>(), Err(ForeignId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_name_read_is_the_name_written(name: String, epoch: u32, intent: u64) {
            let id = ClientId { strategy: StrategyTag::of(&name), epoch, intent };
            let text = id.to_string();
            prop_assert!(text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            prop_assert_eq!(text.parse(), Ok(id));
        }
    }
}
