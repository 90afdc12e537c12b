//! What the tests of this crate share: data that is fetched once, and strategies to run on it.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::Command;

use reeve_trading::input::{BarColumns, BarFormat, CsvBars, StampedAt};
use reeve_trading::output::sha256_hex;
use reeve_trading::spec::StrategyFile;
use serde_json::{Value, json};

/// The package whose test folder holds the bars.
const PACKAGE: &str = "backtesting==0.6.6";

/// Its files, and the SHA-256 of each: what is stated of their results is stated of these bytes.
const FILES: [(&str, &str); 3] = [
    ("BTCUSD.csv", "ff253d97891080e5226f99d8a8f334621cecf33c5e1d8e5278cb5728024552d9"),
    ("EURUSD.csv", "81e977905a006cc8fbc034ebdb83c999a8ed6ba00191dc7ea5ef5b386fb74a82"),
    ("GOOG.csv", "60e961a567490b157f71888df9e6afb36190a34a40a6286aa38988e2343f1b1a"),
];

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME or XDG_CACHE_HOME")).join(".cache"));
    base.join("reeve")
}

/// A file of the package's test folder, fetched and unpacked once. Tests of several processes may ask at the same time: each unpacks into
/// a folder of its own and moves it into place.
pub fn packaged(name: &str) -> PathBuf {
    let place = cache().join("backtesting-0.6.6");
    let file = place.join("backtesting/test").join(name);
    if !file.exists() {
        fetch(&place);
    }
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let stated = FILES.iter().find(|(known, _)| *known == name).expect("a file whose digest is known").1;
    assert_eq!(sha256_hex(&bytes), stated, "{} is not the stated file; remove {}", file.display(), place.display());
    file
}

fn fetch(place: &Path) {
    let own = cache().join(format!("fetching-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&own).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(&own).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("python3", &["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", PACKAGE]);
    let unpack = "import glob, zipfile; zipfile.ZipFile(glob.glob('*.whl')[0]).extractall('unpacked')";
    run("python3", &["-c", unpack]);
    // Whoever is second finds it there.
    let moved = std::fs::rename(own.join("unpacked"), place);
    assert!(moved.is_ok() || place.exists(), "{}: {moved:?}", place.display());
    std::fs::remove_dir_all(&own).unwrap();
}

/// Bars of the package, for the first instrument of a strategy file, stamped at their open.
pub fn packaged_bars(symbol: &str, file: &StrategyFile, interval: &str) -> CsvBars<BufReader<File>> {
    let path = packaged(&format!("{symbol}.csv"));
    let input = BufReader::new(File::open(&path).unwrap());
    let universe = file.universe().unwrap();
    let (at, instrument) = universe.instruments().next().unwrap();
    CsvBars::open(input, &path.display().to_string(), 0, at, instrument.clone(), format(interval)).unwrap()
}

pub fn format(interval: &str) -> BarFormat {
    let interval = interval.parse().unwrap();
    BarFormat { stamped: StampedAt::Open, interval, columns: BarColumns::default(), feed_latency_ns: 0 }
}

/// Bars from a text, for the first instrument of a strategy file.
pub fn bars_from(text: &str, file: &StrategyFile, interval: &str) -> CsvBars<Cursor<Vec<u8>>> {
    let universe = file.universe().unwrap();
    let (at, instrument) = universe.instruments().next().unwrap();
    CsvBars::open(Cursor::new(text.as_bytes().to_vec()), "bars.csv", 0, at, instrument.clone(), format(interval)).unwrap()
}

/// A strategy file of one instrument, with parts of it replaced.
pub fn strategy_file(strategy: Value, change: impl FnOnce(&mut Value)) -> StrategyFile {
    let mut file = json!({
        "name": "test",
        "strategy": strategy,
        "currency": "USD",
        "cash": "100000",
        "instruments": [{
            "symbol": "GOOG", "base": "GOOG", "quote": "USD", "tickSize": "0.01", "lotSize": "1",
            "maxQty": "1000000", "maxPrice": "100000", "fees": { "maker": "0", "taker": "0" }
        }],
        "limits": { "instruments": { "GOOG": { "maxOrderQty": "10", "maxPosition": "10" } } },
        "data": { "interval": "1d" },
        "backtest": { "barFill": "next_open" }
    });
    change(&mut file);
    serde_json::from_value(file).unwrap()
}

/// The strategy of the stated results.
pub fn sma_cross(fill: &str, fee: &str) -> StrategyFile {
    strategy_file(json!({ "smaCross": { "instrument": "GOOG", "fast": 10, "slow": 20, "qty": "10" } }), |file| {
        file["backtest"]["barFill"] = json!(fill);
        file["instruments"][0]["fees"] = json!({ "maker": fee, "taker": fee });
    })
}
