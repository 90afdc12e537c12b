//! What the journal has of the kill switches: a row when one is engaged, and one when it is released, whether by an edit or by its deletion.
//!
//! Architecture invariant: each row of a switch says the other of the one before, whatever fails in between, and once all can be written and
//! heard the last one says what is so. (`unrecorded` in the oracle of `src/sim`, in every world)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reeve_core::conditions::whole_second;
use reeve_core::journal::{Actor, Event, KillSeen, RowDraft, Seq};

use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;

/// Why a switch that is gone stops nothing.
pub(super) const DELETED: &str = "it was deleted";

/// Switches that the journal has engaged.
#[derive(Default)]
pub(crate) struct Record {
    open: Mutex<BTreeMap<String, Open>>,
}

/// One of them.
struct Open {
    seen: KillSeen,
    /// False: a row of it was sent, and nobody heard what became of that.
    sure: bool,
    /// The switch is gone.
    gone: bool,
    /// When the row was written that is the last word.
    at: Timestamp,
}

impl Record {
    /// Takes in a row, written then.
    pub(crate) fn take(&self, seen: KillSeen, at: Timestamp) {
        let mut open = self.open();
        if seen.engaged {
            let sure = |open: &mut Open| (open.sure, open.at) = (true, at);
            open.entry(seen.uid.clone()).and_modify(sure).or_insert(Open { seen, sure: true, gone: false, at });
        } else {
            open.remove(&seen.uid);
        }
    }

    /// Whether the journal has the switch of this UID engaged, for sure.
    pub(crate) fn has(&self, uid: &str) -> bool {
        self.open().get(uid).is_some_and(|open| open.sure)
    }

    /// When the switch of this UID was engaged, to the second; None where the journal has it not so for sure.
    pub(crate) fn engaged_at(&self, uid: &str) -> Option<Timestamp> {
        self.open().get(uid).filter(|open| open.sure).map(|open| whole_second(open.at))
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

    /// The switch of this UID is gone. Whether the journal has it engaged, or may have.
    pub(super) fn deleted(&self, uid: &str) -> bool {
        self.open().get_mut(uid).map(|open| open.gone = true).is_some()
    }

    /// What to journal of switches that are gone while the journal has, or may have, them engaged.
    pub(super) fn released_by_deletion(&self) -> Vec<KillSeen> {
        let gone = |open: &&Open| open.gone;
        let released = |open: &Open| KillSeen { engaged: false, reason: DELETED.to_owned(), ..open.seen.clone() };
        self.open().values().filter(gone).map(released).collect()
    }

    /// Journals this, unless the journal says so already. One at a time for a switch.
    pub(super) async fn write(&self, context: &Context, seen: KillSeen) -> Result<(), Error> {
        let turn = context.own_turn().await;
        // A row that was sent may come to stand until the moment in which the next one is written after what was read.
        let after = match self.may_have(&seen.uid) && !self.has(&seen.uid) {
            true => self.look_up(context, &seen.uid).await?,
            false => context.own_head().await?,
        };
        if self.has(&seen.uid) == seen.engaged {
            return Ok(());
        }
        let event = context.secrets.redacted(&seen.namespace, Event::Kill(seen.clone()));
        let at = context.now();
        let draft = RowDraft::of(&event, &Actor::Spec, at).map_err(|error| Error::bug(error.to_string()))?;
        self.sent(&seen, at);
        context.append_own_after(&turn, after, draft).await?;
        self.take(seen, at);
        Ok(())
    }

    /// Asks the journal what became of a row. Answers up to where it was read.
    async fn look_up(&self, context: &Context, uid: &str) -> Result<Option<Seq>, Error> {
        let mut last = None;
        let take = |event, at| {
            if let Event::Kill(seen) = event
                && seen.uid == uid
            {
                last = Some((seen, at));
            }
        };
        let read = context.each_own(&["kill"], take).await?;
        match last {
            Some((seen, at)) => self.take(seen, at),
            None => drop(self.open().remove(uid)),
        }
        Ok(read)
    }

    /// Until its answer is heard, nobody knows what the journal has.
    fn sent(&self, seen: &KillSeen, at: Timestamp) {
        let mut open = self.open();
        let fresh = || Open { seen: seen.clone(), sure: false, gone: false, at };
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

    #[test]
    fn a_switch_that_is_gone_is_released_if_the_journal_has_it_engaged() {
        let record = Record::default();
        record.take(engaged("a"), Timestamp::UNIX_EPOCH);
        assert_eq!(record.uids(&Scope::Namespace("team".to_owned())), BTreeSet::from(["a".to_owned()]));
        assert!(record.uids(&Scope::Namespace("other".to_owned())).is_empty());
        assert!(!record.deleted("b") && record.released_by_deletion().is_empty());
        assert!(record.deleted("a"));
        assert_eq!(record.released_by_deletion(), [KillSeen { engaged: false, reason: DELETED.to_owned(), ..engaged("a") }]);
        record.take(KillSeen { engaged: false, ..engaged("a") }, Timestamp::UNIX_EPOCH);
        assert!(!record.may_have("a") && record.released_by_deletion().is_empty());
    }

    #[test]
    fn a_row_that_nobody_heard_of_may_be_there() {
        let record = Record::default();
        record.sent(&engaged("a"), Timestamp::UNIX_EPOCH);
        assert!(record.may_have("a") && !record.has("a"));
        record.take(engaged("a"), Timestamp::UNIX_EPOCH);
        assert!(record.has("a"));
        record.sent(&KillSeen { engaged: false, ..engaged("a") }, Timestamp::UNIX_EPOCH);
        assert!(record.may_have("a") && !record.has("a"), "the release may be there, and may not");
    }
}
