//! What Reeve remembers: the journal and the budgets on SQLite or PostgreSQL, and the artifacts by digest in a folder or a bucket. Durable when
//! a call returns.
//!
//! Architecture invariant: rows are only ever appended, by one writer, and only a run that has ended may leave, as a whole, in the transaction
//! of the row that says where to. The triggers of each database's `migrations/` refuse the rest. (`tests/store/schema.rs` and
//! `tests/store/archive.rs` try each refusal by raw SQL.)
//!
//! Architecture invariant: a body that a row names is durable before the row, and an artifact that a row may yet name is not collected.
//! (`tests/store/kept.rs`, `tests/store/collect.rs`, and for a bucket, which has no lock, `tests/store/race.rs`.)
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
mod collect;
mod error;
mod journal;

pub use artifacts::{
    Artifacts, ArtifactsPlace, InvalidArtifactsPlace, MAX_ARTIFACT_BYTES, MIN_COLLECTED_AGE, OldArtifact, S3Options, S3Place,
};
pub use collect::{Collected, Collection};
pub use error::{BudgetError, StoreError, VerifyError};
pub use journal::{
    ArchiveError, Beside, DatabaseUrl, ForkError, ForkPlace, FoundRun, Gate, InvalidPlace, Journal, Lost, MemoryDatabase, NotArchived,
    OpenReservation, Place, StreamBrief, Trust, verify_export, verify_export_against, verify_export_with, verify_links,
};
