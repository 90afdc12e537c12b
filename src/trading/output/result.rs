//! The result of a run as a document.

use serde::Serialize;

use crate::backtest::{Judged, Outcome, Sweep, Tally};
use crate::instrument::Universe;
use crate::number::Money;
use crate::risk::State;

/// A file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDigest {
    /// Its name, without its folder: where a file lies changes nothing.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// What a result was made from: the same of all of it gives the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The strategy file.
    pub strategy: FileDigest,
    /// The data.
    pub data: Vec<FileDigest>,
    /// SHA-256 of the program; none for a debug build, whose results are no evidence.
    pub binary: Option<String>,
}

/// What a reader of the result has to know before its figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// A word for it.
    pub code: &'static str,
    /// What it means.
    pub text: String,
}

/// A result. Money is text, so that no reader rounds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// The strategy's name.
    pub name: String,
    /// Starting cash.
    pub starting_cash: Money,
    /// Equity at the end; none while something owned has no mark.
    pub equity: Option<Money>,
    /// Cash at the end.
    pub cash: Money,
    /// The reporting currency.
    pub currency: String,
    /// SHA-256 over orders and fills.
    pub hash: String,
    /// Whether a gate may take it as evidence.
    pub promotable: bool,
    /// What the strategy might do at the end, and the code of what stopped it.
    pub state: String,
    /// What has to be known before the figures.
    pub warnings: Vec<Warning>,
    /// Counts and sums.
    pub tally: Tally,
    /// What it is worth, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// What other parameters came to, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// What it was made from.
    pub provenance: Provenance,
}

impl RunResult {
    /// The document of an outcome.
    pub fn new(name: &str, starting_cash: Money, universe: &Universe, outcome: Outcome, provenance: Provenance) -> RunResult {
        let mut warnings = warnings(universe, &outcome);
        if provenance.binary.is_none() {
            let text = "a debug build made it, whose digest was not taken; no gate accepts it".to_owned();
            warnings.push(Warning { code: "DEBUG", text });
        }
        let state = match outcome.state {
            State::Active => "active".to_owned(),
            State::Reducing(code) => format!("reducing: {code}"),
            State::Halted(code) => format!("halted: {code}"),
        };
        RunResult {
            name: name.to_owned(),
            starting_cash,
            equity: outcome.equity,
            cash: outcome.cash,
            currency: universe.asset_name(Universe::REPORTING).to_owned(),
            hash: outcome.hash,
            promotable: outcome.promotable && provenance.binary.is_some(),
            state,
            warnings,
            tally: outcome.tally,
            judged: None,
            sweep: None,
            provenance,
        }
    }
}

fn warnings(universe: &Universe, outcome: &Outcome) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, text: String| warnings.push(Warning { code, text });
    if outcome.optimistic {
        warn(
            "OPTIMISTIC",
            "orders were filled at the close of the bar that led to them, as if there were no latency; no gate accepts it".to_owned(),
        );
    }
    if !outcome.promotable && !outcome.optimistic {
        warn("RESEARCH", "the limits were not bounded by the ceilings; no gate accepts it".to_owned());
    }
    if outcome.tally.gaps > 0 {
        warn("GAPS", format!("{} intervals have no bar; nothing was put into them", outcome.tally.gaps));
    }
    for (at, lots, why) in &outcome.left {
        let instrument = universe.get(*at);
        warn(
            "LEFT",
            format!("{} {} could not be sold at the end ({why}); it is valued at its mark", instrument.qty_text(*lots), instrument.symbol),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::number::Qty;

    #[test]
    fn what_a_reader_has_to_know_stands_in_the_document() {
        let spec = serde_json::from_value(serde_json::json!({
            "symbol": "X", "base": "X", "quote": "USD", "tickSize": "0.01", "lotSize": "0.1", "maxQty": "10", "maxPrice": "10"
        }));
        let universe = Universe::load("USD", &[spec.unwrap()]).unwrap();
        let outcome = Outcome {
            equity: Some(Money::whole(7)),
            cash: Money::whole(5),
            tally: Tally { gaps: 3, ..Tally::default() },
            hash: "00".to_owned(),
            state: State::Halted(crate::risk::Code::Drawdown),
            optimistic: true,
            promotable: false,
            left: vec![(crate::instrument::InstrumentId(0), Qty(15), "DUST".to_owned())],
        };
        let provenance =
            Provenance { strategy: FileDigest { name: "s".to_owned(), sha256: "1".to_owned() }, data: Vec::new(), binary: None };
        let document = serde_json::to_value(RunResult::new("s", Money::whole(9), &universe, outcome, provenance)).unwrap();
        let codes: Vec<_> =
            document["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap().to_owned()).collect();
        assert_eq!(codes, ["OPTIMISTIC", "GAPS", "LEFT", "DEBUG"]);
        assert!(document["warnings"][2]["text"].as_str().unwrap().starts_with("1.5 X could not be sold"));
        assert_eq!((&document["equity"], &document["state"]), (&serde_json::json!("7"), &serde_json::json!("halted: DRAWDOWN")));
    }
}
