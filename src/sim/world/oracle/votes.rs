//! Whether people are heard in time: a decided approval is taken up, and not found by chance at the next look at everything.

use std::collections::BTreeMap;

use reeve_core::journal::Event;
use serde_json::Value;

use super::Placed;
use crate::world::sim::time_of;

/// From a vote that decides to its row, where nothing goes wrong. A watch tells within milliseconds; behind a late cache it is two seconds.
const HEARD_WITHIN_MS: u64 = 10_000;

/// Votes that decided an approval.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// By the UID of the approval.
    decided: BTreeMap<String, Decided>,
    /// Since when the operator lives.
    lives_since_ms: u64,
    /// Something was lost or refused: whoever met it may wait up to a minute before the next try.
    troubled: bool,
}

#[derive(Debug)]
struct Decided {
    name: String,
    /// Whose vote decided it.
    user: String,
    at_ms: u64,
}

impl Votes {
    /// Something went wrong.
    pub(super) fn trouble(&mut self) {
        self.troubled = true;
    }

    /// An operator starts anew.
    pub(super) fn restarted(&mut self, at_ms: u64) {
        self.lives_since_ms = at_ms;
    }

    /// Somebody has voted on this.
    pub(super) fn cast(&mut self, user: &str, approval: &Value, at_ms: u64) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (spec, metadata) = (&approval["spec"], &approval["metadata"]);
        let votes = || spec["votes"].as_object().into_iter().flatten().filter(|(user, _)| spec["requestedBy"] != user.as_str());
        let approves = votes().filter(|(_, vote)| vote["verdict"] == "Approve").count() as u64;
        let denied = votes().any(|(_, vote)| vote["verdict"] == "Deny");
        if denied || approves >= spec["quorum"].as_u64().unwrap_or(1) {
            let decided = Decided { name: text(&metadata["name"]), user: user.to_owned(), at_ms };
            self.decided.entry(text(&metadata["uid"])).or_insert(decided);
        }
    }

    /// Votes that decided, and that nobody took up in time.
    pub(super) fn unheard(&self, events: &[Placed]) -> Vec<String> {
        if self.troubled {
            return Vec::new();
        }
        let late = |(uid, decided): &(&String, &Decided)| {
            let until = time_of(decided.at_ms.max(self.lives_since_ms).saturating_add(HEARD_WITHIN_MS));
            let in_time = || events.iter().filter(|placed| placed.time <= until);
            let ours = in_time().any(|placed| matches!(&placed.event, Event::ApprovalCreated(made) if made.uid == **uid));
            let is_vote = |event: &Event| matches!(event, Event::ApprovalVote(vote) if vote.uid == **uid && vote.user == decided.user);
            let is_end = |event: &Event| matches!(event, Event::ApprovalSettled(settled) if settled.name == decided.name);
            let heard = in_time().any(|placed| is_vote(&placed.event) || is_end(&placed.event));
            ours && !heard
        };
        let told = |(_, Decided { name, user, .. }): (_, &Decided)| {
            format!("the vote of {user} decided approval {name}, and no row took it up within {} s", HEARD_WITHIN_MS / 1000)
        };
        self.decided.iter().filter(late).map(told).collect()
    }
}
