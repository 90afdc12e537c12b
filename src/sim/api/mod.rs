//! An API server as a plain data structure: a request and the time go in, an answer comes out.
//!
//! Architecture invariant: no async, no clock and no lock in here but in `face.rs`, through which the real client speaks to it.

mod admission;
mod builtin;
mod chart;
mod create;
mod delete;
mod face;
mod fields;

mod garbage;
mod kinds;
mod merge;
mod meta;
mod ownership;
mod patch;
mod read;
mod request;
mod schema;
mod selector;
mod server;
mod shape;
mod status;
mod store;
mod update;
mod watch;
mod write;

pub use admission::Right;
pub use chart::chart_policies;
pub use face::{AnswerBody, Face, Shared, whole};
pub use garbage::Collected;
pub use kinds::{Kind, Kinds};
pub use request::Caller;
pub use server::{Answer, ApiServer};
pub use status::Failure;
pub use watch::Watch;

#[cfg(test)]
mod tests;
