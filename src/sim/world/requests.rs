//! What the operator asked its API server for, and what became of that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request};

use super::faults::{ApiFault, Asked};
use super::objects::{self, KINDS};

/// A request that something happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// When, in milliseconds since the world began.
    pub at_ms: u64,
    /// What it asked for.
    pub asked: Asked,
    /// What happened.
    pub fault: ApiFault,
}

/// What was asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// By verb and kind, how often.
    pub(crate) asked: BTreeMap<(&'static str, String), u64>,
    /// In order.
    pub(crate) struck: Vec<Struck>,
    /// Writes, each with its time and place, and whether something happened to it.
    pub(crate) writes: Vec<Write>,
}

/// A request that changes something.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) at_ms: u64,
    pub(crate) place: String,
    pub(crate) struck: bool,
}

/// How long a fault may put a write off: the longest pause between two tries, and its own way.
pub(crate) const PUT_OFF_MS: u64 = 65_000;

impl Struck {
    /// Whether a write there may come of this: the step around it, tried again from its start; or a status that says so, of one of the kind that
    /// was listed, or of one that needs what was to be read or written.
    fn may_show_in(&self, place: &str) -> bool {
        let object = place.trim_end_matches("/status");
        if self.asked.place.trim_end_matches("/status") == object {
            return true;
        }
        let kind = object.split('/').next().unwrap_or_default();
        place.ends_with("/status")
            && match self.asked.verb {
                "list" | "watch" => kind == self.asked.kind,
                "get" => matches!(kind, "run" | "goal" | "provider" | "profile"),
                _ => matches!(kind, "run" | "goal"),
            }
    }
}

impl Requests {
    /// Writes since this one that no fault accounts for. A write that was refused is none. After a fault the status of what it was about is
    /// written twice at most, or that of whoever could not read something: to say so, and to say that it is over.
    pub(crate) fn unaccounted(&self, since: u64) -> u64 {
        let after = usize::try_from(since).unwrap_or(usize::MAX).min(self.writes.len());
        let mut counts: BTreeMap<&str, (u64, BTreeSet<usize>)> = BTreeMap::new();
        for write in self.writes[after..].iter().filter(|write| !write.struck) {
            let (times, by) = counts.entry(&write.place).or_default();
            *times += 1;
            let near = |struck: &Struck| struck.at_ms <= write.at_ms && write.at_ms <= struck.at_ms + PUT_OFF_MS;
            let accounts = self.struck.iter().enumerate().filter(|(_, struck)| near(struck) && struck.may_show_in(&write.place));
            by.extend(accounts.map(|(at, _)| at));
        }
        counts.into_values().map(|(times, by)| times.saturating_sub(2 * by.len() as u64)).sum()
    }

    /// The most requests of one kind about one thing that were refused within a minute.
    pub(crate) fn busiest(&self) -> Option<(u64, Asked)> {
        let mut minutes: BTreeMap<(u64, &Asked), u64> = BTreeMap::new();
        for Struck { at_ms, asked, .. } in &self.struck {
            *minutes.entry((at_ms / 60_000, asked)).or_default() += 1;
        }
        let most = minutes.into_iter().max_by_key(|(_, times)| *times)?;
        Some((most.1, most.0.1.clone()))
    }
}

/// A request in the words of a scenario.
pub(crate) fn asked(request: &Request<Bytes>) -> Asked {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let place = objects::place(path);
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_list = KINDS.iter().any(|(_, _, _, plural)| *plural == last);
    let verb = match *request.method() {
        Method::GET if query.contains("watch=") => "watch",
        Method::GET if is_list => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "replace",
        Method::PATCH if query.contains("dryRun") => "probe",
        Method::PATCH => "patch",
        _ => "delete",
    };
    let word = place.split('/').next().unwrap_or_default().to_owned();
    let made: serde_json::Value =
        if verb == "create" { serde_json::from_slice(request.body()).unwrap_or_default() } else { serde_json::Value::Null };
    let place = match (made["metadata"]["name"].as_str(), path.rsplit('/').collect::<Vec<_>>().as_slice()) {
        (Some(name), _) => format!("{word}/{name}"),
        (None, [_, namespace, "namespaces", ..]) if is_list => format!("{word} in {namespace}"),
        (None, _) => place,
    };
    let kind = if last == "status" { format!("{word}/status") } else { word };
    Asked { verb, kind, place }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_request_has_a_verb_and_a_kind_as_scenarios_name_them() {
        let team = "/apis/reeve.dev/v1alpha1/namespaces/team";
        for (method, path, verb, kind) in [
            ("GET", "/apis/reeve.dev/v1alpha1/agentruns?watch=true".to_owned(), "watch", "run"),
            ("GET", "/apis/reeve.dev/v1alpha1/agentruns?limit=500".to_owned(), "list", "run"),
            ("GET", format!("{team}/agentruns/r1"), "get", "run"),
            ("PATCH", format!("{team}/agentruns/r1/status?fieldManager=reeve"), "patch", "run/status"),
            ("PUT", format!("{team}/approvals/a/status"), "replace", "approval/status"),
            ("PATCH", format!("{team}/approvals/a?dryRun=All"), "probe", "approval"),
            ("POST", "/apis/batch/v1/namespaces/team/jobs".to_owned(), "create", "job"),
            ("DELETE", "/apis/batch/v1/namespaces/team/jobs/r1".to_owned(), "delete", "job"),
            ("GET", "/api/v1/namespaces/team/events?limit=1".to_owned(), "list", "event"),
        ] {
            let request = Request::builder().method(method).uri(&path).body(Bytes::new()).unwrap();
            let asked = asked(&request);
            assert_eq!((asked.verb, asked.kind.as_str()), (verb, kind), "{method} {path}");
        }
    }
}
