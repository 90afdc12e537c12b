//! Orders, fills, denials, stops and equity as CSV, a row as it happens.

use std::io::{self, Write};
use std::sync::Arc;

use crate::backtest::{Denied, FillRecord, OrderRecord, Record, Stop};
use crate::instrument::{Liquidity, Universe};
use crate::number::{Money, Price};
use crate::time::Time;

/// Where each kind of row goes.
pub struct CsvFiles<W> {
    /// Orders that were sent.
    pub orders: W,
    /// Fills.
    pub fills: W,
    /// Denied intents.
    pub denied: W,
    /// Stops.
    pub stops: W,
    /// The equity series.
    pub equity: W,
}

/// Writes rows. What could not be written is said at the end; the run itself does not depend on it.
pub struct CsvRecord<W> {
    files: CsvFiles<W>,
    universe: Arc<Universe>,
    failed: Option<io::Error>,
}

impl<W: Write> CsvRecord<W> {
    /// Writes the headers.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut files: CsvFiles<W>, universe: Arc<Universe>) -> io::Result<CsvRecord<W>> {
        writeln!(files.orders, "time,order,instrument,side,kind,tif,quantity,limit,trigger,trail,reduce_only,oco")?;
        writeln!(files.fills, "time,order,execution,instrument,side,price,quantity,liquidity,fee,fee_asset,realised")?;
        writeln!(files.denied, "time,instrument,side,code,allowed,found")?;
        writeln!(files.stops, "time,code,allowed,found")?;
        writeln!(files.equity, "time,equity")?;
        Ok(CsvRecord { files, universe, failed: None })
    }

    /// Ends the files.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let CsvFiles { orders, fills, denied, stops, equity } = &mut self.files;
        [orders, fills, denied, stops, equity].into_iter().try_for_each(Write::flush)
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}

impl<W: Write> Record for CsvRecord<W> {
    fn order(&mut self, record: &OrderRecord) {
        let (order, instrument) = (&record.order, self.universe.get(record.order.instrument));
        let price = |price: Option<Price>| price.map(|price| instrument.price_text(price)).unwrap_or_default();
        let written = writeln!(
            self.files.orders,
            "{},{},{},{},{},{},{},{},{},{},{},{}",
            record.at,
            order.id,
            instrument.symbol,
            order.side.name(),
            order.kind.name(),
            order.tif.name(),
            instrument.qty_text(order.qty),
            price(order.kind.limit()),
            price(order.kind.trigger()),
            price(order.kind.distance().map(Price)),
            order.reduce_only,
            order.oco.map(|pair| pair.to_string()).unwrap_or_default(),
        );
        self.keep(written);
    }

    fn fill(&mut self, record: &FillRecord) {
        let (fill, instrument) = (&record.fill, self.universe.get(record.instrument));
        let liquidity = match fill.liquidity {
            Liquidity::Maker => "maker",
            Liquidity::Taker => "taker",
        };
        let written = writeln!(
            self.files.fills,
            "{},{},{},{},{},{},{},{liquidity},{},{},{}",
            record.at,
            record.order,
            fill.exec_id,
            instrument.symbol,
            record.side.name(),
            instrument.price_text(fill.price),
            instrument.qty_text(fill.qty),
            fill.fee.amount,
            self.universe.asset_name(fill.fee.asset),
            record.realised,
        );
        self.keep(written);
    }

    fn denied(&mut self, denied: &Denied) {
        let (symbol, denial) = (&self.universe.get(denied.instrument).symbol, &denied.denial);
        let written = writeln!(
            self.files.denied,
            "{},{symbol},{},{},\"{}\",\"{}\"",
            denied.at,
            denied.side.name(),
            denial.code,
            denial.allowed,
            denial.found
        );
        self.keep(written);
    }

    fn stopped(&mut self, stop: &Stop) {
        let written = writeln!(self.files.stops, "{},{},\"{}\",\"{}\"", stop.at, stop.denial.code, stop.denial.allowed, stop.denial.found);
        self.keep(written);
    }

    fn equity(&mut self, at: Time, equity: Money) {
        let written = writeln!(self.files.equity, "{at},{equity}");
        self.keep(written);
    }
}
