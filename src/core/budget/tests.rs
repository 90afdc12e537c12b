#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::model::Usage;

fn balance(limit: u64, used: u64, reserved: u64) -> Balance {
    Balance {
        limits: Some(Limits { tokens: Some(limit), ..Limits::default() }),
        used: Amounts { tokens: used, ..Amounts::default() },
        reserved: Amounts { tokens: reserved, ..Amounts::default() },
    }
}

fn tokens(n: u64) -> Amounts {
    Amounts { tokens: n, ..Amounts::default() }
}

#[test]
fn what_is_reserved_by_others_is_not_there_to_spend() {
    let account = balance(100, 40, 50);
    assert_eq!(account.fits("n/b", &tokens(10)), Ok(()));
    let refused = account.fits("n/b", &tokens(11)).unwrap_err();
    assert_eq!(refused.to_string(), "RiskBudget n/b: tokens has a limit of 100, of which 40 is used and 50 reserved; 11 more is needed");
    assert!(account.fits("n/b", &tokens(u64::MAX)).is_err(), "no sum wraps around");
}

#[test]
fn a_dimension_without_a_limit_does_not_limit_and_one_at_zero_allows_nothing() {
    let account = balance(0, 0, 0);
    assert_eq!(account.fits("n/b", &Amounts { tool_calls: 9, ..Amounts::default() }), Ok(()));
    assert!(account.fits("n/b", &tokens(1)).is_err());
}

#[test]
fn a_budget_that_is_not_there_allows_nothing() {
    assert!(matches!(Balance::default().fits("n/b", &Amounts::default()), Err(Exceeded::NoBudget { .. })));
}

#[test]
fn dollars_read_back_what_they_print() {
    for (text, micro) in [("0", 0), ("12.50", 12_500_000), ("0.000001", 1), ("999999999.999999", 999_999_999_999_999)] {
        assert_eq!(parse_usd(text), Ok(micro), "{text}");
        assert_eq!(parse_usd(&usd(micro)), Ok(micro), "{text}");
    }
    assert_eq!(usd(12_500_000), "12.5");
    for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "1,5", "99999999999999999999"] {
        assert!(parse_usd(text).is_err(), "{text}");
    }
}

#[test]
fn a_cost_is_rounded_up_and_cached_tokens_have_their_own_price() {
    let price = Price { input: 2_500_000, cached_input: 1_250_000, output: 10_000_000 };
    let usage = Usage { input_tokens: 1_000, cached_input_tokens: 400, output_tokens: 100, reasoning_tokens: 0 };
    assert_eq!(price.cost(&usage), 600 * 5 / 2 + 400 * 5 / 4 + 100 * 10);
    let one = Usage { input_tokens: 1, ..Usage::default() };
    assert_eq!(Price { input: 1, ..Price::default() }.cost(&one), 1, "a part of a micro-USD is charged whole");
    assert!(price.most(1_000, 100) >= price.cost(&usage));
}
