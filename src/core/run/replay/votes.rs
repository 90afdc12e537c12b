//! Rows about approvals, held against what today's code would do.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reeve_api::{ApprovalPhase, ApprovalSpec, Subject, Vote};

use super::take::{Before, Otherwise, Took, instead};
use crate::approval::{self, Admission, Seen, State, Tally};
use crate::journal::{ApprovalAsked, ApprovalConsumed, ApprovalSettled, ApprovalVote, Event};
use crate::run::{CallStage, PendingCall, Step};
use crate::tool::ToolName;

impl Before<'_> {
    pub(super) fn approval(&self, event: &Event) -> Result<Took, Otherwise> {
        let call = self.state.pending.front();
        let open = call.and_then(|call| call.approval.as_deref()).filter(|approval| approval.is_open());
        if let Event::ApprovalRequested(asked) = event {
            return self.asked(asked);
        }
        let (Some(call), Some(open)) = (call, open) else { return Err(self.otherwise()) };
        if let Event::ApprovalCreated(created) = event {
            let asks = matches!(self.step(), Step::AskApproval { .. }) && open.created.is_none();
            return self.outcome_if(asks && created.key == open.asked.key && created.name == open.asked.name);
        }
        if let Event::ApprovalVote(vote) = event {
            return self.vote(open, vote);
        }
        if let Event::ApprovalSettled(settled) = event {
            return self.settled_approval(open, settled);
        }
        if let Event::ApprovalConsumed(consumed) = event {
            return self.consumed(call, open, consumed);
        }
        Err(self.otherwise())
    }

    fn asked(&self, recorded: &ApprovalAsked) -> Result<Took, Otherwise> {
        let would = |now| match self.row_at(now) {
            Some(Event::ApprovalRequested(mut want)) => {
                if want.action == ToolName::Merge.as_str() {
                    want.delta.clone_from(&recorded.delta);
                }
                Some(want)
            }
            Some(_) | None => None,
        };
        // It expires so long after it was decided to ask, in whole seconds: between the row before and this one.
        let seconds = self.since.as_second()..=self.now.as_second();
        let Some(mut want) = would(self.now) else { return Err(self.otherwise()) };
        let longer = want.expires_at.as_second().saturating_sub(recorded.expires_at.as_second());
        if seconds.contains(&self.now.as_second().saturating_sub(longer)) {
            want.expires_at = recorded.expires_at;
        }
        if *want == *recorded { Ok(Took::Command { due: None }) } else { Err(instead(Event::ApprovalRequested(want))) }
    }

    /// Whether the vote counts, and why not, is decided by what was journaled before it.
    fn vote(&self, open: &State, recorded: &ApprovalVote) -> Result<Took, Otherwise> {
        let Some(created) = &open.created else { return Err(self.otherwise()) };
        let spec = spec_of(open, Some(recorded));
        let seen = Seen::There { uid: &created.uid, spec: &spec, phase: None };
        let would = |now| approval::plan(now, open, seen, &Admission::InForce).votes.into_iter().find(|vote| vote.user == recorded.user);
        // Only the expiry makes a difference between the two times.
        let found = [would(self.now), would(self.since)];
        if found.iter().flatten().any(|vote| vote == recorded) {
            return Ok(Took::Command { due: None });
        }
        let [now, _] = found;
        Err(now.map_or_else(|| self.otherwise(), |vote| instead(Event::ApprovalVote(vote))))
    }

    fn settled_approval(&self, open: &State, recorded: &ApprovalSettled) -> Result<Took, Otherwise> {
        let ours = recorded.key == open.asked.key && recorded.name == open.asked.name;
        let gone = recorded.phase == ApprovalPhase::Denied && recorded.message.starts_with("The Approval was deleted");
        // Of the world: admission that is not in force, an object that is gone or another, a run that ends.
        if gone || recorded.phase == ApprovalPhase::Superseded {
            return self.outcome_if(ours);
        }
        let Some(created) = &open.created else { return Err(self.otherwise()) };
        let spec = spec_of(open, None);
        let seen = Seen::There { uid: &created.uid, spec: &spec, phase: None };
        let would = |now| approval::plan(now, open, seen, &Admission::InForce).settle;
        let found = [would(self.now), would(self.since)];
        if found.iter().flatten().any(|settled| settled == recorded) {
            return Ok(Took::Command { due: None });
        }
        let [now, _] = found;
        Err(now.map_or_else(|| self.otherwise(), |settled| instead(Event::ApprovalSettled(settled))))
    }

    fn consumed(&self, call: &PendingCall, open: &State, recorded: &ApprovalConsumed) -> Result<Took, Otherwise> {
        let (Step::UseApproval(_), Some(created), Tally::Approved { by }) = (self.step(), &open.created, open.tally()) else {
            return Err(self.otherwise());
        };
        let CallStage::Judged(canonical, _) = &call.stage else { return Err(self.otherwise()) };
        let Ok(digest) = approval::digest(&call.key, canonical) else { return Err(self.otherwise()) };
        let want = ApprovalConsumed { key: call.key.clone(), name: open.asked.name.clone(), uid: created.uid.clone(), digest, by };
        let approved = digest == open.asked.digest;
        if approved && want == *recorded { Ok(Took::Command { due: None }) } else { Err(instead(Event::ApprovalConsumed(want))) }
    }
}

/// The Approval as it was when these votes stood on it: what was asked, and nothing else.
fn spec_of(open: &State, more: Option<&ApprovalVote>) -> ApprovalSpec {
    let asked = &open.asked;
    let votes = open.votes.iter().chain(more).map(|vote| (vote.user.clone(), Vote { verdict: vote.verdict, reason: vote.reason.clone() }));
    ApprovalSpec {
        subject: Subject {
            kind: String::new(),
            name: String::new(),
            uid: String::new(),
            action: asked.action.clone(),
            key: asked.key.clone(),
        },
        digest: asked.digest.to_string(),
        delta: asked.delta.clone(),
        requested_by: asked.requested_by.clone(),
        quorum: i32::try_from(asked.quorum).unwrap_or(i32::MAX),
        groups: Some(asked.groups.clone()),
        expires_at: Time(asked.expires_at),
        decision: None,
        votes: Some(votes.collect()),
    }
}
