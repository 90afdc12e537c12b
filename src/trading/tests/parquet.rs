//! Parquet files hold what CSV files hold, to the last digit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use reeve_trading::backtest::{Keep, run};
use reeve_trading::number::Money;
use reeve_trading::order::ClientId;
use reeve_trading::output::{ParquetFiles, ParquetRecord};
use world::{packaged_bars, sma_cross};

fn rows(path: &std::path::Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn field(row: &Row, name: &str) -> Field {
    row.get_column_iter().find(|(column, _)| *column == name).unwrap().1.clone()
}

fn amount(row: &Row, name: &str) -> Money {
    let Field::Decimal(decimal) = field(row, name) else { panic!("{name} is no decimal") };
    assert_eq!((decimal.precision(), decimal.scale()), (38, 24));
    Money(i128::from_be_bytes(decimal.data().try_into().unwrap()))
}

fn text(row: &Row, name: &str) -> String {
    let Field::Str(text) = field(row, name) else { panic!("{name} is no text") };
    text
}

#[test]
fn orders_fills_and_equity_are_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str| std::fs::File::create(path(name)).unwrap();
    let strategy = sma_cross("next_open", "0.001");
    let universe = Arc::new(strategy.universe().unwrap());
    let files = ParquetFiles { orders: file("orders"), fills: file("fills"), equity: file("equity") };
    let record = (Keep::default(), ParquetRecord::new(files, Arc::clone(&universe)).unwrap());
    let (_, (kept, written)) = run(&strategy, packaged_bars("GOOG", &strategy, "1d"), record).unwrap();
    written.finish().unwrap();
    let (orders, fills, equity) = (rows(&path("orders")), rows(&path("fills")), rows(&path("equity")));
    assert_eq!((orders.len(), fills.len(), equity.len()), (94, 94, 2_149));
    for (row, record) in fills.iter().zip(&kept.fills) {
        let instrument = universe.get(record.instrument);
        assert_eq!(text(row, "order").parse::<ClientId>(), Ok(record.order));
        assert_eq!(amount(row, "price").to_string(), instrument.price_text(record.fill.price));
        assert_eq!(amount(row, "quantity").to_string(), instrument.qty_text(record.fill.qty));
        assert_eq!((amount(row, "fee"), amount(row, "realised")), (record.fill.fee.amount, record.realised));
        assert_eq!((text(row, "side"), text(row, "fee_asset")), (record.side.name().to_owned(), "USD".to_owned()));
    }
    for (row, (_, value)) in equity.iter().zip(&kept.equity) {
        assert_eq!(amount(row, "equity"), *value);
    }
    assert!(orders.iter().all(|row| field(row, "limit") == Field::Null && text(row, "kind") == "market"));
}
