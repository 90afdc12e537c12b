//! The words in which the tests of this crate speak: a [`World`] is a namespace of a real cluster with an operator of its own, in which a
//! person applies files and waits for what comes of them.
//!
//! ```no_run
//! # use reeve_tests::{FakeModel, World, call, finish};
//! # use serde_json::json;
//! # async fn example() {
//! World::scenario("example", async |world| {
//!     let model = FakeModel::playing([call("fs.write", json!({"path": "a.txt", "content": "a"})), finish("Done.")]).await;
//!     world.agents_ask(&model).await;
//!     world.operator().await;
//!     world.run("write-a", json!({})).await;
//!     world.succeeded("write-a").await;
//! })
//! .await;
//! # }
//! ```
//!
//! Architecture invariant: nothing here waits by sleeping. A wait is a watch, a line of a log or the end of a process, with a deadline;
//! for other processes of the machine, which tell nobody of their end, it is a look at them fifty times a second.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod world;

pub use world::{
    Bucket, Cluster, Database, Ended, FakeModel, Gate, OPERATOR, Operator, OwnAdmission, Person, Rows, Start, Turn, Unflushed, Until,
    World, budget, call, calls, ci_written, deadline, finish, one_line_written, priced_models, random_name, reeve, reeve_in, repository,
    run_to_end, sandbox_image, says, signing_key, status, workspace, yaml, yaml_all,
};
