//! A forged vote, as a dry run: nothing is written, and admission must refuse it in its own words.

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use reeve_api::Approval;
use serde_json::json;

use super::installed::Installed;
use super::report::{Area, Check, Level};
use crate::cluster;
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

/// Tries to vote in the name of nobody; where there is no Approval that can be tried on, to make one with a vote. Only where the release judges:
/// what is let in elsewhere says nothing of it.
pub(super) async fn look(client: &Client, installed: &Installed, current: &str) -> Check {
    let (policy, places) = (installed.policy("approvals"), places(installed, current));
    let mut tries: Vec<(String, Proof)> = Vec::new();
    let mut goes_on = |what: String, outcome| {
        let proof = proof(outcome, &policy);
        let goes_on = matches!(proof, Proof::NotTried(_));
        tries.push((what, proof));
        goes_on
    };
    let mut on = true;
    match find(client, installed, &places).await {
        Ok(Some(approval)) => {
            let namespace = approval.namespace().unwrap_or_default();
            let outcome = vote(client, &namespace, &approval.name_any()).await;
            on = goes_on(format!("on Approval {namespace}/{}", approval.name_any()), outcome);
        }
        Ok(None) => {}
        // What cannot be listed cannot be made either.
        Err(error) => {
            goes_on("on an Approval that is there".to_owned(), Err(error));
            on = false;
        }
    }
    for namespace in &places {
        if on {
            on = goes_on(format!("on an Approval that would be made in namespace {namespace}"), make(client, namespace).await);
        }
    }
    let (level, message) = said(tries);
    Check::new(level, Area::Admission, "a forged vote is refused", message)
}

/// The namespaces to try it in, the current one first. Of a release that could not be read only its own is known to be judged.
fn places(installed: &Installed, current: &str) -> Vec<String> {
    let own = installed.namespace.as_str();
    if installed.is_guessed {
        return vec![own.to_owned()];
    }
    let mut places: Vec<String> = Vec::new();
    for place in std::iter::once(current).chain(installed.watches.iter().map(String::as_str)).chain([own]) {
        if installed.judges(place) && !places.iter().any(|known| known == place) {
            places.push(place.to_owned());
        }
    }
    places
}

/// One to try on: an open one before one that has ended, of the first places before others.
async fn find(client: &Client, installed: &Installed, places: &[String]) -> Result<Option<Approval>, kube::Error> {
    let everywhere: Api<Approval> = Api::all(client.clone());
    let found = match everywhere.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == FORBIDDEN => {
            let mut found = Vec::new();
            for place in places {
                match Api::<Approval>::namespaced(client.clone(), place).list(&ListParams::default()).await {
                    Ok(here) => found.extend(here.items),
                    Err(kube::Error::Api(status)) if status.code == FORBIDDEN => {}
                    Err(error) => return Err(error),
                }
            }
            found
        }
        Err(error) => return Err(error),
    };
    Ok(choose(found, installed, places, jiff::Timestamp::now()))
}

fn choose(found: Vec<Approval>, installed: &Installed, places: &[String], now: jiff::Timestamp) -> Option<Approval> {
    let place = |approval: &Approval| approval.namespace().unwrap_or_default();
    let rank = |approval: &Approval| places.iter().position(|known| *known == place(approval)).unwrap_or(places.len());
    found
        .into_iter()
        .filter(|approval| if installed.is_guessed { rank(approval) < places.len() } else { installed.judges(&place(approval)) })
        .min_by_key(|approval| (!super::super::approvals::is_open(approval, now), rank(approval)))
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
            Proof::NotTried(one_line(&format!("{} ({})", status.message, status.code)))
        }
        Err(kube::Error::Api(status)) if status.code == MISSING => {
            Proof::NotTried(one_line(&format!("{} ({})", status.message, status.code)))
        }
        Err(kube::Error::Api(status)) => Proof::Otherwise(one_line(&status.message)),
        Err(error) => Proof::NotTried(one_line(&cluster::said(&error))),
    }
}

/// What all tries say: the last one, if it was one.
fn said(mut tries: Vec<(String, Proof)>) -> (Level, String) {
    let places: Vec<&str> = tries.iter().map(|(what, _)| what.as_str()).collect();
    let all = places.join(", nor ");
    match tries.pop() {
        Some((what, Proof::Refused)) => (Level::Ok, format!("tried as a dry run {what}")),
        Some((what, Proof::LetIn)) => (Level::Fail, format!("it was let in, as a dry run {what}: anybody could vote as anybody")),
        Some((what, Proof::Otherwise(why))) => (Level::Fail, format!("it was refused {what}, but not by our policy: {why}")),
        Some((_, Proof::NotTried(why))) => (Level::Warn, format!("could not be tried {all}: {why}")),
        None => (Level::Warn, "could not be tried: the release judges no namespace".to_owned()),
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
            assert_eq!(said(vec![("on a".to_owned(), proof(outcome, "reeve-approvals"))]).0, level, "{words}");
        }
    }

    fn release(watches: &[&str]) -> Installed {
        let watches = watches.iter().map(|watched| (*watched).to_owned()).collect();
        Installed { watches, is_guessed: false, ..Installed::of_release("reeve-system", None) }
    }

    fn approval(namespace: &str, name: &str, expires_at: &str) -> Approval {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "subject": { "kind": "AgentRun", "name": "r", "uid": "u", "action": "merge", "key": "u/1/0" },
                "digest": format!("sha256:{:064}", 0), "delta": "", "requestedBy": "alice", "quorum": 1, "expiresAt": expires_at
            }
        }))
        .unwrap()
    }

    #[test]
    fn it_is_tried_only_where_the_release_judges() {
        assert_eq!(places(&release(&["team-a", "team-b"]), "default"), ["team-a", "team-b", "reeve-system"]);
        assert_eq!(places(&release(&["team-a", "team-b"]), "team-b"), ["team-b", "team-a", "reeve-system"]);
        assert_eq!(places(&release(&["team-a"]), "reeve-system"), ["reeve-system", "team-a"]);
        assert_eq!(places(&release(&[]), "default"), ["default", "reeve-system"]);
        assert_eq!(places(&Installed::of_release("reeve-system", None), "default"), ["reeve-system"], "where it works is not known");
    }

    #[test]
    fn an_approval_that_the_release_does_not_judge_is_not_tried_on() {
        let now = "2029-12-31T23:00:00Z".parse().unwrap();
        let (open, ended) = ("2030-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
        let found = vec![approval("default", "a", open), approval("team-b", "b", ended), approval("team-a", "c", open)];
        let chosen = |found: &[Approval], release: &Installed| {
            choose(found.to_vec(), release, &places(release, "default"), now).map(|approval| approval.name_any())
        };
        assert_eq!(chosen(&found, &release(&["team-b"])).as_deref(), Some("b"));
        assert_eq!(chosen(&found, &release(&["team-b", "team-a"])).as_deref(), Some("c"), "an open one first");
        assert_eq!(chosen(&found, &release(&[])).as_deref(), Some("a"));
        assert_eq!(chosen(&found, &release(&["team-c"])), None);
        assert_eq!(chosen(&found, &Installed::of_release("reeve-system", None)), None);
    }

    #[test]
    fn where_it_was_tried_is_named_and_where_it_could_not_be() {
        let tried = |place: &str, proof| (format!("in {place}"), proof);
        let not = || Proof::NotTried("bob cannot".to_owned());
        assert_eq!(said(vec![tried("a", not()), tried("b", Proof::Refused)]), (Level::Ok, "tried as a dry run in b".to_owned()));
        assert_eq!(
            said(vec![tried("a", not()), tried("b", not())]),
            (Level::Warn, "could not be tried in a, nor in b: bob cannot".to_owned())
        );
    }

    #[test]
    fn what_would_be_made_is_an_approval() {
        let fields = json!({ "verdict": "Approve" });
        assert!(serde_json::from_value::<reeve_api::Vote>(fields).is_ok());
    }
}
