//! What the doctor found: checks, each with a level.

use serde::Serialize;

use crate::cluster::said;
use crate::timeline::text::one_line;

/// How the message of a check starts that could not be made.
pub(super) const UNREAD: &str = "could not be looked at: ";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// A person should look at it, or it could not be looked at.
    Warn,
    /// A promise of Reeve does not hold.
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "OK",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        }
    }
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    /// Who may do what.
    Rights,
    /// Whether admission is in force.
    Admission,
    /// The operator, its journal, its kinds.
    Operator,
}

impl Area {
    const fn as_str(self) -> &'static str {
        match self {
            Area::Rights => "rights",
            Area::Admission => "admission",
            Area::Operator => "operator",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    pub(super) level: Level,
    pub(super) area: Area,
    /// What was looked at, always in the same words.
    pub(super) check: String,
    /// What was found.
    pub(super) message: String,
    /// Who holds a right, by where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) holders: Vec<Held>,
    /// Kubernetes' own programs that hold it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) kubernetes: Vec<String>,
}

/// Who holds a right in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    /// `cluster-wide`, or a namespace.
    pub(super) scope: String,
    /// `Kind:name`.
    pub(super) subjects: Vec<String>,
}

impl Check {
    /// A check without holders.
    pub(super) fn new(level: Level, area: Area, check: impl Into<String>, message: impl Into<String>) -> Check {
        Check { level, area, check: check.into(), message: message.into(), holders: Vec::new(), kubernetes: Vec::new() }
    }

    /// One of an object that could not be looked at. The object's name is in `check` and not in the message, so that [`Report::fold`] finds those
    /// that were refused alike.
    pub(super) fn unread(area: Area, kind: &str, name: &str, error: &kube::Error) -> Check {
        let why = said(error).replace(&format!(" \"{name}\""), "");
        Check::new(Level::Warn, area, format!("{kind} {name}"), format!("{UNREAD}{why}"))
    }

    /// The check as lines: one for itself, one for each place where a right is held.
    fn lines(&self) -> Vec<String> {
        let head = format!("{:<5} {:<10} {}: {}", self.level.as_str(), self.area.as_str(), one_line(&self.check), one_line(&self.message));
        let held = self.holders.iter().map(|held| format!("{:17}{}: {}", "", one_line(&held.scope), one_line(&held.subjects.join(", "))));
        std::iter::once(head).chain(held).collect()
    }
}

/// All checks, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
}

impl Report {
    /// Makes one check of those that could not be looked at for one and the same reason.
    pub(super) fn fold(&mut self) {
        let mut folded: Vec<Check> = Vec::new();
        for check in self.checks.drain(..) {
            let alike = |before: &&mut Check| {
                check.message.starts_with(UNREAD)
                    && (before.level, before.area, &before.message) == (check.level, check.area, &check.message)
            };
            match folded.iter_mut().find(alike) {
                Some(before) => before.check = format!("{}, {}", before.check, check.check),
                None => folded.push(check),
            }
        }
        self.checks = folded;
    }

    /// How many are of this level.
    pub(super) fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|check| check.level == level).count()
    }

    /// For a person, with the sum at the end.
    pub(super) fn text(&self) -> String {
        let lines = self.checks.iter().flat_map(Check::lines).map(|line| line + "\n");
        let (ok, warn, fail) = (self.count(Level::Ok), self.count(Level::Warn), self.count(Level::Fail));
        lines.collect::<String>() + &format!("\n{ok} OK, {warn} WARN, {fail} FAIL")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn forbidden(name: &str) -> kube::Error {
        let message = format!("policies.x.io \"{name}\" is forbidden: User \"bob\" cannot get resource \"policies\"");
        let status = serde_json::json!({ "status": "Failure", "message": message, "reason": "Forbidden", "code": 403 });
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn what_is_refused_alike_is_one_line_in_the_words_of_the_server() {
        let refused = |area, name| Check::unread(area, "policy", name, &forbidden(name));
        let mut report =
            Report { checks: vec![refused(Area::Admission, "a"), refused(Area::Admission, "b"), refused(Area::Operator, "c")] };
        report.checks.push(Check::new(Level::Ok, Area::Admission, "d", "in force"));
        report.checks.push(Check::new(Level::Ok, Area::Admission, "e", "in force"));
        report.fold();
        assert_eq!(
            report.text(),
            "WARN  admission  policy a, policy b: could not be looked at: policies.x.io is forbidden: User \"bob\" cannot get resource \
             \"policies\" (403)\n\
             WARN  operator   policy c: could not be looked at: policies.x.io is forbidden: User \"bob\" cannot get resource \
             \"policies\" (403)\n\
             OK    admission  d: in force\nOK    admission  e: in force\n\n2 OK, 2 WARN, 0 FAIL"
        );
    }

    #[test]
    fn a_report_has_a_line_for_each_check_and_one_for_each_place() {
        let mut approve = Check::new(Level::Warn, Area::Rights, "approve", "a program holds it");
        approve.holders.push(Held { scope: "team".to_owned(), subjects: vec!["User:bob".to_owned(), "Group:k\x1b[2J".to_owned()] });
        let report = Report { checks: vec![approve, Check::new(Level::Ok, Area::Operator, "journal", "4 rows")] };
        assert_eq!(
            report.text(),
            "WARN  rights     approve: a program holds it\n                 team: User:bob, Group:k [2J\n\
             OK    operator   journal: 4 rows\n\n1 OK, 1 WARN, 0 FAIL"
        );
    }
}
