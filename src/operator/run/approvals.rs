//! Asking people, hearing them, and using their answer once.
//!
//! Order of a use: what would be done is computed anew → policy is asked with the keys → the object is read, admission proved, the votes
//! counted → the object's status becomes Consumed, guarded by the resource version that was read → `approval.consumed` → the action's intent.
//! A vote that comes in between moves the resource version, and everything is looked at again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};
use reeve_api::{
    AgentRun, Approval, ApprovalPhase, ApprovalSpec, ApprovalStatus, ConditionStatus, FIELD_MANAGER, Subject, VoteStatus, label,
};
use reeve_core::approval::{self, Admission, Seen, State, Tally};
use reeve_core::conditions::{self, Say, whole_second};
use reeve_core::journal::{
    Actor, ApprovalAsked, ApprovalConsumed, ApprovalCreated, ApprovalSettled, Event, Judgement, Observation, Proposal, ToolEnded, Verdict,
};
use reeve_core::run::{self, CallStage, EndReason, PendingCall};
use reeve_core::tool::{ToolName, wire};

use super::crash;
use super::driver::Driver;
use super::sandbox::Answer;
use crate::admission;
use crate::cluster::{WriteError, create_owned, find, write_status};
use crate::error::Error;
use crate::telemetry::{self, Event as _};

impl Driver {
    /// Journals what is asked, makes the Approval, proves admission on it, and journals that it can be voted on.
    pub(super) async fn ask_approval(&mut self, call: &PendingCall, quorum: u32, attempt: u32) -> Result<(), Error> {
        // Nobody is asked for a vote that nothing would prove.
        let policies = admission::seen(&self.context.client, &self.context.config).await?.map_err(Error::AdmissionNotInForce)?;
        let journaled = call.approval.as_ref().is_some_and(|before| before.is_open() && before.asked.attempt == attempt);
        if !journaled {
            let asked = self.asked_of(call, quorum, attempt).await?;
            self.log.stage(&Actor::Operator, Event::ApprovalRequested(Box::new(asked)))?;
        }
        self.commit().await?;
        let Some(state) = self.approval() else { return Err(Error::bug("an approval that was just asked for is not there")) };
        let asked = state.asked.clone();
        let wanted = object(&self.seen(), &asked);
        crash::point("effect.approval.before");
        let made = match create_owned(&self.context.client, &wanted).await {
            Ok(made) => made.into_object(),
            Err(WriteError::NameTaken { found, .. }) => {
                let message = format!("Approval {} exists and belongs to {found}; another is asked for.", asked.name);
                return self.settle_approval(&asked, ApprovalPhase::Superseded, message);
            }
            Err(error) => return Err(error.into()),
        };
        crash::point("effect.approval.after");
        let voted = made.spec.votes.as_ref().is_some_and(|votes| !votes.is_empty());
        if voted || approval::differs(&asked, &made.spec).is_some() {
            let message = "It had votes, or other words, before the journal knew it.".to_owned();
            self.settle_approval(&asked, ApprovalPhase::Superseded, message)?;
            self.commit().await?;
            return self.show_approval(&made).await;
        }
        let namespace = self.namespace();
        let proof =
            admission::forged_vote_is_refused(&self.context.client, &self.context.config.approval_policy, &namespace, &asked.name).await?;
        proof.map_err(Error::AdmissionNotInForce)?;
        if self.context.now() >= asked.expires_at {
            // Nobody could ever have voted on it: that is no answer.
            let message = "It expired before anybody could vote.".to_owned();
            self.settle_approval(&asked, ApprovalPhase::Superseded, message)?;
            self.commit().await?;
            return self.show_approval(&made).await;
        }
        let uid = made.uid().unwrap_or_default();
        let created = ApprovalCreated { key: asked.key.clone(), name: asked.name.clone(), uid, admission: policies };
        self.log.stage(&Actor::Operator, Event::ApprovalCreated(created))?;
        self.commit().await?;
        self.show_approval(&made).await
    }

    async fn asked_of(&self, call: &PendingCall, quorum: u32, attempt: u32) -> Result<ApprovalAsked, Error> {
        let Some(started) = &self.log.state().started else { return Err(Error::bug("an approval before run.started")) };
        let canonical = judged(call)?;
        let delta = match &started.spec.merge {
            Some(proposal) if canonical.tool == ToolName::Merge => {
                let patch = self.context.artifacts.get(&proposal.patch.digest).await?;
                // Before it is cut to size: what is masked may grow.
                let patch = self.context.secrets.redacted_text(&self.namespace(), &String::from_utf8_lossy(&patch));
                approval::merge_delta(proposal, &patch)
            }
            Some(_) | None => approval::delta(canonical),
        };
        run::approval_asked(self.log.state(), call, quorum, attempt, delta, self.context.now())
            .map_err(|error| Error::bug(error.to_string()))
    }

    /// Hears what people say, until it is decided.
    pub(super) async fn await_approval(&mut self, call: &PendingCall) -> Result<(), Error> {
        let Some(state) = call.approval.as_deref() else { return Err(Error::bug("no approval to wait for")) };
        let object = self.read_approval(&state.asked).await?;
        let admission = match &object {
            Some(found) if approval::has_news(state, seen(Some(found))) => self.admission(state).await?,
            Some(_) | None => Admission::Unknown,
        };
        if self.hear(state, object.as_ref(), &admission).await? {
            return Ok(());
        }
        self.commit().await?;
        // A crash may have come between a row and the status that shows it.
        if let Some(object) = &object {
            self.show_approval(object).await?;
        }
        self.hold_open().await?;
        self.give_place_back();
        let expires = state.asked.expires_at.as_millisecond().saturating_sub(self.context.now().as_millisecond());
        let expires = std::time::Duration::from_millis(u64::try_from(expires).unwrap_or(0));
        tokio::select! {
            biased;
            () = self.wait_for_change() => {}
            () = tokio::time::sleep(expires) => {}
        }
        Ok(())
    }

    /// Journals new votes and what they settle; whether there was anything. The object's status follows.
    async fn hear(&mut self, state: &State, object: Option<&Approval>, admission: &Admission) -> Result<bool, Error> {
        let approval::Plan { votes, settle } = approval::plan(self.context.now(), state, seen(object), admission);
        if votes.is_empty() && settle.is_none() {
            return Ok(false);
        }
        for vote in votes {
            let actor = Actor::Person(vote.user.clone());
            self.log.stage(&actor, Event::ApprovalVote(vote))?;
        }
        if let Some(settled) = settle {
            self.tell_approval(&state.asked, settled.phase);
            self.log.stage(&Actor::Operator, Event::ApprovalSettled(settled))?;
        }
        self.commit().await?;
        if let Some(object) = object {
            self.show_approval(object).await?;
        }
        Ok(true)
    }

    /// Whether votes on this approval are proved right now.
    async fn admission(&self, state: &State) -> Result<Admission, Error> {
        let Some(created) = &state.created else { return Ok(Admission::Unknown) };
        let context = &self.context;
        let now = match admission::seen(&context.client, &context.config).await? {
            Ok(now) => now,
            Err(why) => return Ok(Admission::NotInForce(why)),
        };
        if let Some(why) = approval::admission_changed(&created.admission, &now) {
            return Ok(Admission::NotInForce(why));
        }
        let proof =
            admission::forged_vote_is_refused(&context.client, &context.config.approval_policy, &self.namespace(), &created.name).await?;
        Ok(match proof {
            Ok(()) => Admission::InForce,
            Err(why) => Admission::NotInForce(why),
        })
    }

    /// Uses an approval, or finds that it no longer holds.
    pub(super) async fn use_approval(&mut self, call: &PendingCall) -> Result<(), Error> {
        let Some(state) = call.approval.as_deref() else { return Err(Error::bug("no approval to use")) };
        let (asked, canonical) = (&state.asked, judged(call)?.clone());
        if let Err(why) = self.is_still(call, &canonical).await? {
            return match why {
                Changed::What(message) => self.refuse_changed(call, asked, message).await,
                Changed::Lost(reason, message) => self.lost(reason, message).await,
            };
        }
        let digest = approval::digest(&call.key, &canonical).map_err(|error| Error::bug(error.to_string()))?;
        if digest != asked.digest {
            return self.refuse_changed(call, asked, "What would be done is not what was approved.".to_owned()).await;
        }
        let Tally::Approved { by } = state.tally() else { return Err(Error::bug("an approval to use that nobody approved")) };
        let judgement = self.judge(&call.key, &canonical, u32::try_from(by.len()).unwrap_or(0));
        if judgement.verdict != Verdict::Allow {
            return self.refuse_changed(call, asked, format!("Policy no longer permits it with these keys: {}", judgement.reason)).await;
        }
        let object = self.read_approval(asked).await?;
        let admission = self.admission(state).await?;
        if self.hear(state, object.as_ref(), &admission).await? {
            return Ok(());
        }
        let Some(object) = object.filter(|_| admission == Admission::InForce) else {
            return Err(Error::bug("an approval that is not there, or that nothing proves, went on"));
        };
        // Used under a switch it could no longer be denied, and would not be done.
        if self.context.kill.stops(&self.namespace()).is_some() {
            return Ok(());
        }
        crash::point("effect.consume.before");
        if !self.consume(&object, state).await? {
            // Somebody changed the object since it was read: everything is looked at again.
            return Ok(());
        }
        crash::point("effect.consume.after");
        self.consumed(state, object.uid().unwrap_or_default(), digest, by, &canonical, judgement)
    }

    fn consumed(
        &mut self,
        state: &State,
        uid: String,
        digest: reeve_core::Digest,
        by: Vec<String>,
        canonical: &wire::Canonical,
        judgement: Judgement,
    ) -> Result<(), Error> {
        let asked = &state.asked;
        self.tell_approval(asked, ApprovalPhase::Consumed);
        self.tell_judgement(canonical, &judgement);
        let consumed = ApprovalConsumed { key: asked.key.clone(), name: asked.name.clone(), uid, digest, by };
        self.log.stage(&Actor::Operator, Event::ApprovalConsumed(consumed))?;
        self.log.stage(&Actor::Operator, Event::PolicyDecision(judgement))
    }

    /// Whether the call still is what was judged: the sandbox resolves it anew, a merge's artifacts are read and their digests computed.
    async fn is_still(&mut self, call: &PendingCall, canonical: &wire::Canonical) -> Result<Result<(), Changed>, Error> {
        if canonical.tool == ToolName::Merge {
            let proposal = self.log.state().started.as_ref().and_then(|started| started.spec.merge.clone());
            let Some(Proposal { patch, bundle, .. }) = proposal else { return Err(Error::bug("a merge without a proposal")) };
            for blob in [patch, bundle] {
                match self.context.artifacts.get(&blob.digest).await {
                    Ok(_) => {}
                    Err(error) if error.class() == reeve_core::class::Class::Invalid => {
                        return Ok(Err(Changed::What(format!("What was approved is not what is there: {error}."))));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(Ok(()));
        }
        if canonical.tool.is_control() {
            return Ok(Ok(()));
        }
        let resolve = wire::Resolve { key: call.key.clone(), tool: canonical.tool, arguments: canonical.arguments.clone() };
        Ok(match self.resolve(&resolve).await? {
            Answer::Got(found) if found == *canonical => Ok(()),
            Answer::Got(_) => Err(Changed::What("What it names has changed since it was approved.".to_owned())),
            Answer::Refused(why) => Err(Changed::What(format!("It can no longer be done: {why}"))),
            Answer::Lost(reason, message) => Err(Changed::Lost(reason, message)),
        })
    }

    async fn refuse_changed(&mut self, call: &PendingCall, asked: &ApprovalAsked, message: String) -> Result<(), Error> {
        self.settle_approval(asked, ApprovalPhase::Superseded, message.clone())?;
        self.commit().await?;
        if let Some(object) = self.read_approval(asked).await? {
            self.show_approval(&object).await?;
        }
        let content = format!("Not done: {message} Ask for it again if it is still wanted.");
        self.log.stage(&Actor::Operator, Event::ToolResult(run::ended(call, Observation::Refused, content)))
    }

    fn settle_approval(&mut self, asked: &ApprovalAsked, phase: ApprovalPhase, message: String) -> Result<(), Error> {
        self.tell_approval(asked, phase);
        let settled = ApprovalSettled { key: asked.key.clone(), name: asked.name.clone(), phase, message };
        self.log.stage(&Actor::Operator, Event::ApprovalSettled(settled))
    }

    /// Makes the object's status Consumed, unless anything about the object has changed since it was read. False: it has.
    async fn consume(&self, object: &Approval, state: &State) -> Result<bool, Error> {
        if object.status.as_ref().and_then(|status| status.phase) == Some(ApprovalPhase::Consumed) {
            // By this very action, before a crash: nobody else writes it, and the UID is the one that was made for it.
            return Ok(true);
        }
        let mut wanted = object.clone();
        wanted.status = Some(status_of(state, object, Some(ApprovalPhase::Consumed), self.context.now()));
        let api: Api<Approval> = Api::namespaced(self.context.client.clone(), &self.namespace());
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match api.replace_status(&object.name_any(), &parameters, &wanted).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_approval(&self, asked: &ApprovalAsked) -> Result<Option<Approval>, Error> {
        let api: Api<Approval> = Api::namespaced(self.context.client.clone(), &self.namespace());
        Ok(find(&api, &asked.name).await?.filter(|found| found.metadata.deletion_timestamp.is_none()))
    }

    /// Shows what the journal has of it. A status that cannot be written changes nothing that counts.
    async fn show_approval(&self, object: &Approval) -> Result<(), Error> {
        let Some(state) = self.approval() else { return Ok(()) };
        let status = status_of(state, object, None, self.context.now());
        if object.status.as_ref() == Some(&status) {
            return Ok(());
        }
        match write_status(&self.context.client, object, None, &status).await {
            Ok(_) => {
                telemetry::StatusWritten { kind: "Approval" }.emit();
                Ok(())
            }
            // It is gone, or another one: the next look says what that means.
            Err(error) if error.is_gone() => {
                let api: Api<Approval> = Api::namespaced(self.context.client.clone(), &self.namespace());
                let lives = find(&api, &object.name_any()).await?.is_some_and(|found| found.uid() == object.uid());
                if lives { Err(error.into()) } else { Ok(()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The approval of the call in hand.
    fn approval(&self) -> Option<&State> {
        self.log.state().pending.front().and_then(|call| call.approval.as_deref())
    }

    fn tell_approval(&self, asked: &ApprovalAsked, phase: ApprovalPhase) {
        let approval = format!("{}/{}", self.namespace(), asked.name);
        telemetry::ApprovalMoved { approval: &approval, action: &asked.action, phase: phase.as_str() }.emit();
    }

    /// Why a call that used an approval may not begin any more: it stood still past the time that people had answered for.
    pub(super) fn out_of_date(&self, key: &str) -> Option<String> {
        let call = self.log.state().pending.front().filter(|call| call.key == key)?;
        let asked = &call.approval.as_ref().filter(|approval| approval.consumed.is_some())?.asked;
        (self.context.now() >= asked.expires_at).then(|| {
            format!(
                "Not done: it was approved until {}, and had not begun by then. Ask for it again if it is still wanted.",
                asked.expires_at
            )
        })
    }

    /// Settles an approval that is open when its run ends, and shows it.
    pub(super) async fn close_approval(&mut self) -> Result<(), Error> {
        let Some(asked) = self.approval().filter(|approval| approval.is_open()).map(|approval| approval.asked.clone()) else {
            return Ok(());
        };
        self.settle_approval(&asked, ApprovalPhase::Superseded, "Its run has ended.".to_owned())?;
        self.commit().await?;
        match self.read_approval(&asked).await? {
            Some(object) => self.show_approval(&object).await,
            None => Ok(()),
        }
    }

    /// Shows an approval that is settled and whose call will not be done: whoever settled it may have been stopped before it could, by a crash
    /// or by a journal that was not heard. One that was approved is shown by its use.
    pub(super) async fn show_settled(&mut self) -> Result<(), Error> {
        let refused = |state: &&State| state.settled.as_ref().is_some_and(|settled| settled.phase != ApprovalPhase::Approved);
        let Some(asked) = self.approval().filter(refused).map(|state| state.asked.clone()) else { return Ok(()) };
        match self.read_approval(&asked).await? {
            Some(object) => self.show_approval(&object).await,
            None => Ok(()),
        }
    }

    /// Makes the proposal the Goal's result. Doing it again changes nothing.
    pub(super) async fn merge(&mut self, key: String, call_id: String, proposal: Proposal) -> Result<(), Error> {
        self.commit().await?;
        let Some(_acting) = self.act() else { return Ok(()) };
        let name = format!("goals/{}", proposal.goal_uid);
        let done = self.context.artifacts.pointed(&name).await? == Some(proposal.bundle.digest);
        if !done && let Some(message) = self.out_of_date(&key) {
            let ended = ToolEnded { key, call_id, observation: Observation::Refused, content: message };
            return self.log.stage(&Actor::Operator, Event::ToolResult(ended));
        }
        crash::point("effect.merge.before");
        self.context.artifacts.point(&name, &proposal.bundle.digest).await?;
        crash::point("effect.merge.after");
        let content = format!("{} is merged.", proposal.head_commit);
        self.log.stage(&Actor::Operator, Event::ToolResult(ToolEnded { key, call_id, observation: Observation::Answered, content }))
    }
}

/// Why what was approved cannot be done.
enum Changed {
    /// It is something else by now; for people and for the model.
    What(String),
    /// The sandbox is gone.
    Lost(EndReason, String),
}

fn judged(call: &PendingCall) -> Result<&wire::Canonical, Error> {
    match &call.stage {
        CallStage::Judged(canonical, _) => Ok(canonical),
        CallStage::Wanted | CallStage::Requested(_) => Err(Error::bug("an approval of a call that was not judged")),
    }
}

fn seen(object: Option<&Approval>) -> Seen<'_> {
    match object {
        Some(Approval { metadata, spec, status }) => {
            Seen::There { uid: metadata.uid.as_deref().unwrap_or_default(), spec, phase: status.as_ref().and_then(|status| status.phase) }
        }
        None => Seen::Gone,
    }
}

fn object(run: &AgentRun, asked: &ApprovalAsked) -> Approval {
    let (name, uid) = (run.name_any(), run.uid().unwrap_or_default());
    Approval {
        metadata: ObjectMeta {
            name: Some(asked.name.clone()),
            namespace: run.namespace(),
            labels: Some(BTreeMap::from([(label::RUN.to_owned(), name.clone()), (label::RUN_UID.to_owned(), uid.clone())])),
            owner_references: Some(vec![OwnerReference {
                api_version: AgentRun::api_version(&()).into_owned(),
                kind: AgentRun::kind(&()).into_owned(),
                name: name.clone(),
                uid: uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: ApprovalSpec {
            subject: Subject { kind: AgentRun::kind(&()).into_owned(), name, uid, action: asked.action.clone(), key: asked.key.clone() },
            digest: asked.digest.to_string(),
            delta: asked.delta.clone(),
            requested_by: asked.requested_by.clone(),
            quorum: i32::try_from(asked.quorum).unwrap_or(i32::MAX),
            groups: Some(asked.groups.clone()).filter(|groups| !groups.is_empty()),
            expires_at: Time(whole_second(asked.expires_at)),
            decision: None,
            votes: None,
        },
        status: None,
    }
}

/// What the journal has of an approval, as its status shows it. `phase` where it is about to be another.
fn status_of(state: &State, object: &Approval, phase: Option<ApprovalPhase>, now: Timestamp) -> ApprovalStatus {
    let settled = state.settled.as_ref();
    let phase = phase.or(settled.map(|settled| settled.phase)).unwrap_or(ApprovalPhase::Pending);
    let missing = match state.tally() {
        Tally::Open { missing } => missing,
        Tally::Approved { .. } | Tally::Denied { .. } => 0,
    };
    let message = match settled {
        Some(settled) => settled.message.clone(),
        None => format!("{missing} of {} approvals are missing.", state.asked.quorum),
    };
    let ready = match phase {
        ApprovalPhase::Approved | ApprovalPhase::Consumed => ConditionStatus::True,
        ApprovalPhase::Pending => ConditionStatus::Unknown,
        ApprovalPhase::Denied | ApprovalPhase::Expired | ApprovalPhase::Superseded => ConditionStatus::False,
    };
    let say = Say::ready(ready, phase.as_str(), message);
    let old = object.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let votes = state.votes.iter().rev().take(32).rev().map(|vote| VoteStatus {
        user: vote.user.clone(),
        verdict: vote.verdict,
        counted: vote.refused.is_none(),
        why: vote.refused.clone(),
    });
    ApprovalStatus {
        phase: Some(phase),
        observed_generation: object.metadata.generation,
        missing: Some(i32::try_from(missing).unwrap_or(i32::MAX)),
        votes: votes.collect(),
        conditions: conditions::set(old, &[say], object.metadata.generation, now),
    }
}
