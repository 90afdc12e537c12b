//! The equity series of a run.

use super::record::Record;
use crate::event::{MarketEvent, Stamped};
use crate::number::Money;
use crate::time::{NS_PER_DAY, Time};

/// The series as far as it is not written: a point is written once the next one begins, so that the last one holds the sale at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Series {
    /// The first point, until it is written.
    starting: Option<Money>,
    /// The span of time that the last point stands for, and the point.
    open: Option<(i64, Time, Money)>,
}

impl Series {
    /// Starts with this much.
    pub(super) fn new(starting: Option<Money>) -> Series {
        Series { starting, open: None }
    }

    /// Takes in the equity after an event: daily and longer bars give a point each, anything shorter one a UTC day.
    pub(super) fn point(&mut self, stamped: &Stamped<'_>, equity: Money, record: &mut impl Record) {
        let key = stamped.key.time;
        let (now, opened, daily) = match &stamped.event {
            // A bar belongs to the day in which it was over, however late that is known.
            MarketEvent::Bar(bar) => (stamped.exchange_time, bar.opens, stamped.exchange_time.since(bar.opens) >= NS_PER_DAY),
            MarketEvent::Status(_) => return,
            MarketEvent::Disconnect | MarketEvent::Snapshot(_) | MarketEvent::Delta(_) | MarketEvent::Quote(_) | MarketEvent::Trade(_) => {
                (key, key, false)
            }
        };
        if let Some(cash) = self.starting.take() {
            record.equity(opened, cash);
        }
        // The close of a bar at midnight belongs to the day that it ends.
        let span = if daily { now.0 } else { Time(now.0.saturating_sub(1)).utc_day() };
        if let Some((_, at, last)) = self.open.filter(|(open, ..)| *open != span) {
            record.equity(at, last);
        }
        self.open = Some((span, now, equity));
    }

    /// Ends with this much.
    pub(super) fn end(&mut self, equity: Money, record: &mut impl Record) {
        if let Some((_, at, _)) = self.open.take() {
            record.equity(at, equity);
        }
    }
}
