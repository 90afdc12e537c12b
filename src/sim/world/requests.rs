//! What the operator asked its API server for, and what became of that.

use std::collections::BTreeMap;

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
}

impl Requests {
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
    let word = place.split('/').next().unwrap_or_default();
    let kind = if last == "status" { format!("{word}/status") } else { word.to_owned() };
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
