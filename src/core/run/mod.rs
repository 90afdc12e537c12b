//! The agent loop as a durable state machine: a run's rows are folded into a [`RunState`], and [`next`] says what to do.
//!
//! ```text
//! run.started → sandbox → workspace → ( Plan: model.request/response
//!                                       Act: tool.requested, policy.decision (approval.*, policy.decision)
//!                                       Observe: tool.result
//!                                       Reflect: reflect )* → checkpoint → run.finished
//! ```
//!
//! Architecture invariant: `next` reads the state and the time, nothing else. A crash at any instant is followed by the same fold and so
//! by the same next step. (Guarded by the tests in `tests.rs`.)

mod asking;
mod begin;
mod conversation;
mod fork;
mod gates;
mod judged;
mod next;
mod project;
mod reason;
mod replay;
mod state;
#[cfg(test)]
mod tests;
mod unasked;
mod validate;
mod what_if;
mod words;

pub use asking::{CannotAsk, approval_asked};
pub use begin::{CODER_PROMPT, NotReady, PLANNER_PROMPT, go_on, profile_digest, role, snapshot, tool};
pub use conversation::{control, request};
pub use fork::{Branch, ForkPoint, Inherited, NoFork, Trunk, Withered};
pub use gates::Gates;
pub use next::{Ending, Step, asked, ended, next};
pub use project::{checkpoint, project, usage};
pub use reason::EndReason;
pub use replay::{Difference, Divergence, Replay, Replayed, Side, Stopped, Unjudged, model_asked};
pub use state::{CallStage, FoldError, InFlight, PendingCall, RunState, Sandbox, StepBrief, Tally};
pub use what_if::{Changed, Opinion, Totals, WhatIf};
