//! What a run leaves for people and programs: CSV while it runs, JSON at its end.

mod chart;
mod csv;
mod curve;
mod digest;
mod parquet;
mod report;
mod result;

pub use csv::{CsvFiles, CsvRecord};
pub use curve::{Curve, MOST_POINTS};
pub use digest::{DigestHandle, Digesting, sha256_hex};
pub use parquet::{ParquetFiles, ParquetRecord};
pub use report::{ChartData, ReportError, html};
pub use result::{FileDigest, Provenance, RunResult, Warning};
