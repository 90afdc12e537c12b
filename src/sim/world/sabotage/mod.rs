//! Mistakes that somebody could make in the operator, made where it meets the world: a lane that misses one proves nothing.
//!
//! The operator's code stays as it is. What it asks for (`requests`), what it is shown (`views`) and what it journals (`rows`) is changed on
//! its way, so that the world sees what a wrong operator would have done.

mod requests;
mod rows;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use requests::{Bent, bend};
pub(crate) use rows::{bent, trust};
pub(crate) use views::{answered, told};

/// Declares the mistakes, each with the sentence that tells it.
macro_rules! mistakes {
    ($($(#[doc = $told:literal])+ $name:ident,)+) => {
        /// A mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage {
            $($(#[doc = $told])+ $name,)+
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Sabotage] = &[$(Sabotage::$name,)+];

            /// What the mistake is, in a sentence.
            #[must_use]
            pub fn told(self) -> &'static str {
                match self {
                    $(Sabotage::$name => concat!($($told),+).trim(),)+
                }
            }
        }
    };
}

mistakes! {
    /// A Job's name is made up anew each time, as with `generateName`.
    MadeUpNames,
    /// A call whose answer was lost is made again without asking the ledger.
    CallsAgain,
    /// `AlreadyExists` is taken for success, whoever owns what is there.
    SwallowedConflict,
    /// `403` is taken for success: of the NetworkPolicy around the sandboxes, and nothing is there.
    SwallowedForbidden,
    /// `410 Gone` is swallowed: the watch goes on, and what was lost is never listed.
    SwallowedGone,
    /// A Job that is to be deleted is left.
    ForgottenJob,
    /// A Job is made without its owner.
    OrphanJob,
    /// A status is written to whatever has the name, without a test of the UID.
    NoUidCheck,
    /// Changes of a run's spec ring nobody.
    DeafToEdits,
    /// Votes ring nobody.
    DeafToVotes,
    /// A vote to deny counts for nothing.
    DeafToDenials,
    /// Who asked for something may approve it.
    RequesterVotes,
    /// An Approval is known by its name: whose it is and what its digest says is not looked at.
    ApprovalByName,
    /// That votes are proved is taken for granted.
    AdmissionUnseen,
    /// Approvals are read from the cache of the watch, where the live one was to be read.
    ReadsFromCache,
    /// A kill switch is what its own condition says, not what its spec says.
    TrustsOwnCondition,
    /// A list of kill switches that fails is taken for an empty one.
    FailsOpen,
    /// `spec.suspended` is not looked at.
    NeverSuspends,
    /// What was shown before is not remembered, so that every look writes a status with new times.
    ForgetsItsStatus,
    /// Time is read once, at the start.
    StoppedClock,
    /// A write that is refused is taken for written.
    LostStatus,
    /// A call is made whose permit is not journaled.
    ForgottenPermit,
    /// An approval is used, and no row says so.
    ForgottenConsumption,
    /// What came of a call is journaled, and then it is made.
    OutcomeFirst,
    /// An effect is begun, and nothing of the budget is held for it.
    HoldsNothing,
    /// A budget is summed from a list that was cached at the start.
    CachedSum,
    /// What an effect did cost is never given back.
    ForgottenSettlement,
    /// Rows count as written before the disk has them.
    WrittenTooSoon,
    /// The journal takes rows of whoever sends them, under whatever epoch.
    UnfencedWrite,
}

/// What a wrong operator has in mind.
#[derive(Debug, Default)]
pub(crate) struct Mind {
    /// What each Approval that it asked for is to say, by name.
    asked: BTreeMap<String, Value>,
    /// Each Approval as a watch told it last, by UID.
    cached: BTreeMap<String, Value>,
    /// Calls whose outcome is told before they are made.
    owed: BTreeSet<String>,
    /// How many rows the last append had.
    pub(crate) last_rows: usize,
}
