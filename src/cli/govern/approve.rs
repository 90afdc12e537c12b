//! `kubectl reeve approve` and `deny`: one's own vote on what waits for people.

use std::io::IsTerminal as _;

use clap::Args;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use reeve_api::{Approval, ApprovalPhase, VoteStatus, VoteVerdict};
use reeve_core::Digest;
use serde_json::{Value, json};

use super::ago::until;
use super::{Wait, Waited, is_confirmed, ready, whoami};
use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::name;
use crate::output::{self, ObjectFormat};
use crate::timeline::text::{one_line, visible};

pub(crate) const EXAMPLES_APPROVE: &str = "\
Examples:
  kubectl reeve approve mend-stats-merge-s1c0 --reason 'read the diff'
  kubectl reeve approve mend-stats-merge-s1c0 -n team-a --yes --digest sha256:…
  kubectl reeve approvals -A

Without a terminal, in a pipe or a script, nobody can be asked: it then takes --yes, or --digest with the digest that was read.

The vote is yours by what the API server says of you, and by nothing else. It needs the verb approve on approvals, and whoever asked has none.";

pub(crate) const EXAMPLES_DENY: &str = "\
Examples:
  kubectl reeve deny mend-stats-merge-s1c0 --reason 'drops a test'
  kubectl reeve approvals -o name | xargs -n1 kubectl reeve deny --reason 'stop all'

One Deny is enough. Your own Approve may become a Deny until the approval is used; a Deny stands.";

/// The user names of ServiceAccounts.
const MACHINES: &str = "system:serviceaccount:";

/// What both votes take.
#[derive(Args, Debug)]
pub(crate) struct Ballot {
    /// Name of the Approval
    #[arg(value_parser = name::of::<Approval>)]
    name: String,
    /// Why, in your own words; it is journaled with the vote
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Votes only on an Approval with this digest, and on nothing else
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// Asks no question. Without a terminal none can be asked: approve then needs this, or --digest
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: ObjectFormat,
}

/// What there is to do for a verdict.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    /// To vote.
    Vote,
    /// This very vote is there already.
    Nothing,
}

impl Ballot {
    /// Shows what would be done, votes, and waits until the vote is journaled.
    pub(crate) async fn run(self, connection: &Connection, verdict: VoteVerdict) -> Result<(), Failure> {
        self.is_meant(verdict, std::io::stdin().is_terminal())?;
        let (client, namespace) = connection.connect().await?;
        let api: Api<Approval> = Api::namespaced(client.clone(), &namespace);
        let approval = api.get(&self.name).await.map_err(refused(format!("reading Approval {namespace}/{}", self.name)))?;
        let (user, now) = (whoami(&client).await?, Timestamp::now());
        self.tell(&preview(&approval, now))?;
        has_digest(&approval, self.digest.as_ref())?;
        let approval = match todo(&approval, &user, verdict, now)? {
            Todo::Nothing => approval,
            Todo::Vote => {
                let question = format!("{} this as {}?", verdict.as_str(), one_line(&user));
                if !self.yes && !is_confirmed(&question)? {
                    return Err(Failure::no("nothing was done: the answer was not yes"));
                }
                let vote = vote(&approval, &user, verdict, self.reason.as_deref());
                let voted = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&vote)).await;
                voted.map_err(refused(format!("voting {} as {}", verdict.as_str(), one_line(&user))))?
            }
        };
        self.wait_for(&api, approval, &user, verdict).await
    }

    /// Nothing is approved in passing: whoever cannot be asked has said so, or has named what is approved. A Deny needs neither.
    fn is_meant(&self, verdict: VoteVerdict, has_terminal: bool) -> Result<(), Failure> {
        match verdict {
            VoteVerdict::Approve if !has_terminal && !self.yes && self.digest.is_none() => Err(Failure::unusable(
                "there is no terminal to ask at, so expected --yes, or --digest with the digest of what is approved; nothing was done",
            )),
            VoteVerdict::Approve | VoteVerdict::Deny => Ok(()),
        }
    }

    /// For a person, beside what programs read.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        match self.output {
            ObjectFormat::Table => output::line(text),
            ObjectFormat::Json | ObjectFormat::Yaml | ObjectFormat::Name => {
                eprintln!("{text}");
                Ok(())
            }
        }
    }

    /// Prints what came of the vote, once the journal has it.
    async fn wait_for(&self, api: &Api<Approval>, voted: Approval, user: &str, verdict: VoteVerdict) -> Result<(), Failure> {
        let shown_name = output::named(&voted);
        if self.wait.is_none() {
            return output::object(self.output, &voted, || format!("{shown_name}: {} of {} is cast", verdict.as_str(), one_line(user)));
        }
        let taken = |seen: &Approval| heard(seen, user, verdict).is_some() || phase(seen).is_final();
        let seen = match self.wait.until(api, &voted, taken).await? {
            Waited::Done(seen) => seen,
            Waited::Late(_) => {
                return Err(Failure::no(format!(
                    "{shown_name}: your {} stands in spec.votes, but the operator has not journaled it after {}, and it counts only then: \
                     kubectl reeve doctor says whether the operator works",
                    verdict.as_str(),
                    self.wait.shown()
                )));
            }
            Waited::Gone => return Err(Failure::no(format!("{shown_name} was deleted, which means no"))),
        };
        if let Some(VoteStatus { counted: false, why, .. }) = heard(&seen, user, verdict) {
            let why = why.as_deref().unwrap_or("it does not say why");
            return Err(Failure::no(format!("{shown_name}: your {} does not count: {}", verdict.as_str(), one_line(why))));
        }
        if heard(&seen, user, verdict).is_none() {
            return Err(Failure::no(format!("{shown_name} ended before your vote was journaled: {}", outcome(&seen))));
        }
        output::object(self.output, &seen, || {
            format!("{shown_name}: {} of {} is journaled; {}", verdict.as_str(), one_line(user), outcome(&seen))
        })
    }
}

/// The vote of this person that the journal has last, if it is this one.
fn heard<'a>(approval: &'a Approval, user: &str, verdict: VoteVerdict) -> Option<&'a VoteStatus> {
    let votes = approval.status.as_ref().map_or(&[][..], |status| &status.votes);
    votes.iter().rev().find(|vote| vote.user == user).filter(|vote| vote.verdict == verdict)
}

pub(super) fn phase(approval: &Approval) -> ApprovalPhase {
    approval.status.as_ref().and_then(|status| status.phase).unwrap_or(ApprovalPhase::Pending)
}

/// How many approvals are missing, by the operator's own count where there is one.
pub(super) fn missing(approval: &Approval) -> i32 {
    approval.status.as_ref().and_then(|status| status.missing).unwrap_or(approval.spec.quorum)
}

/// Phase and what is missing, with the operator's reason.
fn outcome(approval: &Approval) -> String {
    let phase = phase(approval);
    let conditions = approval.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match phase {
        ApprovalPhase::Pending => format!("Pending: {} of {} missing", missing(approval), approval.spec.quorum),
        ApprovalPhase::Approved | ApprovalPhase::Denied | ApprovalPhase::Expired | ApprovalPhase::Superseded | ApprovalPhase::Consumed => {
            let why = ready(conditions).map_or_else(String::new, |ready| format!(": {}", one_line(&ready.message)));
            format!("{}{why}", phase.as_str())
        }
    }
}

/// What would be done, for the person who decides on it: nothing in it is hidden.
fn preview(approval: &Approval, now: Timestamp) -> String {
    let spec = &approval.spec;
    let mut fields = vec![
        ("Action", spec.subject.action.clone()),
        ("Subject", format!("{} {}", spec.subject.kind, spec.subject.name)),
        ("Requester", spec.requested_by.clone()),
        ("Digest", spec.digest.clone()),
        ("Phase", phase(approval).as_str().to_owned()),
        ("Missing", format!("{} of {}", missing(approval), spec.quorum)),
        ("Expires", format!("{} ({})", spec.expires_at.0, until(spec.expires_at.0, now))),
    ];
    if let Some(groups) = &spec.groups {
        fields.push(("Groups", groups.join(", ")));
    }
    for (user, vote) in spec.votes.iter().flatten() {
        let reason = vote.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        fields.push(("Vote", format!("{} of {user}{reason}", vote.verdict.as_str())));
    }
    let head = format!("Approval {}/{}", approval.namespace().unwrap_or_default(), approval.name_any());
    let fields = fields.into_iter().map(|(name, value)| format!("  {:<11}{}", format!("{name}:"), one_line(&value)));
    let delta = visible(&spec.delta);
    let delta = delta.lines().map(|line| format!("    {line}").trim_end().to_owned());
    std::iter::once(head).chain(fields).chain(std::iter::once("  Delta:".to_owned())).chain(delta).collect::<Vec<_>>().join("\n")
}

fn has_digest(approval: &Approval, wanted: Option<&Digest>) -> Result<(), Failure> {
    match wanted {
        Some(wanted) if approval.spec.digest != wanted.to_string() => Err(Failure::no(format!(
            "nothing was done: expected an Approval with digest {wanted}, found {} in {}: read it again",
            approval.spec.digest,
            output::named(approval)
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Whether a vote would do anything. What it refuses the server refuses too, later and in fewer words.
fn todo(approval: &Approval, user: &str, verdict: VoteVerdict, now: Timestamp) -> Result<Todo, Failure> {
    let (name, phase, spec) = (output::named(approval), phase(approval), &approval.spec);
    let no = |why: String| Err(Failure::no(format!("nothing was done: {why}")));
    if phase.is_final() {
        return no(format!("{name} is {}, and no vote changes that", outcome(approval)));
    }
    if spec.expires_at.0 <= now {
        return no(format!("{name} {}: ask for it again", until(spec.expires_at.0, now)));
    }
    if user == spec.requested_by {
        return no(format!("you are {}, who asked for it, and whoever asked has no vote: let somebody else decide", one_line(user)));
    }
    if user.starts_with(MACHINES) {
        return no(format!("you are {}, and a service account has no vote: vote as a person", one_line(user)));
    }
    let before = spec.votes.as_ref().and_then(|votes| votes.get(user)).map(|vote| vote.verdict);
    match (before, verdict) {
        (Some(VoteVerdict::Deny), VoteVerdict::Approve) => no(format!("you denied {name} before, and a Deny stands: ask for it again")),
        (Some(VoteVerdict::Deny), VoteVerdict::Deny) | (Some(VoteVerdict::Approve), VoteVerdict::Approve) => Ok(Todo::Nothing),
        (None, VoteVerdict::Approve | VoteVerdict::Deny) | (Some(VoteVerdict::Approve), VoteVerdict::Deny) => Ok(Todo::Vote),
    }
}

/// The merge patch. It names the UID that was shown, so that a vote never lands on another object of the same name; and the reason of an
/// earlier vote goes with that vote.
fn vote(approval: &Approval, user: &str, verdict: VoteVerdict, reason: Option<&str>) -> Value {
    json!({
        "metadata": { "uid": approval.metadata.uid },
        "spec": { "votes": { user: { "verdict": verdict, "reason": reason } } }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    fn approval(votes: Value, status: Value) -> Approval {
        serde_json::from_value(json!({
            "apiVersion": "reeve.dev/v1alpha1", "kind": "Approval",
            "metadata": { "name": "mend-merge-s1c0", "namespace": "team", "uid": "u-1" },
            "spec": {
                "subject": { "kind": "AgentRun", "name": "mend-merge", "uid": "r-1", "action": "merge", "key": "r-1/1/0" },
                "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "delta": "merge a..b\n\n+one\u{202e}\n-two\n", "requestedBy": "alice", "quorum": 2,
                "expiresAt": "2030-01-01T00:00:00Z", "votes": votes
            },
            "status": status
        }))
        .unwrap()
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_person_sees_all_that_would_be_done_before_the_vote() {
        let asked = approval(json!({ "bob": { "verdict": "Approve", "reason": "fine" } }), json!({ "phase": "Pending", "missing": 1 }));
        assert_eq!(
            preview(&asked, at("2029-12-31T23:00:00Z")),
            "Approval team/mend-merge-s1c0\n  Action:    merge\n  Subject:   AgentRun mend-merge\n  Requester: alice\n  \
             Digest:    sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n  Phase:     Pending\n  \
             Missing:   1 of 2\n  Expires:   2030-01-01T00:00:00Z (in 60m)\n  Vote:      Approve of bob: fine\n  \
             Delta:\n    merge a..b\n\n    +one\\u{202e}\n    -two"
        );
    }

    #[test]
    fn what_the_server_would_refuse_is_refused_early_with_advice() {
        use VoteVerdict::{Approve, Deny};
        let early = "2029-12-31T23:00:00Z";
        let denied = json!({ "bob": { "verdict": "Deny" } });
        for (votes, status, user, verdict, now, words) in [
            (json!({}), json!({ "phase": "Consumed" }), "bob", Deny, early, "is Consumed, and no vote changes that"),
            (json!({}), json!({ "phase": "Pending" }), "bob", Approve, "2030-01-01T00:00:00Z", "expired 0s ago: ask for it again"),
            (json!({}), json!({}), "alice", Approve, early, "whoever asked has no vote"),
            (json!({}), json!({}), "system:serviceaccount:team:ci", Approve, early, "a service account has no vote"),
            (denied, json!({}), "bob", Approve, early, "a Deny stands"),
        ] {
            let Err(Failure::No(why)) = todo(&approval(votes, status), user, verdict, at(now)) else { panic!("{words}") };
            assert!(why.starts_with("nothing was done: ") && why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_vote_is_cast_once_and_an_approve_may_become_a_deny() {
        use VoteVerdict::{Approve, Deny};
        let early = at("2029-12-31T23:00:00Z");
        let approved = approval(json!({ "bob": { "verdict": "Approve" } }), json!({ "phase": "Approved" }));
        assert_eq!(todo(&approved, "bob", Approve, early), Ok(Todo::Nothing));
        assert_eq!(todo(&approved, "bob", Deny, early), Ok(Todo::Vote));
        assert_eq!(todo(&approved, "oidc:7", Approve, early), Ok(Todo::Vote));
    }

    #[test]
    fn a_vote_names_the_object_and_the_person_and_nothing_else() {
        let asked = approval(json!({}), json!({}));
        assert_eq!(
            vote(&asked, "oidc:bob@example", VoteVerdict::Deny, None),
            json!({ "metadata": { "uid": "u-1" }, "spec": { "votes": { "oidc:bob@example": { "verdict": "Deny", "reason": null } } } })
        );
    }

    #[test]
    fn a_digest_that_is_another_stops_the_vote() {
        let asked = approval(json!({}), json!({}));
        assert_eq!(has_digest(&asked, Some(&Digest::of("abc"))), Ok(()));
        let Err(Failure::No(why)) = has_digest(&asked, Some(&Digest::of("abd"))) else { panic!() };
        assert!(why.contains("expected") && why.contains("found sha256:ba7816bf"), "{why}");
    }

    #[test]
    fn the_last_vote_of_a_person_is_the_one_that_is_awaited() {
        let vote = |verdict: &str| json!({ "user": "bob", "verdict": verdict, "counted": true });
        let both = approval(json!({}), json!({ "votes": [vote("Approve"), vote("Deny")] }));
        assert!(heard(&both, "bob", VoteVerdict::Deny).is_some());
        assert!(heard(&both, "bob", VoteVerdict::Approve).is_none());
        assert!(heard(&both, "alice", VoteVerdict::Deny).is_none());
    }
}
