//! What an answer of the API server may bring about that says no for good: each request that may end something is named here, with the end.
//! Whatever else goes wrong is wrong.

use std::collections::BTreeSet;

use reeve_sim::world::{ApiFault, Outcome, Struck};

/// An end that a refusal brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    /// Plural and name of the object; without a name where the request does not tell whose it is.
    object: (&'static str, Option<String>),
    /// What it shows.
    shows: &'static [&'static str],
    /// Whether its status must name the refusal.
    named: bool,
}

/// What this may end. None: nothing; it is asked for again.
fn end_of(struck: &Struck) -> Option<End> {
    let ApiFault::Refused(code) = struck.fault else { return None };
    let name = struck.asked.place.split('/').nth(1).map(str::to_owned);
    let (object, shows, named): (_, &'static [&'static str], _) = match (code, struck.asked.verb, struck.asked.kind.as_str()) {
        // The cluster takes no such Job.
        (403 | 422, "create", "job") => (("agentruns", name), &["Failed Ready=False SandboxUnavailable"], true),
        // The Job is gone, or its Pod.
        (404, "get", "job" | "pod") => {
            (("agentruns", None), &["Failed Ready=False SandboxLost", "Failed Ready=False SandboxUnavailable"], false)
        }
        // The provider or its answers were deleted while the run asked for them.
        (404, "get", "provider" | "configmap" | "secret") => (("agentruns", None), &["Failed Ready=False ModelFailed"], false),
        // Nothing proves votes any more: who was asked is asked anew, once something does.
        (404, "get", "vap" | "vapbinding") => (("approvals", None), &["Superseded Ready=False Superseded"], false),
        (403 | 404 | 422, "probe", "approval") => (("approvals", name), &["Superseded Ready=False Superseded"], false),
        _ => return None,
    };
    Some(End { object, shows, named })
}

/// Objects that ended by what happened in this world, in the way that it may end them.
pub(crate) fn ended(outcome: &Outcome) -> BTreeSet<String> {
    let mut ended = BTreeSet::new();
    for end in outcome.struck.iter().filter_map(end_of) {
        let (plural, name) = &end.object;
        let is_it =
            |key: &str| key.starts_with(&format!("{plural}/")) && name.as_deref().is_none_or(|name| key.rsplit('/').next() == Some(name));
        let shown = outcome.end.iter().filter(|(key, shown)| is_it(key) && end.shows.contains(&shown.as_str()));
        ended.extend(shown.map(|(key, _)| key.clone()).filter(|key| !end.named || outcome.named.contains(key)));
    }
    ended
}

/// What is wrong with a world beyond what its refusals may bring about. Where one has ended something, the text waits for another end in vain;
/// what must hold in any world holds all the same.
pub(crate) fn pardoned(name: &str, outcome: &Outcome) -> Vec<String> {
    let passed_over = if ended(outcome).is_empty() { None } else { Some(format!("{name}:")) };
    let is_text = |why: &&String| passed_over.as_ref().is_some_and(|line| why.starts_with(line));
    outcome.wrong.iter().filter(|why| !is_text(why)).cloned().collect()
}

/// Objects that end otherwise than in the world in which nothing goes wrong, and that no refusal may end so.
///
/// What hangs on an object that ended ends with it: a Goal on its run, an approval on its run; and where the text stopped, what it would have
/// made is missing, what it would have deleted is there, and what waits for it has not ended.
pub(crate) fn differs(outcome: &Outcome, whole: &Outcome) -> Vec<String> {
    let ended = ended(outcome);
    let keys: BTreeSet<&String> = outcome.end.keys().chain(whole.end.keys()).collect();
    let hangs = |key: &str, shown: Option<&String>| {
        let open =
            shown.is_none_or(|shown| !["Succeeded", "Failed", "Consumed", "Denied", "Expired"].iter().any(|end| shown.starts_with(end)));
        open || key.starts_with("goals/") || key.starts_with("approvals/")
    };
    keys.into_iter()
        .filter(|key| outcome.end.get(*key) != whole.end.get(*key) && !ended.contains(*key))
        .filter(|key| ended.is_empty() || (whole.end.contains_key(*key) && !hangs(key, outcome.end.get(*key))))
        .map(|key| format!("{key} shows {:?} instead of {:?}", outcome.end.get(key), whole.end.get(key)))
        .collect()
}
