//! Statistics against another implementation, on the same curve.
//!
//! `expected.json` is what `reference.py` beside it wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use reeve_trading::judge::{Annual, Statistics, returns};
use reeve_trading::number::Money;
use serde_json::Value;

#[test]
fn every_figure_is_that_of_empyrical_to_a_billionth() {
    let document: Value = serde_json::from_str(include_str!("expected.json")).unwrap();
    let equity: Vec<Money> = document["equity"].as_array().unwrap().iter().map(|point| point.as_str().unwrap().parse().unwrap()).collect();
    let returns = returns(&equity);
    assert_eq!(returns.len(), equity.len() - 1);
    for (annual, name) in [(Annual::EveryDay, "365"), (Annual::TradingDays, "252"), (Annual::Months, "12")] {
        let found = serde_json::to_value(Statistics::of(&returns, annual)).unwrap();
        assert_eq!(found["annual"], name);
        let expected = document["expected"][name].as_object().unwrap();
        assert_eq!(expected.len(), 14);
        for (figure, wanted) in expected {
            let (found, wanted) = (found[figure].as_f64().unwrap(), wanted.as_f64().unwrap());
            assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{figure} at {name}: {found}, expected {wanted}");
        }
    }
}

#[test]
fn a_zero_denominator_gives_none_and_never_infinity() {
    let flat = Statistics::of(&[0.0; 5], Annual::EveryDay);
    assert_eq!((flat.sharpe, flat.sortino, flat.calmar, flat.omega, flat.tail_ratio), (None, None, None, None, None));
    assert_eq!((flat.total_return, flat.max_drawdown, flat.annual_volatility), (Some(0.0), Some(0.0), Some(0.0)));
    let none = Statistics::of(&[], Annual::EveryDay);
    assert_eq!((none.count, none.total_return, none.sharpe, none.value_at_risk), (0, None, None, None));
    let one = Statistics::of(&[0.1], Annual::EveryDay);
    assert_eq!((one.annual_volatility, one.sharpe), (None, None), "one return has no deviation of the sample");
    assert_eq!(returns(&[Money::whole(5), Money::ZERO, Money::whole(5)]), [-1.0], "after nothing there is no return");
}
