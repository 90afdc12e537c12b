//! `reeve backtest` as a user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const STRATEGY: &str = "\
name: crosses
currency: USD
cash: 100000
strategy:
  smaCross: {instrument: X, fast: 1, slow: 2, qty: 10}
instruments:
- symbol: X
  base: X
  quote: USD
  tickSize: 0.01
  lotSize: 1
  maxQty: 1000
  maxPrice: 100000
  fees: {maker: 0.001, taker: 0.001}
limits:
  instruments:
    X: {maxOrderQty: 10, maxPosition: 10}
data: {interval: 1d}
";

const BARS: &str = "\
Date,Open,High,Low,Close,Volume
2024-01-01,10,10,10,10,1000
2024-01-02,9,9,9,9,1000
2024-01-03,11,11,11,11,1000
2024-01-04,12,12.5,12,12,1000
2024-01-05,13,13,13,13,1000
";

struct Dir {
    folder: tempfile::TempDir,
}

impl Dir {
    fn new(strategy: &str, bars: &str) -> Dir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("strategy.yaml"), strategy).unwrap();
        std::fs::write(folder.path().join("bars.csv"), bars).unwrap();
        Dir { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn backtest(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["backtest", "--strategy", "strategy.yaml", "--data", "bars.csv", "--out", "result"];
        arguments.extend_from_slice(more);
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null()).output().unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join("result").join(name)).unwrap()
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_backtest_leaves_its_orders_fills_equity_and_result() {
    let dir = Dir::new(STRATEGY, BARS);
    let output = dir.backtest(&["--ts", "open"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    // Bought at 12 and sold at 13, with a fee of 0.12 and of 0.13.
    assert!(text.contains("equity   100009.75 USD from 100000\n") && text.contains("fills    2 of 2 orders, 0 denied\n"), "{text}");
    let result: Value = serde_json::from_str(&dir.read("result.json")).unwrap();
    assert_eq!((&result["equity"], &result["cash"]), (&"100009.75".into(), &"100009.75".into()));
    // The digest of a debug build is not taken, and what it made is no evidence.
    let optimised = !cfg!(debug_assertions);
    assert_eq!((&result["promotable"], result["provenance"]["binary"].is_string()), (&optimised.into(), optimised));
    assert_eq!(result["provenance"]["data"][0]["name"], "bars.csv");
    for digest in [&result["hash"], &result["provenance"]["data"][0]["sha256"], &result["provenance"]["strategy"]["sha256"]] {
        assert_eq!(digest.as_str().unwrap().len(), 64);
    }
    let fills = dir.read("fills.csv");
    assert_eq!(fills.lines().count(), 3);
    assert!(fills.lines().nth(1).unwrap().contains(",X,buy,12,10,taker,0.12,USD,0"), "{fills}");
    assert!(dir.read("equity.csv").ends_with("2024-01-06T00:00:00Z,100009.75\n"));
}

#[test]
fn the_same_files_give_the_same_result_to_the_byte() {
    let (one, other) = (Dir::new(STRATEGY, BARS), Dir::new(STRATEGY, BARS));
    for dir in [&one, &other] {
        assert_eq!(dir.backtest(&["--ts", "open", "-o", "json"]).status.code(), Some(0));
    }
    let text = ["result.json", "report.html", "orders.csv", "fills.csv", "equity.csv", "denied.csv", "stops.csv"];
    for name in text.into_iter().chain(["orders.parquet", "fills.parquet", "equity.parquet"]) {
        assert!(one.bytes(name) == other.bytes(name), "{name}");
    }
}

#[test]
fn a_result_says_what_it_is_worth_and_first_that_no_gate_takes_it() {
    let optimistic = format!("{STRATEGY}backtest: {{barFill: same_close}}\n");
    let dir = Dir::new(&optimistic, BARS);
    let output = dir.backtest(&["--ts", "open", "--judge", "--seed", "5", "--sweep", "slow=2,3", "--jobs", "2"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("OPTIMISTIC: ") && text.contains("365 returns a year\nverdict  Inconclusive\n"), "{text}{}", stderr(&output));
    assert!(text.contains("best     slow=2 of 2 trials"), "{text}");
    let result: Value = serde_json::from_str(&dir.read("result.json")).unwrap();
    assert_eq!((&result["judged"]["verdicts"]["lookAhead"], &result["judged"]["monteCarlo"]["seed"]), (&"Pass".into(), &5.into()));
    assert_eq!(result["sweep"]["trials"].as_array().unwrap().len(), 2);
    assert!(dir.read("report.html").contains("<svg"));
}

#[test]
fn what_stopped_a_strategy_stops_it_again_and_latches_that_cannot_be_read_halt_it() {
    let falls = BARS.replace("2024-01-05,13,13,13,13,1000", "2024-01-05,5,5,5,5,1000");
    let careful = STRATEGY.replace("data:", "  maxDrawdownBps: 5\ndata:");
    let dir = Dir::new(&careful, &falls);
    let run = || dir.backtest(&["--ts", "open", "--latches", "latches", "-o", "json"]);
    let state = || serde_json::from_str::<Value>(&dir.read("result.json")).unwrap();
    assert_eq!(run().status.code(), Some(0));
    // Ten bought at 12 are worth 70 less at 5: seven hundredths of a percent. What closes them is let through: the strategy's own sale,
    // and the one at the end of the data.
    assert_eq!((&state()["state"], &state()["tally"]["orders"]), (&"halted: DRAWDOWN".into(), &3.into()), "{}", state());
    let kept = std::fs::read(dir.path().join("latches")).unwrap();
    assert_eq!(run().status.code(), Some(0));
    assert_eq!((&state()["state"], &state()["tally"]["orders"]), (&"halted: DRAWDOWN".into(), &0.into()), "nothing is opened again");
    for unreadable in ["", "no latches\n", "0000\n{}\n"] {
        std::fs::write(dir.path().join("latches"), unreadable).unwrap();
        let output = run();
        assert!(stderr(&output).contains("stays halted until a person has looked"), "{}", stderr(&output));
        assert_eq!((&state()["state"], &state()["tally"]["orders"]), (&"halted: MISSING_INPUT".into(), &0.into()));
        assert_eq!(std::fs::read_to_string(dir.path().join("latches")).unwrap(), unreadable, "nothing is written over it");
    }
    std::fs::write(dir.path().join("latches"), kept).unwrap();
    assert!(run().stderr.is_empty());
}

#[test]
fn recorded_latency_is_part_of_the_result_and_a_bad_line_is_refused_with_its_place() {
    let dir = Dir::new(STRATEGY, BARS);
    let run = |text: &str| {
        std::fs::write(dir.path().join("measured.csv"), text).unwrap();
        dir.backtest(&["--ts", "open", "--latency", "measured.csv"])
    };
    assert_eq!(run("time,there_ns,back_ns\n0,5000000,0\n").status.code(), Some(0));
    let result: Value = serde_json::from_str(&dir.read("result.json")).unwrap();
    assert_eq!(result["provenance"]["data"][1]["name"], "measured.csv");
    let output = run("time,there_ns,back_ns\n0,5,0\n0,6,0\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("measured.csv:3: expected a time after the one before it"), "{}", stderr(&output));
}

#[test]
fn which_end_of_its_interval_a_rows_time_is_has_to_be_said() {
    let output = Dir::new(STRATEGY, BARS).backtest(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--ts"), "{}", stderr(&output));
}

#[test]
fn bad_data_and_bad_strategies_are_refused_with_their_place_and_leave_no_result() {
    let bad_row = BARS.replace("2024-01-03,11,11,11,11,1000", "2024-01-03,11,NaN,11,11,1000");
    let above = STRATEGY.replace("data:", "  maxDrawdownBps: 9000\ndata:");
    let unknown = STRATEGY.replace("data:", "  maxDradown: 1\ndata:");
    for (strategy, bars, why) in [
        (STRATEGY, bad_row.as_str(), "bars.csv:4: high: expected a decimal such as 12.5, found \"NaN\""),
        (above.as_str(), BARS, "strategy.yaml: limits: maxDrawdownBps: 9000 is above its ceiling, 2000"),
        (unknown.as_str(), BARS, "maxDradown"),
        ("name: [", BARS, "strategy.yaml: "),
    ] {
        let dir = Dir::new(strategy, bars);
        std::fs::create_dir(dir.path().join("result")).unwrap();
        let output = dir.backtest(&["--ts", "open"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!dir.path().join("result/result.json").exists());
    }
}
