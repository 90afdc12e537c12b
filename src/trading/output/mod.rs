//! What a run leaves for people and programs: CSV while it runs, JSON at its end.

mod csv;
mod digest;
mod result;

pub use csv::{CsvFiles, CsvRecord};
pub use digest::{DigestHandle, Digesting, sha256_hex};
pub use result::{FileDigest, Provenance, RunResult, Warning};
