//! Whole worlds: the real operator in one process with everything that it speaks to. Each module is a lane of `./hack/test`.
//!
//! | variable | what it does | default |
//! |---|---|---|
//! | `REEVE_SCENARIO` | only scenarios whose names hold it | all |
//! | `REEVE_SEED` | the first seed | 1 |
//! | `REEVE_EVERY` | of the crash matrix, the faults of the journal and of the API, those that last, and the stale caches, only every so many-th world | 1 |
//! | `REEVE_ALL` | every fault at every request, instead of one at each | |
//! | `REEVE_WORLDS` | how many random worlds | 5,000 |
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking, and prints what it counted")]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod api_faults;
mod branches;
mod common;
mod crash_matrix;
mod journal_faults;
mod kept;
mod lasting_faults;
mod minimise;
mod pardon;
mod random;
mod sabotage;
mod scenarios;
mod staleness;
