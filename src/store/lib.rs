//! What Reeve remembers: the journal and the budgets on SQLite or PostgreSQL, and the artifacts by digest. Durable when a call returns.
//!
//! Architecture invariant: rows are only ever appended, by one writer. The triggers of each database's `migrations/` refuse the rest.
//! (`tests/store/schema.rs` tries each refusal by raw SQL.)
//!
//! Architecture invariant: an append that was answered `Ok` survives a kill at any instant, and none is half there.
//! (`tests/store/crash.rs` kills a writer again and again.)
//!
//! Architecture invariant: an account moves in the transaction of the row that says so, and a reservation that does not fit takes its whole
//! append with it. (`tests/store/reservers.rs`, by twenty at once; `Journal::verify` compares the accounts with the rows.)
//!
//! Architecture invariant: nothing here remembers a head. Each transaction reads it from the database, so a failed write cannot leave a
//! wrong belief behind. (`journal/writer.rs`, `nothing_is_half_written_when_the_disk_is_full`.)
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod artifacts;
mod error;
mod journal;

pub use artifacts::{Artifacts, MAX_ARTIFACT_BYTES};
pub use error::{BudgetError, StoreError, VerifyError};
pub use journal::{
    DatabaseUrl, ForkError, ForkPlace, FoundRun, Gate, InvalidPlace, Journal, Lost, MemoryDatabase, OpenReservation, Place, StreamBrief,
    Trust, verify_export, verify_export_against, verify_links,
};
