//! A whole world on one thread: the real operator against an API server, a journal and sandboxes in memory, in virtual time.
//!
//! | room | what is in it |
//! |---|---|
//! | `network` | carries requests, answers and watch events, one a millisecond, in an order drawn from the seed |
//! | `kubelet` | Jobs become Pods, Pods run and end, owners take what they own with them |
//! | `sandbox` | what answers on the stream to a Pod, with a ledger that outlives every operator |
//! | `faults` | where the operator is killed, and what is held back |
//! | `oracle` | what must hold whatever happens |
//! | `scenario`, `play` | a world as a text, and its playing |
//! | `minimise` | from a world that goes wrong to the shortest text that does |
//!
//! Architecture invariant: one `u64` and one text are the whole run. Nothing here reads a clock or draws a number but from the seed, and
//! between two deliveries everything that can run has run. One thing is drawn elsewhere: which of two messages that are there at the same moment
//! rmcp takes first. (`tests/worlds/scenarios.rs`: `the_same_seed_tells_the_same_tale`)
//!
//! Architecture invariant: a crash is the end of the operator's whole runtime, with every task in it; only what lies in the API server, the
//! journal, the artifacts and the sandboxes goes on.

mod admission;
mod chance;
mod faults;
mod fork;
mod journal;
mod kubelet;
mod minimise;
mod network;
mod objects;
mod operator;
mod oracle;
mod play;
mod requests;
mod sabotage;
mod sandbox;
mod scenario;
mod sim;
mod tale;
mod tools;

pub use faults::{ApiFault, Asked, Branches, Counts, Crash, Fault, JournalFault, Lag, Phase, Point, Refusal, WatchFault};
pub use minimise::{Minimised, minimised};
pub use play::{Outcome, Setting, play, play_branching};
pub use requests::Struck;
pub use sabotage::Sabotage;
pub use scenario::{Scenario, ScenarioError};
