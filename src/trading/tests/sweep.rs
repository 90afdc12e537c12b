//! Many parameters, and how much of the best is luck.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::{Axis, Sweep, sweep};
use reeve_trading::judge::Verdict;
use world::{packaged_bars, sma_cross};

fn axis(name: &str, values: &[&str]) -> Axis {
    Axis { name: name.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn swept(threads: usize, axes: &[Axis]) -> Sweep {
    let mut file = sma_cross("next_open", "0.001");
    file.data.sessions = true;
    sweep(&file, axes, threads, || Ok(packaged_bars("GOOG", &file, "1d"))).unwrap()
}

#[test]
fn a_sweep_is_the_same_on_one_core_and_on_two() {
    let axes = [axis("fast", &["5", "10", "15"]), axis("slow", &["20", "40"])];
    let (one, two) = (swept(1, &axes), swept(2, &axes));
    assert_eq!(one, two);
    assert_eq!(one.trials.len(), 6);
    let stated = &one.trials[2];
    assert_eq!(stated.parameters, [("fast".to_owned(), "10".to_owned()), ("slow".to_owned(), "20".to_owned())]);
    assert_eq!(stated.profit.unwrap().to_string(), "9034.7903", "the stated run is one of them");
    let best = one.best.unwrap();
    assert!(one.trials.iter().all(|trial| trial.sharpe <= one.trials[best].sharpe));
    assert_eq!(one.folds.len(), 5);
    assert!(one.deflated_sharpe.is_some_and(|probability| (0.0..=1.0).contains(&probability)));
    assert_ne!(one.out_of_sample, Verdict::Inconclusive);
    assert_ne!(one.neighbourhood, Verdict::Inconclusive);
}

#[test]
fn one_trial_says_nothing_of_luck() {
    let sweep = swept(1, &[axis("fast", &["10"])]);
    assert_eq!((sweep.trials.len(), sweep.deflated_sharpe), (1, None));
}

#[test]
fn what_cannot_be_swept_is_refused() {
    let file = sma_cross("next_open", "0");
    let refused = |axes: &[Axis]| sweep(&file, axes, 2, || Ok(packaged_bars("GOOG", &file, "1d"))).unwrap_err().to_string();
    assert!(refused(&[axis("length", &["5"])]).contains("it has no parameter length"));
    assert!(refused(&[axis("fast", &["x"])]).contains("fast: \"x\" is no value for it"));
    assert!(refused(&[axis("fast", &["30"])]).contains("strategy.fast: expected 1 up to slow - 1"));
    let many: Vec<String> = (0..400).map(|value| value.to_string()).collect();
    let many = Axis { name: "fast".to_owned(), values: many };
    assert!(refused(&[many.clone(), Axis { name: "slow".to_owned(), ..many }]).contains("at most 100000 trials"));
}
