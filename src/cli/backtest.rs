//! `reeve backtest`: a strategy against recorded markets.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use reeve_trading::backtest::{self, Axis, EquitySeries, Judged, Outcome, RunError, Sweep};
use reeve_trading::input::{BarFormat, CsvBars, Frames, JsonLines, Merge, Source, StampedAt, TradeBars};
use reeve_trading::instrument::{InstrumentId, Universe};
use reeve_trading::output::{
    ChartData, CsvFiles, CsvRecord, DigestHandle, Digesting, FileDigest, ParquetFiles, ParquetRecord, Provenance, RunResult, html,
    sha256_hex,
};
use reeve_trading::risk::LatchStore as _;
use reeve_trading::spec::StrategyFile;
use reeve_trading::venue::Latency;

use crate::exit::Failure;
use crate::latches::LatchFile;
use crate::output::{self, OutputFormat};

const EXAMPLES: &str = "\
Examples:
  reeve backtest --strategy sma.yaml --data goog.csv --ts open --out result
  reeve backtest --strategy pair.yaml --data X=x.csv --data Y=y.csv --ts close --out result
  zcat big.csv.gz | reeve backtest --strategy sma.yaml --data /dev/stdin --ts open --out result
  reeve backtest --strategy sma.yaml --data goog.csv --ts open --out result --judge --sweep fast=5,10,15 --sweep slow=20,40
  reeve backtest --strategy maker.yaml --data btcusdt.frames --format frames --latency measured.csv --out result

DIR gets orders, fills and equity as CSV and Parquet, denied.csv and stops.csv while it runs, then report.html, and result.json last: without
it there is no result. --judge runs the strategy about a dozen times more, on data that ends earlier and with costs doubled and trebled.";

/// Runs a strategy against recorded markets, exactly and the same each time.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Backtest {
    /// The strategy, its instruments and its limits, as YAML
    #[arg(long, value_name = "FILE")]
    strategy: PathBuf,
    /// Recorded data; with more than one instrument each file is named by its instrument's symbol
    #[arg(long, value_name = "[SYMBOL=]FILE", required = true, num_args = 1..)]
    data: Vec<String>,
    /// Form of the data
    #[arg(long, value_enum, default_value_t)]
    format: DataFormat,
    /// Which end of its interval a row's time is: no file of bars says it, and guessing wrong is trading on the future
    #[arg(long, value_enum)]
    ts: Option<RowTime>,
    /// Folder for the result; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Latency as it was measured, CSV of time,there_ns,back_ns: each line holds from its time on
    #[arg(long, value_name = "FILE")]
    latency: Option<PathBuf>,
    /// What stopped the strategy before, and its highest equity; kept there for the next run. One that cannot be read halts the strategy
    #[arg(long, value_name = "FILE")]
    latches: Option<PathBuf>,
    /// Statistics and verdicts too; data from a pipe can be read only once, which leaves those that run again open
    #[arg(long)]
    judge: bool,
    /// Values of a parameter that are all tried, each with all of the others; the result says how much of the best is luck
    #[arg(long, value_name = "NAME=VALUE,VALUE...", value_parser = axis)]
    sweep: Vec<Axis>,
    /// Threads of a sweep: the result is the same with any number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seed of what is drawn by chance when judging: the same one draws the same
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Form of what is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RowTime {
    /// The start.
    Open,
    /// The end.
    Close,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DataFormat {
    /// Bars as CSV.
    #[default]
    Csv,
    /// Frames of Binance spot as they were received: a time in ns, a space, the frame.
    Frames,
    /// Events as JSON, one a line.
    Jsonl,
}

/// One input, and what it was.
struct Opened {
    source: Box<dyn Source>,
    name: String,
    digest: DigestHandle,
}

/// Bytes read at once. A file of bars is read from its start to its end.
const READ_BYTES: usize = 256 * 1024;

impl Backtest {
    /// Runs it.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = fs::read_to_string(&self.strategy).map_err(Failure::reading(self.strategy.display()))?;
        let unusable = |error: &dyn std::fmt::Display| Failure::unusable(format!("{}: {error}", self.strategy.display()));
        let mut file: StrategyFile = serde_saphyr::from_str(&text).map_err(|error| unusable(&error))?;
        let latency = self.read_latency(&mut file)?;
        let universe = Arc::new(file.universe().map_err(|error| unusable(&error))?);
        file.limits(&universe).and(file.settings()).map_err(|error| unusable(&error))?;
        file.build(&universe).map_err(|error| unusable(&error))?;
        let bar = self.progress(&universe);
        let opened = self.open_data(&file, &universe, &bar)?;
        let files = (self.open_record(&universe)?, self.open_parquet(&universe)?);
        let record = (files, (EquitySeries::default(), ChartData::new(&universe)));
        let (sources, digests): (Vec<_>, Vec<_>) = opened.into_iter().map(|opened| (opened.source, (opened.name, opened.digest))).unzip();
        let data = Merge::new(sources);
        let ran = match &self.latches {
            None => backtest::run(&file, data, record),
            Some(path) => {
                let latches = LatchFile::new(path);
                if let Err(error) = latches.load(&backtest::latch_key(&file)) {
                    eprintln!("{error}");
                }
                backtest::run_with_latches(&file, data, record, latches)
            }
        };
        let (outcome, ((csv, parquet), (series, charts))) = ran.map_err(of_run)?;
        bar.finish_and_clear();
        csv.finish().map_err(Failure::writing(self.out.display()))?;
        parquet.finish().map_err(|error| Failure::unusable(format!("writing {}: {error}", self.out.display())))?;
        let provenance = Provenance {
            strategy: FileDigest { name: name_of(&self.strategy), sha256: sha256_hex(text.as_bytes()) },
            data: digests.into_iter().map(|(name, digest)| FileDigest { name, sha256: digest.value() }).chain(latency).collect(),
            binary: binary()?,
        };
        let judged = if self.judge { Some(self.judged(&file, &universe, &outcome, &series)?) } else { None };
        let mut result = RunResult::new(&file.name, file.cash, &universe, outcome, provenance);
        result.judged = judged;
        result.sweep = if self.sweep.is_empty() { None } else { Some(self.swept(&file, &universe)?) };
        let report = self.out.join("report.html");
        let page = html(&result, &charts, &universe).map_err(Failure::unusable)?;
        fs::write(&report, page).map_err(Failure::writing(report.display()))?;
        self.write_result(&result)?;
        self.print(&result)
    }

    /// Puts a recorded latency into the strategy file, and gives what it was.
    fn read_latency(&self, file: &mut StrategyFile) -> Result<Option<FileDigest>, Failure> {
        let Some(path) = &self.latency else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(Failure::reading(path.display()))?;
        let recorded = Latency::from_csv(&text);
        file.backtest.recorded_latency =
            Some(recorded.map_err(|(line, why)| Failure::unusable(format!("{}:{line}: {why}", path.display())))?);
        Ok(Some(FileDigest { name: name_of(path), sha256: sha256_hex(text.as_bytes()) }))
    }

    fn judged(&self, file: &StrategyFile, universe: &Universe, outcome: &Outcome, series: &EquitySeries) -> Result<Judged, Failure> {
        // A pipe has given what it had.
        let again = self.data.iter().all(|argument| of_instrument(argument, universe).is_ok_and(|(_, path)| path.is_file()));
        let open = || {
            let opened = again.then(|| self.open_data(file, universe, &ProgressBar::hidden())).transpose();
            let opened = opened.map_err(|failure| RunError::Reopen(format!("{failure:?}")))?;
            Ok(opened.map(|opened| Merge::new(opened.into_iter().map(|opened| opened.source).collect())))
        };
        backtest::judge(file, outcome, &series.points, self.seed, open).map_err(of_run)
    }

    fn swept(&self, file: &StrategyFile, universe: &Universe) -> Result<Sweep, Failure> {
        let jobs = self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
        let open = || {
            let opened =
                self.open_data(file, universe, &ProgressBar::hidden()).map_err(|failure| RunError::Reopen(format!("{failure:?}")))?;
            Ok(Merge::new(opened.into_iter().map(|opened| opened.source).collect()))
        };
        backtest::sweep(file, &self.sweep, jobs, open).map_err(of_run)
    }

    /// A bar over the bytes of the data, on a terminal; a pipe does not say how much is to come.
    fn progress(&self, universe: &Universe) -> ProgressBar {
        let length = |argument: &String| {
            let (_, path) = of_instrument(argument, universe).ok()?;
            fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
        };
        let total: Option<u64> = self.data.iter().map(length).sum();
        let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} to go").ok();
        match (total, style) {
            (Some(total), Some(style)) => ProgressBar::new(total).with_style(style),
            (_, _) => ProgressBar::hidden(),
        }
    }

    fn open_data(&self, file: &StrategyFile, universe: &Universe, bar: &ProgressBar) -> Result<Vec<Opened>, Failure> {
        let mut opened = Vec::new();
        let mut named: Vec<InstrumentId> = Vec::new();
        for (argument, place) in self.data.iter().zip(0..) {
            let (at, path) = of_instrument(argument, universe)?;
            if named.contains(&at) {
                return Err(Failure::unusable(format!("--data {argument}: {} has a file already", universe.get(at).symbol)));
            }
            named.push(at);
            let (reader, digest) = Digesting::new(bar.wrap_read(File::open(path).map_err(Failure::reading(path.display()))?));
            let (input, shown) = (BufReader::with_capacity(READ_BYTES, reader), path.display().to_string());
            let instrument = universe.get(at).clone();
            let source: Box<dyn Source> = match (self.format, self.ts) {
                (DataFormat::Frames, _) => Box::new(Frames::new(input, &shown, place, at, instrument)),
                (DataFormat::Jsonl, _) => Box::new(JsonLines::new(input, &shown, place, at, instrument)),
                (DataFormat::Csv, None) => {
                    return Err(Failure::unusable(
                        "--ts open or --ts close: no file of bars says which end of its interval a row's time is",
                    ));
                }
                (DataFormat::Csv, Some(ts)) => {
                    let format = bar_format(file, ts)?;
                    Box::new(CsvBars::open(input, &shown, place, at, instrument, format).map_err(Failure::unusable)?)
                }
            };
            let source = match file.bars_from(universe, at).map_err(Failure::unusable)? {
                Some(by) => Box::new(TradeBars::new(source, by, place, at)),
                None => source,
            };
            opened.push(Opened { source, name: name_of(path), digest });
        }
        Ok(opened)
    }

    fn open_record(&self, universe: &Arc<Universe>) -> Result<CsvRecord<BufWriter<File>>, Failure> {
        let wrong = Failure::writing(self.out.display());
        let open = || {
            fs::create_dir_all(&self.out)?;
            // A result that was there is none of this run's.
            match fs::remove_file(self.out.join("result.json")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let file = |name: &str| File::create(self.out.join(name)).map(BufWriter::new);
            let (orders, fills, denied) = (file("orders.csv")?, file("fills.csv")?, file("denied.csv")?);
            let files = CsvFiles { orders, fills, denied, stops: file("stops.csv")?, equity: file("equity.csv")? };
            CsvRecord::new(files, Arc::clone(universe))
        };
        open().map_err(wrong)
    }

    fn open_parquet(&self, universe: &Arc<Universe>) -> Result<ParquetRecord<File>, Failure> {
        let file = |name: &str| {
            let path = self.out.join(name);
            File::create(&path).map_err(Failure::writing(path.display()))
        };
        let files = ParquetFiles { orders: file("orders.parquet")?, fills: file("fills.parquet")?, equity: file("equity.parquet")? };
        ParquetRecord::new(files, Arc::clone(universe))
            .map_err(|error| Failure::unusable(format!("writing {}: {error}", self.out.display())))
    }

    fn write_result(&self, result: &RunResult) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(result).map_err(|error| Failure::unusable(format!("writing JSON: {error}")))?;
        // Moved into place, so that it is whole or not there.
        let (half, whole) = (self.out.join("result.json.part"), self.out.join("result.json"));
        let write = || {
            let mut file = File::create(&half)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&half, &whole)
        };
        write().map_err(Failure::writing(whole.display()))
    }

    fn print(&self, result: &RunResult) -> Result<(), Failure> {
        if self.output != OutputFormat::Table {
            return output::value(self.output, result);
        }
        let equity = result.equity.map_or("unknown".to_owned(), |equity| equity.to_string());
        let tally = &result.tally;
        for warning in &result.warnings {
            output::line(&format!("{}: {}", warning.code, warning.text))?;
        }
        let denied: u64 = tally.denied.values().sum();
        for (name, value) in [
            ("equity", format!("{equity} {} from {}", result.currency, result.starting_cash)),
            ("fills", format!("{} of {} orders, {denied} denied", tally.fills, tally.orders)),
            ("trades", format!("{}, {} won, {} lost", tally.trades, tally.wins, tally.losses)),
            ("fees", tally.fees.to_string()),
            ("bars", format!("{}, {} gaps", tally.bars, tally.gaps)),
            ("state", result.state.clone()),
            ("hash", result.hash.clone()),
        ] {
            output::line(&format!("{name:<8} {value}"))?;
        }
        if let Some(judged) = &result.judged {
            let ratio = judged.statistics.sharpe.map_or("none".to_owned(), |ratio| format!("{ratio:.4}"));
            output::line(&format!("sharpe   {ratio}, {} returns a year", judged.statistics.annual.periods()))?;
            output::line(&format!("verdict  {:?}", judged.verdicts.overall))?;
        }
        if let Some((sweep, best)) = result.sweep.as_ref().and_then(|sweep| Some((sweep, sweep.trials.get(sweep.best?)?))) {
            let parameters: Vec<String> = best.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let luck = sweep.deflated_sharpe.map_or("unknown".to_owned(), |probability| format!("{probability:.4}"));
            output::line(&format!(
                "best     {} of {} trials; more than luck with probability {luck}",
                parameters.join(" "),
                sweep.trials.len()
            ))?;
            output::line(&format!("verdict  out of sample {:?}, neighbourhood {:?}", sweep.out_of_sample, sweep.neighbourhood))?;
        }
        Ok(())
    }
}

fn bar_format(file: &StrategyFile, ts: RowTime) -> Result<BarFormat, Failure> {
    let interval = file.data.interval.parse().map_err(|error| Failure::unusable(format!("data.interval: {error}")))?;
    let stamped = match ts {
        RowTime::Open => StampedAt::Open,
        RowTime::Close => StampedAt::Close,
    };
    let feed_latency_ns = file.data.feed_latency_ms.saturating_mul(reeve_trading::time::NS_PER_MS);
    Ok(BarFormat { stamped, interval, columns: file.data.columns.clone(), feed_latency_ns })
}

/// `fast=5,10,20`.
fn axis(argument: &str) -> Result<Axis, String> {
    let expected = || format!("expected NAME=VALUE,VALUE..., found {argument:?}");
    let (name, values) = argument.split_once('=').ok_or_else(expected)?;
    let values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if name.is_empty() || values.iter().any(String::is_empty) { Err(expected()) } else { Ok(Axis { name: name.to_owned(), values }) }
}

/// The instrument and the file of an argument.
fn of_instrument<'a>(argument: &'a str, universe: &Universe) -> Result<(InstrumentId, &'a Path), Failure> {
    if let Some((symbol, path)) = argument.split_once('=')
        && let Some(at) = universe.find(symbol)
    {
        return Ok((at, Path::new(path)));
    }
    let mut instruments = universe.instruments();
    match (instruments.next(), instruments.next()) {
        (Some((at, _)), None) => Ok((at, Path::new(argument))),
        (_, _) => {
            let symbols: Vec<&str> = universe.instruments().map(|(_, instrument)| instrument.symbol.as_str()).collect();
            Err(Failure::unusable(format!("--data {argument}: expected SYMBOL=FILE with one of {}", symbols.join(", "))))
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The digest of this program. A debug build is no evidence, and hashing its hundreds of megabytes with unoptimised code takes longer than
/// most backtests: none is taken.
fn binary() -> Result<Option<String>, Failure> {
    if cfg!(debug_assertions) {
        return Ok(None);
    }
    let read = || {
        let (mut reader, digest) = Digesting::new(File::open(std::env::current_exe()?)?);
        std::io::copy(&mut reader, &mut std::io::sink())?;
        Ok(Some(digest.value()))
    };
    read().map_err(Failure::reading("this program"))
}

fn of_run(error: RunError) -> Failure {
    match error {
        RunError::Spec(error) => Failure::unusable(error),
        RunError::Input(error) => Failure::unusable(error),
        RunError::Reopen(_) | RunError::TooManyTrials => Failure::unusable(error),
        // The data was understood, and what came of it cannot be counted.
        RunError::Engine(error) => Failure::no(error),
        RunError::Overflow(error) => Failure::no(error),
    }
}
