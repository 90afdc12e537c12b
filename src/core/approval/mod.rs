//! An action that waits for people: what is asked, whose votes count, and when the answer is used.
//!
//! ```text
//! approval.requested → (the object is made) → approval.created → approval.vote* → approval.settled → approval.consumed → the action
//! ```
//!
//! Architecture invariant: a vote counts only when it is journaled before the approval expires, on the very object (UID) that was journaled
//! when it was made, while the admission policies that prove votes are what they were then. Anything else is no. (`tests.rs`)
//!
//! Architecture invariant: nothing here trusts the Approval's own status. The journal's votes are counted anew each time.

mod delta;
#[cfg(test)]
mod tests;

pub use delta::{delta, merge_delta};

use jiff::Timestamp;
use reeve_api::{ApprovalPhase, ApprovalSpec, VoteVerdict};

use crate::Digest;
use crate::journal::{AdmissionPolicy, ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, ApprovalVote};
use crate::names;
use crate::tool::wire::Canonical;

/// Whoever is one of these has no vote.
const MACHINES: &str = "system:serviceaccount:";

/// An approval, folded from the rows of its run.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What was asked.
    pub asked: ApprovalAsked,
    /// The object, once it is there.
    pub created: Option<ApprovalCreated>,
    /// Votes, in the order in which they were journaled.
    pub votes: Vec<ApprovalVote>,
    /// What came of it. Approved is not the end: it may still be denied until it is used.
    pub settled: Option<ApprovalSettled>,
    /// Its use.
    pub consumed: Option<ApprovalConsumed>,
}

/// What the votes add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Somebody said no.
    Denied {
        /// Who, and why.
        by: String,
        /// In their words.
        reason: Option<String>,
    },
    /// Enough people said yes.
    Approved {
        /// Who, sorted.
        by: Vec<String>,
    },
    /// More have to.
    Open {
        /// How many more.
        missing: u32,
    },
}

/// The object as the API server has it.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// There is none of that name, or it is going away.
    Gone,
    /// It is there.
    There {
        /// Its UID.
        uid: &'a str,
        /// Its spec.
        spec: &'a ApprovalSpec,
        /// What its status says.
        phase: Option<ApprovalPhase>,
    },
}

/// Whether votes are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody looked: nothing may be counted on it.
    Unknown,
    /// The policies are what they were, and a forged vote was refused just now.
    InForce,
    /// They are not, and why.
    NotInForce(String),
}

/// What an approval needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Votes to journal, in order.
    pub votes: Vec<ApprovalVote>,
    /// What to settle, after the votes.
    pub settle: Option<ApprovalSettled>,
}

impl State {
    /// One that was just asked for.
    pub fn new(asked: ApprovalAsked) -> State {
        State { asked, created: None, votes: Vec::new(), settled: None, consumed: None }
    }

    /// Whether the answer is still awaited, or was given and is not used yet.
    pub fn is_open(&self) -> bool {
        self.consumed.is_none() && self.settled.as_ref().is_none_or(|settled| !settled.phase.is_final())
    }

    /// What the journaled votes add up to: at most one a person, the last; the requester's and machines' never; one Deny denies.
    pub fn tally(&self) -> Tally {
        tally(&self.asked, &self.votes)
    }
}

fn tally(asked: &ApprovalAsked, votes: &[ApprovalVote]) -> Tally {
    let mut by = Vec::new();
    for (index, vote) in votes.iter().enumerate() {
        if vote.refused.is_some() || votes[index + 1..].iter().any(|later| later.refused.is_none() && later.user == vote.user) {
            continue;
        }
        match vote.verdict {
            VoteVerdict::Deny => return Tally::Denied { by: vote.user.clone(), reason: vote.reason.clone() },
            VoteVerdict::Approve => by.push(vote.user.clone()),
        }
    }
    by.sort();
    let have = u32::try_from(by.len()).unwrap_or(u32::MAX);
    match asked.quorum.checked_sub(have) {
        Some(0) | None => Tally::Approved { by },
        Some(missing) => Tally::Open { missing },
    }
}

/// The digest of an action: of its key and its canonical form. The same call under another key is another action.
///
/// # Errors
/// When an argument is a number without a canonical form.
pub fn digest(key: &str, call: &Canonical) -> Result<Digest, serde_json::Error> {
    Digest::of_canonical(&serde_json::json!({ "key": key, "call": call }))
}

/// The name of the Approval of this action: the same each time it is asked for, another one at each attempt.
pub fn name(run: &str, step: u32, index: u32, attempt: u32) -> String {
    let (place, again) = (format!("s{step}c{index}"), format!("a{attempt}"));
    if attempt == 1 { names::join(&[run, &place], names::MAX_LABEL) } else { names::join(&[run, &place, &again], names::MAX_LABEL) }
}

/// Whether this object holds votes that the journal does not, so that admission has to be proved before [`plan`].
pub fn has_news(state: &State, seen: Seen<'_>) -> bool {
    let Seen::There { spec, .. } = seen else { return false };
    spec.votes.iter().flatten().any(|(user, vote)| journaled(state, user) != Some(vote.verdict))
        || state.votes.iter().any(|vote| !spec.votes.iter().flatten().any(|(user, _)| *user == vote.user))
}

/// The verdict of this person that the journal has last.
fn journaled(state: &State, user: &str) -> Option<VoteVerdict> {
    state.votes.iter().rev().find(|vote| vote.user == user).map(|vote| vote.verdict)
}

/// Decides what an approval that was made needs next.
///
/// Guarantees: what is final stays final; a vote is counted at most once a person, the requester's never; Deny wins until use; an object
/// that is gone, is another one, or does not say what was asked, means no; nothing is counted on unproved admission.
pub fn plan(now: Timestamp, state: &State, seen: Seen<'_>, admission: &Admission) -> Plan {
    let nothing = Plan { votes: Vec::new(), settle: None };
    let Some(created) = state.created.as_ref().filter(|_| state.is_open()) else { return nothing };
    let asked = &state.asked;
    let settled = |phase, message: String| ApprovalSettled { key: asked.key.clone(), name: asked.name.clone(), phase, message };
    let only = |phase, message: String| Plan { votes: Vec::new(), settle: Some(settled(phase, message)) };
    let Seen::There { uid, spec, .. } = seen else {
        return only(ApprovalPhase::Denied, "The Approval was deleted, which means no.".to_owned());
    };
    if uid != created.uid {
        let message = "The Approval was deleted and another was made under its name, which means no.";
        return only(ApprovalPhase::Denied, message.to_owned());
    }
    if let Some(what) = differs(asked, spec) {
        return only(ApprovalPhase::Superseded, format!("Its {what} is not what was asked for: somebody could change what nobody may."));
    }
    if let Some(lost) = state.votes.iter().find(|vote| !spec.votes.iter().flatten().any(|(user, _)| *user == vote.user)) {
        return only(
            ApprovalPhase::Superseded,
            format!("The vote of {} was taken away: somebody could change what nobody may.", lost.user),
        );
    }
    let votes = new_votes(now, state, created, spec);
    let counted = votes.iter().any(|vote| vote.refused.is_none());
    match admission {
        Admission::InForce => {}
        Admission::NotInForce(why) => return only(ApprovalPhase::Superseded, format!("Admission does not prove its votes: {why}.")),
        Admission::Unknown if counted => return nothing,
        Admission::Unknown => {}
    }
    let all: Vec<ApprovalVote> = state.votes.iter().chain(&votes).cloned().collect();
    let approved = state.settled.as_ref().is_some_and(|settled| settled.phase == ApprovalPhase::Approved);
    let settle = match tally(asked, &all) {
        Tally::Denied { by, reason } => {
            let words = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Some(settled(ApprovalPhase::Denied, format!("Denied by {by}{words}")))
        }
        Tally::Approved { .. } | Tally::Open { .. } if now >= asked.expires_at => {
            Some(settled(ApprovalPhase::Expired, format!("It was not used before it expired, at {}.", asked.expires_at)))
        }
        Tally::Approved { .. } if approved => None,
        Tally::Approved { by } => Some(settled(ApprovalPhase::Approved, format!("Approved by {}.", by.join(", ")))),
        Tally::Open { .. } => None,
    };
    Plan { votes, settle }
}

fn new_votes(now: Timestamp, state: &State, created: &ApprovalCreated, spec: &ApprovalSpec) -> Vec<ApprovalVote> {
    let asked = &state.asked;
    let mut votes = Vec::new();
    for (user, vote) in spec.votes.iter().flatten() {
        let before = journaled(state, user);
        if before == Some(vote.verdict) {
            continue;
        }
        let refused = if *user == asked.requested_by {
            Some("the requester has no vote")
        } else if user.starts_with(MACHINES) {
            Some("a service account has no vote")
        } else if now >= asked.expires_at {
            Some("it came after the approval expired")
        } else if before == Some(VoteVerdict::Deny) {
            Some("a Deny stands")
        } else {
            None
        };
        votes.push(ApprovalVote {
            key: asked.key.clone(),
            uid: created.uid.clone(),
            user: user.clone(),
            verdict: vote.verdict,
            reason: vote.reason.clone(),
            refused: refused.map(str::to_owned),
        });
    }
    votes
}

/// The first field of an Approval's spec that is not what was asked.
pub fn differs(asked: &ApprovalAsked, spec: &ApprovalSpec) -> Option<&'static str> {
    let expires = asked.expires_at.as_second() == spec.expires_at.0.as_second();
    [
        ("digest", spec.digest == asked.digest.to_string()),
        ("subject", spec.subject.key == asked.key && spec.subject.action == asked.action),
        ("delta", spec.delta == asked.delta),
        ("requestedBy", spec.requested_by == asked.requested_by),
        ("quorum", u32::try_from(spec.quorum) == Ok(asked.quorum)),
        ("groups", spec.groups.as_deref().unwrap_or_default() == asked.groups),
        ("expiresAt", expires),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}

/// Why admission is not what it was when the approval was made; None where it is.
pub fn admission_changed(then: &[AdmissionPolicy], now: &[AdmissionPolicy]) -> Option<String> {
    if then.is_empty() {
        return Some("no admission policy was in force when it was made".to_owned());
    }
    for policy in then {
        let AdmissionPolicy { kind, name, uid, generation, digest } = policy;
        let Some(found) = now.iter().find(|found| found.kind == *kind && found.name == *name) else {
            return Some(format!("{kind} {name} is gone"));
        };
        if found.uid != *uid {
            return Some(format!("{kind} {name} was deleted and made again"));
        }
        if found.generation != *generation || found.digest != *digest {
            return Some(format!("{kind} {name} was edited"));
        }
    }
    now.iter()
        .find(|found| !then.iter().any(|policy| policy.kind == found.kind && policy.name == found.name))
        .map(|new| format!("{} {} was not there", new.kind, new.name))
}
