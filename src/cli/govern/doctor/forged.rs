//! A forged vote, as a dry run: nothing is written, and admission must refuse it in its own words.

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use reeve_api::Approval;
use serde_json::json;

use super::installed::Installed;
use super::report::{Area, Check, Level};
use crate::timeline::text::one_line;

/// In whose name the vote is cast. Nobody has it: a colon at the end of a name is what no authenticator gives.
const FORGED: &str = "reeve.dev:forged-vote:";
/// What the policy says to a vote in another's name, to a service account, and to whoever makes an Approval.
const WORDS: [&str; 3] = ["you may vote only as", "a service account has no vote", "only the operator creates approvals"];
const FORBIDDEN: u16 = 403;
const MISSING: u16 = 404;

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// Refused by the policy, in its words.
    Refused,
    /// It was let in.
    LetIn,
    /// Refused, but not by the policy.
    Otherwise(String),
    /// This user may not even try.
    NotTried(String),
}

/// Tries to vote in the name of nobody; where there is no Approval, to make one with a vote.
pub(super) async fn look(client: &Client, installed: &Installed, namespace: &str) -> Check {
    let policy = installed.policy("approvals");
    let check = |(level, message): (Level, String)| Check::new(level, Area::Admission, "a forged vote is refused", message);
    let found = match find(client, namespace).await {
        Ok(found) => found,
        Err(error) => return check((Level::Warn, format!("could not be tried: {error}"))),
    };
    let (what, outcome) = match &found {
        Some(approval) => {
            let namespace = approval.namespace().unwrap_or_default();
            let what = format!("on Approval {namespace}/{}", approval.name_any());
            (what, vote(client, &namespace, &approval.name_any()).await)
        }
        None => (format!("on an Approval that would be made in namespace {namespace}"), make(client, namespace).await),
    };
    check(said(&what, proof(outcome, &policy)))
}

/// One to try on: an open one before one that has ended, of this namespace before others.
async fn find(client: &Client, namespace: &str) -> Result<Option<Approval>, kube::Error> {
    let here: Api<Approval> = Api::namespaced(client.clone(), namespace);
    let everywhere: Api<Approval> = Api::all(client.clone());
    let found = match everywhere.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == FORBIDDEN => here.list(&ListParams::default()).await?.items,
        Err(error) => return Err(error),
    };
    let now = jiff::Timestamp::now();
    Ok(found
        .into_iter()
        .min_by_key(|approval| (!super::super::approvals::is_open(approval, now), approval.namespace().as_deref() != Some(namespace))))
}

async fn vote(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let api: Api<Approval> = Api::namespaced(client.clone(), namespace);
    let forged = json!({ "spec": { "votes": { FORGED: { "verdict": "Approve" } } } });
    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
    api.patch(name, &parameters, &Patch::Merge(&forged)).await.map(drop)
}

async fn make(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<Approval> = Api::namespaced(client.clone(), namespace);
    let forged = json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "Approval", "metadata": { "name": "doctor-forged-vote" },
        "spec": {
            "subject": { "kind": "AgentRun", "name": "nobody", "uid": "none", "action": "merge", "key": "none" },
            "digest": format!("sha256:{:064}", 0), "delta": "", "requestedBy": FORGED, "quorum": 1, "expiresAt": "2000-01-01T00:00:00Z",
            "votes": { FORGED: { "verdict": "Approve" } }
        }
    });
    let forged = serde_json::from_value(forged).map_err(kube::Error::SerdeError)?;
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&parameters, &forged).await.map(drop)
}

fn proof(outcome: Result<(), kube::Error>, policy: &str) -> Proof {
    match outcome {
        Ok(()) => Proof::LetIn,
        Err(kube::Error::Api(status)) if status.message.contains(&format!("ValidatingAdmissionPolicy '{policy}'")) => {
            let ours = WORDS.iter().any(|words| status.message.contains(words));
            if ours { Proof::Refused } else { Proof::Otherwise(one_line(&status.message)) }
        }
        Err(kube::Error::Api(status)) if status.code == FORBIDDEN && !status.message.contains("denied request") => {
            Proof::NotTried(one_line(&status.message))
        }
        Err(kube::Error::Api(status)) if status.code == MISSING => Proof::NotTried(one_line(&status.message)),
        Err(kube::Error::Api(status)) => Proof::Otherwise(one_line(&status.message)),
        Err(error) => Proof::NotTried(one_line(&error.to_string())),
    }
}

fn said(what: &str, proof: Proof) -> (Level, String) {
    match proof {
        Proof::Refused => (Level::Ok, format!("tried as a dry run {what}")),
        Proof::LetIn => (Level::Fail, format!("it was let in, as a dry run {what}: anybody could vote as anybody")),
        Proof::Otherwise(why) => (Level::Fail, format!("it was refused {what}, but not by our policy: {why}")),
        Proof::NotTried(why) => (Level::Warn, format!("could not be tried {what}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn refusal(code: u16, message: &str) -> Result<(), kube::Error> {
        let status = json!({ "status": "Failure", "message": message, "reason": "Forbidden", "code": code });
        Err(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn only_a_refusal_in_the_words_of_the_policy_proves_anything() {
        let by = "approvals.reeve.dev \"a\" is forbidden: ValidatingAdmissionPolicy";
        for (outcome, level) in [
            (
                refusal(422, &format!("{by} 'reeve-approvals' with binding 'reeve-approvals' denied request: you may vote only as bob")),
                Level::Ok,
            ),
            (refusal(422, &format!("{by} 'reeve-approvals' with binding 'reeve-approvals' denied request: something else")), Level::Fail),
            (refusal(422, &format!("{by} 'other' with binding 'other' denied request: you may vote only as bob")), Level::Fail),
            (refusal(422, "Approval.reeve.dev \"a\" is invalid: spec.votes: Too many"), Level::Fail),
            (refusal(403, "approvals.reeve.dev \"a\" is forbidden: User \"bob\" cannot patch resource \"approvals\""), Level::Warn),
            (refusal(404, "approvals.reeve.dev \"a\" not found"), Level::Warn),
            (Ok(()), Level::Fail),
        ] {
            let words = format!("{outcome:?}");
            assert_eq!(said("on a", proof(outcome, "reeve-approvals")).0, level, "{words}");
        }
    }

    #[test]
    fn what_would_be_made_is_an_approval() {
        let fields = json!({ "verdict": "Approve" });
        assert!(serde_json::from_value::<reeve_api::Vote>(fields).is_ok());
    }
}
