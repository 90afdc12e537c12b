//! GOOG, daily, SMA 10/20: results that exact arithmetic gives, to the last digit.
//!
//! The bars come from the test folder of the package `backtesting` 0.6.6, which is fetched once into the user's cache: its licence does
//! not go with ours, so it is never in this repository.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::{Keep, Outcome, run};
use reeve_trading::spec::StrategyFile;
use reeve_trading::time::Time;
use world::{packaged_bars, sma_cross};

fn goog(fill: &str, fee: &str) -> (Outcome, Keep) {
    let file: StrategyFile = sma_cross(fill, fee);
    let data = packaged_bars("GOOG", &file, "1d");
    run(&file, data, Keep::default()).unwrap()
}

#[test]
fn goog_ends_at_the_stated_cash_for_each_way_of_filling_and_fee() {
    let cases = [
        ("same_close", "0", "109356.9"),
        ("same_close", "0.001", "108913.7779"),
        ("next_open", "0", "109477.7"),
        ("next_open", "0.001", "109034.7903"),
    ];
    for (fill, fee, cash) in cases {
        let (outcome, kept) = goog(fill, fee);
        assert_eq!((outcome.cash.to_string().as_str(), kept.fills.len()), (cash, 94), "{fill} with a fee of {fee}");
        assert_eq!((outcome.equity, outcome.tally.fills, outcome.tally.orders), (Some(outcome.cash), 94, 94));
        assert_eq!((outcome.tally.denied.len(), outcome.left.len(), kept.stops.len()), (0, 0, 0));
        assert_eq!((outcome.optimistic, outcome.promotable), (fill == "same_close", fill == "next_open"));
    }
}

#[test]
fn the_same_run_gives_the_same_hash_and_another_fee_another() {
    let (first, second, other) = (goog("next_open", "0.001").0, goog("next_open", "0.001").0, goog("next_open", "0").0);
    assert_eq!(first, second);
    assert_ne!(first.hash, other.hash);
}

#[test]
fn equity_starts_with_the_cash_and_ends_with_what_the_sale_left() {
    let (outcome, kept) = goog("next_open", "0.001");
    assert_eq!(kept.equity.len(), 2_148 + 1, "a point a bar, and the start");
    assert_eq!(kept.equity[0].1.to_string(), "100000");
    assert_eq!(kept.equity.last().map(|(_, equity)| *equity), outcome.equity);
    assert!(kept.equity.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(kept.equity[0].0, Time(1_092_873_600_000_000_000));
}
