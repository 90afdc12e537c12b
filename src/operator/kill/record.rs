//! What the journal has of the kill switches: a row when one is engaged, and one when it is released, whether by an edit or by its deletion.
//!
//! Architecture invariant: each row of a switch says the other of the one before, whatever fails in between, and once all can be written and
//! heard the last one says what is so. (`unrecorded` in the oracle of `src/sim`, in every world)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reeve_core::journal::{Actor, Event, KillSeen, RowDraft};
use tokio::sync::Notify;

use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

/// Switches that the journal has engaged.
#[derive(Default)]
pub(crate) struct Record {
    open: Mutex<BTreeMap<String, Open>>,
    /// Rings when one of them is gone.
    gone: Notify,
    /// Held from the look at what is written to the row that follows from it.
    turn: tokio::sync::Mutex<()>,
}

/// One of them.
struct Open {
    seen: KillSeen,
    /// False: a row of it was sent, and nobody heard what became of that.
    sure: bool,
    deletion: Deletion,
}

/// Whether a switch is gone that the journal has engaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    /// It is there.
    None,
    /// It is, and nobody sees to its release yet.
    Heard,
    /// It is, and somebody sees to its release.
    Followed,
}

impl Record {
    /// Takes in a row.
    pub(crate) fn take(&self, seen: KillSeen) {
        let mut open = self.open();
        if seen.engaged {
            open.entry(seen.uid.clone()).and_modify(|open| open.sure = true).or_insert(Open { seen, sure: true, deletion: Deletion::None });
        } else {
            open.remove(&seen.uid);
        }
    }

    /// Whether the journal has the switch of this UID engaged, for sure.
    pub(crate) fn has(&self, uid: &str) -> bool {
        self.open().get(uid).is_some_and(|open| open.sure)
    }

    /// Whether it has, or may have.
    pub(crate) fn may_have(&self, uid: &str) -> bool {
        self.open().contains_key(uid)
    }

    /// UIDs of what it has, or may have, in this scope.
    pub(super) fn uids(&self, scope: &Scope) -> BTreeSet<String> {
        self.open().values().filter(|open| scope.covers(&open.seen.namespace)).map(|open| open.seen.uid.clone()).collect()
    }

    /// Namespaces of what it has, or may have.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        self.open().values().map(|open| open.seen.namespace.clone()).collect()
    }

    /// The switch of this UID is gone, or is about to be and stops nothing any more.
    pub(crate) fn deleted(&self, uid: &str) {
        if let Some(open) = self.open().get_mut(uid).filter(|open| open.deletion == Deletion::None) {
            open.deletion = Deletion::Heard;
            self.gone.notify_one();
        }
    }

    /// Waits for switches that are gone while the journal has them engaged, and says what to journal of each. Whoever takes them sees to it.
    pub(crate) async fn released_by_deletion(&self) -> Vec<KillSeen> {
        loop {
            let mut released = Vec::new();
            for open in self.open().values_mut().filter(|open| open.deletion == Deletion::Heard) {
                open.deletion = Deletion::Followed;
                released.push(KillSeen { engaged: false, reason: "it was deleted".to_owned(), ..open.seen.clone() });
            }
            if !released.is_empty() {
                return released;
            }
            self.gone.notified().await;
        }
    }

    /// Journals this, unless the journal says so already.
    pub(crate) async fn write(&self, context: &Context, seen: KillSeen) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.may_have(&seen.uid) && !self.has(&seen.uid) {
            self.look_up(context, &seen.uid).await?;
        }
        if self.has(&seen.uid) == seen.engaged {
            return Ok(());
        }
        let event = context.secrets.redacted(&seen.namespace, Event::Kill(seen.clone()));
        let draft = RowDraft::of(&event, &Actor::Spec, context.now()).map_err(|error| Error::bug(error.to_string()))?;
        self.sent(&seen);
        context.append_own(draft).await?;
        self.take(seen);
        Ok(())
    }

    /// Asks the journal what became of a row.
    async fn look_up(&self, context: &Context, uid: &str) -> Result<(), Error> {
        let mut last = None;
        let take = |event| {
            if let Event::Kill(seen) = event
                && seen.uid == uid
            {
                last = Some(seen);
            }
        };
        context.each_own("kill", take).await?;
        match last {
            Some(seen) => self.take(seen),
            None => drop(self.open().remove(uid)),
        }
        Ok(())
    }

    /// Until its answer is heard, nobody knows what the journal has.
    fn sent(&self, seen: &KillSeen) {
        let mut open = self.open();
        let fresh = || Open { seen: seen.clone(), sure: false, deletion: Deletion::None };
        open.entry(seen.uid.clone()).and_modify(|open| open.sure = false).or_insert_with(fresh);
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engaged(uid: &str) -> KillSeen {
        KillSeen { namespace: "team".to_owned(), name: "stop".to_owned(), uid: uid.to_owned(), engaged: true, reason: "why".to_owned() }
    }

    #[tokio::test]
    async fn a_switch_that_is_gone_is_released_once_if_the_journal_has_it_engaged() {
        let record = Record::default();
        record.take(engaged("a"));
        assert_eq!(record.uids(&Scope::Namespace("team".to_owned())), BTreeSet::from(["a".to_owned()]));
        assert!(record.uids(&Scope::Namespace("other".to_owned())).is_empty());
        ["b", "a", "a"].iter().for_each(|uid| record.deleted(uid));
        let released = record.released_by_deletion().await;
        assert_eq!(released, [KillSeen { engaged: false, reason: "it was deleted".to_owned(), ..engaged("a") }]);
        record.deleted("a");
        assert!(tokio::time::timeout(std::time::Duration::ZERO, record.released_by_deletion()).await.is_err(), "somebody sees to it");
        record.take(KillSeen { engaged: false, ..engaged("a") });
        assert!(!record.may_have("a"));
    }

    #[test]
    fn a_row_that_nobody_heard_of_may_be_there() {
        let record = Record::default();
        record.sent(&engaged("a"));
        assert!(record.may_have("a") && !record.has("a"));
        record.take(engaged("a"));
        assert!(record.has("a"));
        record.sent(&KillSeen { engaged: false, ..engaged("a") });
        assert!(record.may_have("a") && !record.has("a"), "the release may be there, and may not");
    }
}
