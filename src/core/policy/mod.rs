//! What agents may do: every tool call is judged here, between `resolve` and `call`.
//!
//! ```text
//! PolicySet.spec.cedar ──parse, strict validation──► CompiledSet ──golden cases──► ActiveSet
//! wire::Canonical ──facts──► request checked against the schema ──each ActiveSet on its own──► Judgement
//! ```
//!
//! Architecture invariant: any error is Deny. A request that does not fit the schema, a policy that fails while it is evaluated (Cedar by
//! itself skips a failing forbid), no set in force: Deny. (`a_policy_that_fails_while_judging_denies`, `without_a_set_nothing_is_allowed`)
//!
//! Architecture invariant: sets only narrow each other. A call goes ahead when every enforcing set allows it on its own, and one of them is
//! the operator's. (`a_namespace_that_permits_everything_widens_nothing`)
//!
//! Architecture invariant: an attribute of the schema is computed from the canonical call, never taken from a model's words.
//!
//! What this does not hold: a program reaches further than its arguments show. `python3 -c "import pip"` passes every rule on arguments;
//! what stops it is the sandbox without network. A file that a program opens is bounded by Landlock, and a protected file that a program
//! changed is found at the checkpoint, by [`protection`].

mod again;
mod cases;
mod compile;
mod default;
mod facts;
mod invocation;
mod judge;
mod protected;
mod schema;
#[cfg(test)]
mod tests;

pub use again::{Instead, Texts, judge_again};
pub use cases::{FailedCase, check_cases};
pub use compile::{CompiledSet, PolicyInvalid};
pub use default::{CASES, CEDAR, accepted, default_spec};
pub use facts::{Agent, Facts, Keys, WORKSPACE};
pub use judge::{ActiveSet, Mode, Scope, decide, judge};
pub use protected::{Protection, protection};
pub use schema::SCHEMA;
