//! How the operator speaks to the API server: leadership, writes, and what its errors mean.

mod apply;
mod backoff;
mod client;
mod lease;
mod patience;
mod presence;

pub use apply::{Created, WriteError, classify, create_owned, write_status};
pub(crate) use apply::{classify_watch, is_said};
pub use backoff::Backoff;
pub use client::connect;
pub(crate) use lease::may_claim;
pub use lease::{Held, LeaseConfig, LeaseError, acquire};
pub(crate) use patience::patient;
pub(crate) use presence::find;
