//! However long the data, what is kept of it is bounded: bars come through a pipe, and nobody knows how many there will be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use reeve_trading::backtest::{EquitySeries, run};
use reeve_trading::input::CsvBars;
use reeve_trading::instrument::InstrumentId;
use reeve_trading::output::{ChartData, CsvFiles, CsvRecord, ParquetFiles, ParquetRecord};
use reeve_trading::spec::StrategyFile;
use serde_json::json;
use world::{format, strategy_file};

/// Set for the process whose memory is measured, to the pipe that it reads.
const READS: &str = "REEVE_READS_PIPE";
/// Of a gigabyte a fifth: were anything of a row kept, it would show. `hack/bench/trading` sets another size.
const BYTES: u64 = 200_000_000;
const OTHER_BYTES: &str = "REEVE_PIPE_BYTES";
/// The most that a run may ever have resident.
const MOST_KIB: u64 = 256 * 1024;

fn file() -> StrategyFile {
    strategy_file(json!({ "smaCross": { "instrument": "GOOG", "fast": 50, "slow": 200, "qty": "10" } }), |file| {
        file["cash"] = json!("10000000");
        file["data"]["interval"] = json!("1m");
    })
}

/// Bars of a minute, as many as the size has room for; gives how many.
fn write_bars(into: impl Write) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, into);
    out.write_all(b"time,open,high,low,close,volume\n")?;
    let wanted = std::env::var(OTHER_BYTES).map_or(BYTES, |bytes| bytes.parse().unwrap());
    let (mut written, mut rows) = (0, 0_u64);
    while written < wanted {
        let close = 10_000 + 40 * (rows % 977) - 30 * (rows % 709) % 9_000 + rows / 5_000 % 500;
        let price = |ticks: u64| format!("{}.{:02}", ticks / 100, ticks % 100);
        let row =
            format!("{},{},{},{},{},1000\n", 1_000_000_000 + 60 * rows, price(close), price(close + 10), price(close - 10), price(close));
        out.write_all(row.as_bytes())?;
        (written, rows) = (written + row.len() as u64, rows + 1);
    }
    out.flush()?;
    Ok(rows)
}

/// What `reeve backtest` does with a pipe: everything that is taken down is taken down.
fn read_bars(pipe: &str) -> (u64, u64) {
    let file = file();
    let universe = Arc::new(file.universe().unwrap());
    let instrument = universe.get(InstrumentId(0)).clone();
    let input = BufReader::with_capacity(256 * 1024, File::open(pipe).unwrap());
    let data = CsvBars::open(input, pipe, 0, InstrumentId(0), instrument, format("1m")).unwrap();
    let csv = CsvFiles { orders: io::sink(), fills: io::sink(), denied: io::sink(), stops: io::sink(), equity: io::sink() };
    let parquet = ParquetFiles { orders: io::sink(), fills: io::sink(), equity: io::sink() };
    let files = (CsvRecord::new(csv, Arc::clone(&universe)).unwrap(), ParquetRecord::new(parquet, Arc::clone(&universe)).unwrap());
    let record = (files, (EquitySeries::default(), ChartData::new(&universe)));
    let (outcome, ((csv, parquet), _)) = run(&file, data, record).unwrap();
    csv.finish().unwrap();
    parquet.finish().unwrap();
    (outcome.tally.bars, outcome.tally.fills)
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_megabytes_of_bars_through_a_pipe_stay_within_256_mib() {
    if let Some(pipe) = std::env::var_os(READS) {
        let (bars, fills) = read_bars(pipe.to_str().unwrap());
        println!("read {bars} {fills} {}", peak_kib());
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("bars.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "two_hundred_megabytes_of_bars_through_a_pipe_stay_within_256_mib", "--test-threads", "1", "--nocapture"])
        .env(READS, &pipe)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A reader that is gone breaks the pipe; why it went is in what it said.
    let written = File::options().write(true).open(&pipe).and_then(write_bars);
    let output = reader.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("read ")).expect(&said).1;
    let [bars, fills, peak] = line.split(' ').map(|word| word.parse::<u64>().unwrap()).collect::<Vec<_>>()[..] else { panic!("{said}") };
    println!("{bars} bars, {fills} fills, {} MiB at most", peak / 1024);
    assert_eq!(bars, written.unwrap());
    assert!(fills > 5_000, "{fills} fills: next to nothing was taken down");
    assert!(peak <= MOST_KIB, "{peak} KiB were resident, {MOST_KIB} are allowed");
}
