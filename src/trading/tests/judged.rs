//! A result judged by running it again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::{EquitySeries, RunError, judge, run, years_of};
use reeve_trading::judge::Verdict;
use reeve_trading::spec::StrategyFile;
use serde_json::json;
use world::{packaged_bars, sma_cross};

fn file() -> StrategyFile {
    let mut file = sma_cross("next_open", "0.001");
    file.data.sessions = true;
    file
}

#[test]
fn the_stated_run_is_judged_the_same_each_time() {
    let file = file();
    let (outcome, series) = run(&file, packaged_bars("GOOG", &file, "1d"), EquitySeries::default()).unwrap();
    let judged = || judge(&file, &outcome, &series.points, 7, || Ok(Some(packaged_bars("GOOG", &file, "1d")))).unwrap();
    let first = judged();
    assert_eq!(first, judged());
    // Fees of 442.9097 more each time.
    assert_eq!(first.profit_at_twice_the_costs.unwrap().to_string(), "8591.8806");
    assert_eq!(first.profit_at_thrice_the_costs.unwrap().to_string(), "8148.9709");
    let verdicts = serde_json::to_value(&first.verdicts).unwrap();
    assert_eq!(verdicts, json!({ "lookAhead": "Pass", "costStress": "Pass", "monteCarlo": "Pass", "trades": "Pass", "overall": "Pass" }));
    assert_eq!((first.statistics.count, serde_json::to_value(first.statistics.annual).unwrap()), (2_148, json!("252")));
}

#[test]
fn data_that_can_be_read_only_once_leaves_the_answer_open() {
    let file = file();
    let (outcome, series) = run(&file, packaged_bars("GOOG", &file, "1d"), EquitySeries::default()).unwrap();
    let once = || -> Result<Option<Box<dyn reeve_trading::input::Source>>, RunError> { Ok(None) };
    let judged = judge(&file, &outcome, &series.points, 7, once).unwrap();
    assert_eq!((judged.verdicts.look_ahead, judged.verdicts.cost_stress), (Verdict::Inconclusive, Verdict::Inconclusive));
    assert_eq!(judged.verdicts.overall, Verdict::Inconclusive);
}

#[test]
fn bars_of_more_than_a_day_other_than_months_are_not_annualised_as_days() {
    let mut file = file();
    for (interval, known) in [("1h", true), ("1d", true), ("1mo", true), ("2d", false), ("25h", false), ("7d", false)] {
        file.data.interval = interval.to_owned();
        assert_eq!(years_of(&file).is_ok(), known, "{interval}");
    }
}

#[test]
fn a_rebate_is_no_cost_to_be_doubled() {
    let mut file = file();
    file.instruments[0].fees.maker = Some("-0.0001".to_owned());
    let costlier = file.with_costs(2).unwrap();
    assert_eq!(costlier.instruments[0].fees.maker.as_deref(), Some("-0.0001"));
    assert_eq!(costlier.instruments[0].fees.taker.as_deref(), Some("0.002"));
}
