//! A result as one page: it needs no network, no script and no other file.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use super::chart::{Chart, svg};
use super::curve::Curve;
use super::result::RunResult;
use crate::backtest::{Denied, FillRecord, OrderRecord, Record, Stop};
use crate::instrument::{InstrumentId, Universe};
use crate::judge::{Statistics, Verdict};
use crate::number::{HalfTicks, Money};
use crate::order::Side;
use crate::time::Time;

/// A chart that could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(String);

/// What the charts show, in memory that does not grow with the run.
#[derive(Clone, Debug)]
pub struct ChartData {
    tick: f64,
    equity: Curve<Time>,
    drawdown: Curve<Time>,
    high: f64,
    price: Curve<Time>,
    bought: Curve<Time>,
    sold: Curve<Time>,
}

/// The instrument that the price chart shows: the first of the file.
const SHOWN: InstrumentId = InstrumentId(0);

impl ChartData {
    /// Of a run on these instruments.
    pub fn new(universe: &Universe) -> ChartData {
        let tick = universe.instruments().next().and_then(|(_, first)| first.price_amount(HalfTicks(2)).ok()).map_or(1.0, Money::to_f64);
        let curve = Curve::default;
        ChartData { tick, equity: curve(), drawdown: curve(), high: f64::MIN, price: curve(), bought: curve(), sold: curve() }
    }
}

impl Record for ChartData {
    fn order(&mut self, _: &OrderRecord) {}
    fn denied(&mut self, _: &Denied) {}
    fn stopped(&mut self, _: &Stop) {}

    fn fill(&mut self, record: &FillRecord) {
        if record.instrument == SHOWN {
            let price = record.fill.price.0 as f64 * self.tick;
            match record.side {
                Side::Buy => self.bought.push(record.at, price),
                Side::Sell => self.sold.push(record.at, price),
            }
        }
    }

    fn equity(&mut self, at: Time, equity: Money) {
        let value = equity.to_f64();
        self.high = self.high.max(value);
        self.equity.push(at, value);
        self.drawdown.push(at, if self.high > 0.0 { (value / self.high - 1.0) * 100.0 } else { 0.0 });
    }

    fn mark(&mut self, at: Time, instrument: InstrumentId, price: HalfTicks) {
        if instrument == SHOWN {
            self.price.push(at, price.0 as f64 / 2.0 * self.tick);
        }
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2rem auto;padding:0 1rem;color:#1f2328}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem 1rem .2rem 0;text-align:left;border-bottom:1px solid #eaeef2}\
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto}code{overflow-wrap:anywhere}\
.warn{background:#fff8c5;border:1px solid #d4a72c;padding:.4rem .8rem;margin:.4rem 0}.Pass{color:#1a7f37}.Fail{color:#cf222e}";

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
///
/// # Errors
/// [`ReportError`].
pub fn html(result: &RunResult, data: &ChartData, universe: &Universe) -> Result<String, ReportError> {
    let mut page = String::new();
    let name = escaped(&result.name);
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><style>{STYLE}</style>\n<h1>{name}</h1>\n"
    );
    for warning in &result.warnings {
        let _ = writeln!(page, "<p class=\"warn\"><b>{}</b> {}</p>", warning.code, escaped(&warning.text));
    }
    summary(&mut page, result);
    let symbol = universe.instruments().next().map_or("", |(_, first)| &first.symbol);
    let (equity, drawdown, price) = (data.equity.points(), data.drawdown.points(), data.price.points());
    let (bought, sold) = (data.bought.points(), data.sold.points());
    let title = format!("Trades on {symbol}");
    let blue = RGBColor(0x09, 0x69, 0xda);
    for chart in [
        Chart { title: "Equity", line: &equity, bought: &[], sold: &[], color: blue },
        Chart { title: "Drawdown, percent", line: &drawdown, bought: &[], sold: &[], color: RGBColor(0xcf, 0x22, 0x2e) },
        Chart { title: &title, line: &price, bought: &bought, sold: &sold, color: RGBColor(0x6e, 0x77, 0x81) },
    ] {
        if let Some(drawn) = svg(&chart) {
            page.push_str(&drawn.map_err(ReportError)?);
        }
    }
    judged(&mut page, result);
    provenance(&mut page, result);
    Ok(page)
}

fn row(page: &mut String, name: &str, value: &str) {
    let _ = writeln!(page, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escaped(name), escaped(value));
}

fn summary(page: &mut String, result: &RunResult) {
    let tally = &result.tally;
    page.push_str("<table>\n");
    row(page, "Equity", &result.equity.map_or("unknown".to_owned(), |equity| format!("{equity} {}", result.currency)));
    row(page, "Starting cash", &format!("{} {}", result.starting_cash, result.currency));
    row(page, "Trades, flat to flat", &format!("{}: {} won, {} lost", tally.trades, tally.wins, tally.losses));
    row(page, "Won and lost", &format!("{} and {}", tally.gross_profit, tally.gross_loss));
    row(page, "Orders and fills", &format!("{} and {}", tally.orders, tally.fills));
    row(page, "Fees", &tally.fees.to_string());
    row(page, "Turnover", &tally.turnover.to_string());
    for (code, count) in &tally.denied {
        row(page, &format!("Denied {code}"), &count.to_string());
    }
    row(page, "State at the end", &result.state);
    page.push_str("</table>\n");
}

fn judged(page: &mut String, result: &RunResult) {
    let Some(judged) = &result.judged else { return };
    page.push_str("<h2>Statistics</h2>\n<table>\n");
    statistics(page, &judged.statistics);
    let unknown = || "unknown".to_owned();
    row(page, "Profit with costs doubled", &judged.profit_at_twice_the_costs.map_or_else(unknown, |profit| profit.to_string()));
    row(page, "Profit with costs trebled", &judged.profit_at_thrice_the_costs.map_or_else(unknown, |profit| profit.to_string()));
    if let Some(monte_carlo) = &judged.monte_carlo {
        let text = format!("{:.2} % in {} runs from seed {}", monte_carlo.percentile_95 * 100.0, monte_carlo.runs, monte_carlo.seed);
        row(page, "Drawdown, 95th percentile of reordered returns", &text);
    }
    page.push_str("</table>\n<h2>Verdicts</h2>\n<table>\n");
    let verdicts = &judged.verdicts;
    for (name, verdict) in [
        ("Look-ahead", verdicts.look_ahead),
        ("Cost stress", verdicts.cost_stress),
        ("Monte Carlo", verdicts.monte_carlo),
        ("Enough trades", verdicts.trades),
        ("Overall", verdicts.overall),
    ] {
        let word = match verdict {
            Verdict::Pass => "Pass",
            Verdict::Fail => "Fail",
            Verdict::Inconclusive => "Inconclusive",
        };
        let _ = writeln!(page, "<tr><td>{name}</td><td class=\"{word}\">{word}</td></tr>");
    }
    page.push_str("</table>\n");
}

fn statistics(page: &mut String, statistics: &Statistics) {
    let periods = statistics.annual.periods();
    let percent = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{:.3} %", value * 100.0));
    let plain = |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.4}"));
    let yearly = |name: &str| format!("{name} ({periods} returns a year)");
    for (name, value) in [
        ("Total return".to_owned(), percent(statistics.total_return)),
        (yearly("Annual return"), percent(statistics.annual_return)),
        (yearly("Annual volatility"), percent(statistics.annual_volatility)),
        (yearly("Sharpe ratio"), plain(statistics.sharpe)),
        (yearly("Sortino ratio"), plain(statistics.sortino)),
        (yearly("Calmar ratio"), plain(statistics.calmar)),
        ("Greatest drawdown".to_owned(), percent(statistics.max_drawdown)),
        ("Longest drawdown, returns".to_owned(), statistics.longest_drawdown.to_string()),
        ("Omega".to_owned(), plain(statistics.omega)),
        ("Skew".to_owned(), plain(statistics.skew)),
        ("Excess kurtosis".to_owned(), plain(statistics.excess_kurtosis)),
        ("Value at risk, 5 %".to_owned(), percent(statistics.value_at_risk)),
        ("Expected shortfall, 5 %".to_owned(), percent(statistics.expected_shortfall)),
        ("Tail ratio".to_owned(), plain(statistics.tail_ratio)),
        ("Stability".to_owned(), plain(statistics.stability)),
    ] {
        row(page, &name, &value);
    }
}

fn provenance(page: &mut String, result: &RunResult) {
    page.push_str("<h2>Made from</h2>\n<table>\n");
    let files = std::iter::once(&result.provenance.strategy).chain(&result.provenance.data);
    let files = files.map(|file| (file.name.as_str(), file.sha256.as_str()));
    for (name, digest) in files
        .chain([("program", result.provenance.binary.as_deref().unwrap_or("a debug build")), ("orders and fills", result.hash.as_str())])
    {
        let _ = writeln!(page, "<tr><td>{}</td><td><code>{}</code></td></tr>", escaped(name), escaped(digest));
    }
    page.push_str("</table>\n</html>\n");
}
