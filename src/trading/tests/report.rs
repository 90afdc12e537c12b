//! The report as a page that stands alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use reeve_trading::backtest::{EquitySeries, judge, run};
use reeve_trading::output::{ChartData, FileDigest, Provenance, RunResult, html};
use world::{packaged_bars, sma_cross};

fn page(fill: &str, name: &str) -> String {
    let mut file = sma_cross(fill, "0.001");
    file.name = name.to_owned();
    let universe = file.universe().unwrap();
    let record = (EquitySeries::default(), ChartData::new(&universe));
    let (outcome, (series, charts)) = run(&file, packaged_bars("GOOG", &file, "1d"), record).unwrap();
    let judged = judge(&file, &outcome, &series.points, 7, || Ok(Some(packaged_bars("GOOG", &file, "1d")))).unwrap();
    let digest = FileDigest { name: "bars.csv".to_owned(), sha256: "00ff".to_owned() };
    let provenance = Provenance { strategy: digest.clone(), data: vec![digest], binary: Some("aa".to_owned()) };
    let mut result = RunResult::new(&file.name, file.cash, &universe, outcome, provenance);
    result.judged = Some(judged);
    html(&result, &charts, &universe).unwrap()
}

#[test]
fn the_report_stands_alone_and_shows_the_charts_the_figures_and_the_warnings() {
    let page = page("same_close", "crosses");
    assert_eq!(page.matches("<svg").count(), 3);
    for text in ["OPTIMISTIC", "108913.7779 USD", "Equity", "Drawdown, percent", "Trades on GOOG", "Sharpe ratio", "Look-ahead", "00ff"] {
        assert!(page.contains(text), "{text}");
    }
    for outside in ["<script", "<link", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let addresses: Vec<&str> = page.split("http").skip(1).filter(|rest| !rest.starts_with("://www.w3.org/2000/svg")).collect();
    assert_eq!(addresses, Vec::<&str>::new(), "nothing but the name of SVG looks like an address");
    // 47 bought and 47 sold.
    assert_eq!(page.matches("<polygon").count(), 94);
}

#[test]
fn a_name_is_text_and_not_a_part_of_the_page() {
    let page = page("next_open", "<script>alert(1)</script>");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
}
