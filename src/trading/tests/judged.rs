//! A result judged by running it again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::{EquitySeries, RunError, judge, look_ahead, run, years_of};
use reeve_trading::event::{MarketEvent, Stamped};
use reeve_trading::input::Source as _;
use reeve_trading::intent::{Intent, Submit};
use reeve_trading::judge::Verdict;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::Side;
use reeve_trading::spec::StrategyFile;
use reeve_trading::strategy::{Seen, Strategy, View};
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

/// Buys before a rise and sells before a fall: it reads tomorrow's close in what it was given of the data.
struct Peeks {
    closes: Vec<Price>,
    next: usize,
}

impl Strategy for Peeks {
    fn on_event(&mut self, seen: &Seen<'_>, view: &View<'_>, intents: &mut Vec<Intent>) {
        let Seen::Market(Stamped { event: MarketEvent::Bar(bar), instrument, .. }) = seen else { return };
        self.next += 1;
        let Some(tomorrow) = self.closes.get(self.next) else { return };
        let held = view.position(*instrument);
        if *tomorrow > bar.close && held == Qty::ZERO {
            intents.push(Intent::Submit(Submit::market(*instrument, Side::Buy, Qty(10), self.next as u64)));
        }
        if *tomorrow < bar.close && held > Qty::ZERO {
            intents.push(Intent::Submit(Submit::market(*instrument, Side::Sell, held, self.next as u64)));
        }
    }
}

#[test]
fn a_strategy_that_reads_ahead_is_caught() {
    let file = file();
    let open = || Ok(Some(packaged_bars("GOOG", &file, "1d")));
    let mut closes = Vec::new();
    let mut data = packaged_bars("GOOG", &file, "1d");
    while data.advance().unwrap().is_some() {
        let Some(Stamped { event: MarketEvent::Bar(bar), .. }) = data.current() else { panic!("bars") };
        closes.push(bar.close);
    }
    let events = closes.len() as u64;
    let peeks = |cut: u64| Ok(Peeks { closes: closes[..cut as usize].to_vec(), next: 0 });
    let honest = |_| Ok(file.build(&file.universe().unwrap()).unwrap());
    for seed in 1..=5 {
        assert_eq!(look_ahead(&file, events, seed, &open, peeks).unwrap(), Verdict::Fail, "seed {seed}");
    }
    assert_eq!(look_ahead(&file, events, 1, &open, honest).unwrap(), Verdict::Pass);
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
