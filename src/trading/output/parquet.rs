//! Orders, fills and equity as Parquet, in row groups, so that their number costs no memory.
//!
//! Amounts are DECIMAL(38, 24): every digit that the ledger has. Times are TIMESTAMP in nanoseconds of UTC.

use std::io::Write;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::backtest::{Denied, FillRecord, OrderRecord, Record, Stop};
use crate::instrument::{Instrument, Liquidity, Universe};
use crate::number::{HalfTicks, Money, Overflow, Price};
use crate::time::Time;

/// Rows of a group: about ten megabytes of orders.
const ROWS_A_GROUP: usize = 65_536;

const AMOUNT: &str = "FIXED_LEN_BYTE_ARRAY(16)";
const DECIMAL: &str = "(DECIMAL(38,24))";

/// The greatest amount of 38 digits.
const MOST: i128 = 10_i128.pow(38) - 1;

#[derive(Debug)]
enum Column {
    Text(Vec<ByteArray>),
    Time(Vec<i64>),
    Count(Vec<i64>),
    Amount(Vec<FixedLenByteArray>),
    /// Values that are there, and for each row whether it has one.
    MaybeAmount(Vec<FixedLenByteArray>, Vec<i16>),
}

enum Cell {
    Text(String),
    Time(Time),
    Count(i64),
    Amount(Money),
    MaybeAmount(Option<Money>),
}

fn fixed(amount: Money) -> Result<FixedLenByteArray, ParquetError> {
    if amount.0.abs() > MOST {
        return Err(ParquetError::General(format!("{amount} has more than 38 digits")));
    }
    Ok(FixedLenByteArray::from(amount.0.to_be_bytes().to_vec()))
}

impl Column {
    fn push(&mut self, cell: Cell) -> Result<(), ParquetError> {
        match (self, cell) {
            (Column::Text(values), Cell::Text(text)) => values.push(ByteArray::from(text.into_bytes())),
            (Column::Time(values), Cell::Time(at)) => values.push(at.0),
            (Column::Count(values), Cell::Count(count)) => values.push(count),
            (Column::Amount(values), Cell::Amount(amount)) => values.push(fixed(amount)?),
            (Column::MaybeAmount(values, there), Cell::MaybeAmount(amount)) => {
                there.push(i16::from(amount.is_some()));
                values.extend(amount.map(fixed).transpose()?);
            }
            (Column::Text(_) | Column::Time(_) | Column::Count(_) | Column::Amount(_) | Column::MaybeAmount(..), _) => {
                return Err(ParquetError::General("a cell is not of its column's kind".to_owned()));
            }
        }
        Ok(())
    }
}

/// One file. Its columns are `(name, empty column)`.
struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

impl<W: Write + Send> Table<W> {
    fn new(to: W, columns: Vec<(&str, Column)>) -> Result<Table<W>, ParquetError> {
        let field = |(name, column): &(&str, Column)| match column {
            Column::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (STRING);"),
            Column::Time(_) => format!("REQUIRED INT64 {name} (TIMESTAMP(NANOS,true));"),
            Column::Count(_) => format!("REQUIRED INT64 {name};"),
            Column::Amount(_) => format!("REQUIRED {AMOUNT} {name} {DECIMAL};"),
            Column::MaybeAmount(..) => format!("OPTIONAL {AMOUNT} {name} {DECIMAL};"),
        };
        let fields: String = columns.iter().map(field).collect();
        let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}"))?);
        let writer = SerializedFileWriter::new(to, schema, Arc::new(WriterProperties::builder().build()))?;
        Ok(Table { writer, columns: columns.into_iter().map(|(_, column)| column).collect(), rows: 0 })
    }

    fn row<const N: usize>(&mut self, cells: [Cell; N]) -> Result<(), ParquetError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell)?;
        }
        self.rows += 1;
        if self.rows >= ROWS_A_GROUP { self.group() } else { Ok(()) }
    }

    /// Writes the rows so far as a group.
    fn group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut to) = group.next_column()? else { return Err(ParquetError::General("a column too many".to_owned())) };
            match column {
                Column::Text(values) => {
                    to.typed::<ByteArrayType>().write_batch(values, None, None)?;
                    values.clear();
                }
                Column::Time(values) | Column::Count(values) => {
                    to.typed::<Int64Type>().write_batch(values, None, None)?;
                    values.clear();
                }
                Column::Amount(values) => {
                    to.typed::<FixedLenByteArrayType>().write_batch(values, None, None)?;
                    values.clear();
                }
                Column::MaybeAmount(values, there) => {
                    to.typed::<FixedLenByteArrayType>().write_batch(values, Some(there), None)?;
                    values.clear();
                    there.clear();
                }
            }
            to.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(), ParquetError> {
        self.group()?;
        self.writer.close().map(|_| ())
    }
}

/// Where each kind of row goes.
pub struct ParquetFiles<W> {
    /// Orders that were sent.
    pub orders: W,
    /// Fills.
    pub fills: W,
    /// The equity series.
    pub equity: W,
}

/// Writes rows. What could not be written is said at the end; the run itself does not depend on it.
pub struct ParquetRecord<W: Write + Send> {
    orders: Table<W>,
    fills: Table<W>,
    equity: Table<W>,
    universe: Arc<Universe>,
    failed: Option<ParquetError>,
}

fn text() -> Column {
    Column::Text(Vec::new())
}

fn amount() -> Column {
    Column::Amount(Vec::new())
}

fn maybe() -> Column {
    Column::MaybeAmount(Vec::new(), Vec::new())
}

impl<W: Write + Send> ParquetRecord<W> {
    /// Starts the files.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(files: ParquetFiles<W>, universe: Arc<Universe>) -> Result<ParquetRecord<W>, ParquetError> {
        let time = || ("time", Column::Time(Vec::new()));
        let orders = vec![
            time(),
            ("order", text()),
            ("instrument", text()),
            ("side", text()),
            ("kind", text()),
            ("tif", text()),
            ("quantity", amount()),
            ("limit", maybe()),
            ("trigger", maybe()),
            ("trail", maybe()),
        ];
        let fills = vec![
            time(),
            ("order", text()),
            ("execution", Column::Count(Vec::new())),
            ("instrument", text()),
            ("side", text()),
            ("price", amount()),
            ("quantity", amount()),
            ("liquidity", text()),
            ("fee", amount()),
            ("fee_asset", text()),
            ("realised", amount()),
        ];
        Ok(ParquetRecord {
            orders: Table::new(files.orders, orders)?,
            fills: Table::new(files.fills, fills)?,
            equity: Table::new(files.equity, vec![time(), ("equity", amount())])?,
            universe,
            failed: None,
        })
    }

    /// Ends the files.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn finish(self) -> Result<(), ParquetError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.orders.finish()?;
        self.fills.finish()?;
        self.equity.finish()
    }

    fn keep(&mut self, written: Result<(), ParquetError>) {
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    fn order_row(&mut self, record: &OrderRecord) -> Result<(), ParquetError> {
        let (order, instrument) = (&record.order, self.universe.get(record.order.instrument));
        let price = |price: Option<Price>| price.map(|price| money_of(instrument, price)).transpose();
        self.orders.row([
            Cell::Time(record.at),
            Cell::Text(order.id.to_string()),
            Cell::Text(instrument.symbol.clone()),
            Cell::Text(order.side.name().to_owned()),
            Cell::Text(order.kind.name().to_owned()),
            Cell::Text(order.tif.name().to_owned()),
            Cell::Amount(instrument.base_amount(order.qty).map_err(too_large)?),
            Cell::MaybeAmount(price(order.kind.limit())?),
            Cell::MaybeAmount(price(order.kind.trigger())?),
            Cell::MaybeAmount(price(order.kind.distance().map(Price))?),
        ])
    }

    fn fill_row(&mut self, record: &FillRecord) -> Result<(), ParquetError> {
        let (fill, instrument) = (&record.fill, self.universe.get(record.instrument));
        let liquidity = match fill.liquidity {
            Liquidity::Maker => "maker",
            Liquidity::Taker => "taker",
        };
        self.fills.row([
            Cell::Time(record.at),
            Cell::Text(record.order.to_string()),
            // An id of 64 bits, whose upper half a reader may see as negative.
            Cell::Count(fill.exec_id.cast_signed()),
            Cell::Text(instrument.symbol.clone()),
            Cell::Text(record.side.name().to_owned()),
            Cell::Amount(money_of(instrument, fill.price)?),
            Cell::Amount(instrument.base_amount(fill.qty).map_err(too_large)?),
            Cell::Text(liquidity.to_owned()),
            Cell::Amount(fill.fee.amount),
            Cell::Text(self.universe.asset_name(fill.fee.asset).to_owned()),
            Cell::Amount(record.realised),
        ])
    }
}

fn too_large(error: Overflow) -> ParquetError {
    ParquetError::General(error.to_string())
}

fn money_of(instrument: &Instrument, price: Price) -> Result<Money, ParquetError> {
    HalfTicks::of(price).and_then(|price| instrument.price_amount(price)).map_err(too_large)
}

impl<W: Write + Send> Record for ParquetRecord<W> {
    fn order(&mut self, order: &OrderRecord) {
        let written = self.order_row(order);
        self.keep(written);
    }

    fn fill(&mut self, fill: &FillRecord) {
        let written = self.fill_row(fill);
        self.keep(written);
    }

    fn denied(&mut self, _: &Denied) {}
    fn stopped(&mut self, _: &Stop) {}

    fn equity(&mut self, at: Time, equity: Money) {
        let written = self.equity.row([Cell::Time(at), Cell::Amount(equity)]);
        self.keep(written);
    }
}
