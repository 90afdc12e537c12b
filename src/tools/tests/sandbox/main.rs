//! The sandbox as an operator meets it: a real server, real processes, the real kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod escape;
mod halt;
mod harness;
mod protocol;
mod tools;
mod workspace;
