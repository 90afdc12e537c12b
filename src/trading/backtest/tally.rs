//! Counts and sums of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ledger::RoundTrip;
use crate::number::{Money, Overflow};
use crate::risk::Code;

/// Counts and sums of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Market events.
    pub events: u64,
    /// Bars among them.
    pub bars: u64,
    /// Intervals without a bar: shown, never filled in.
    pub gaps: u64,
    /// Orders sent.
    pub orders: u64,
    /// Fills.
    pub fills: u64,
    /// Cancels sent.
    pub cancels: u64,
    /// Denied intents, by code.
    #[serde(serialize_with = "by_name")]
    pub denied: BTreeMap<Code, u64>,
    /// Round trips, flat to flat.
    pub trades: u64,
    /// Those that made money after fees.
    pub wins: u64,
    /// Those that lost money after fees; a trip of exactly zero is neither.
    pub losses: u64,
    /// What the winning trips made.
    pub gross_profit: Money,
    /// What the losing trips lost, as a negative amount.
    pub gross_loss: Money,
    /// Fees, in the reporting currency.
    pub fees: Money,
    /// Notional traded.
    pub turnover: Money,
}

fn by_name<S: serde::Serializer>(denied: &BTreeMap<Code, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(denied.iter().map(|(code, count)| (code.name(), count)))
}

impl Tally {
    pub(super) fn trip(&mut self, trip: RoundTrip) -> Result<(), Overflow> {
        self.trades += 1;
        match trip.profit.cmp(&Money::ZERO) {
            std::cmp::Ordering::Greater => {
                self.wins += 1;
                self.gross_profit = self.gross_profit.plus(trip.profit)?;
            }
            std::cmp::Ordering::Less => {
                self.losses += 1;
                self.gross_loss = self.gross_loss.plus(trip.profit)?;
            }
            std::cmp::Ordering::Equal => {}
        }
        Ok(())
    }
}
