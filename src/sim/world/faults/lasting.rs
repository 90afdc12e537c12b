//! Requests that the API server refuses for a while, or for good: rights that were taken away, a webhook that is down, a schema that is older.

use std::fmt;

/// Refuses every request of this verb about objects of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `get`, `list`, `watch`, `create`, `replace`, `patch`, `probe` (a patch that is only tried) or `delete`.
    pub verb: String,
    /// A kind in one word, with `/status` where it is its status.
    pub kind: String,
    /// What the server answers.
    pub code: u16,
    /// The how manieth such request is the first that is refused, from 1.
    pub from: u64,
    /// Counted from the first that is refused. None: for good.
    pub for_ms: Option<u64>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { verb, kind, code, from, for_ms } = self;
        write!(to, "refuse {verb} {kind} {code}")?;
        if *from > 1 {
            write!(to, " from {from}")?;
        }
        for_ms.map_or(Ok(()), |ms| write!(to, " for {ms}ms"))
    }
}

/// What a request asks for, in the words of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// As [`Refusal::verb`].
    pub verb: &'static str,
    /// As [`Refusal::kind`].
    pub kind: String,
    /// The kind and what is named of it: `run/r1/status`; a list names nothing.
    pub place: String,
}

/// A refusal while it stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) refusal: Refusal,
    met: u64,
    since_ms: Option<u64>,
}

impl From<Refusal> for Standing {
    fn from(refusal: Refusal) -> Standing {
        Standing { refusal, met: 0, since_ms: None }
    }
}

impl Standing {
    /// When all is granted again. None: never, or it has not begun.
    pub(crate) fn granted_ms(&self) -> Option<u64> {
        Some(self.since_ms?.saturating_add(self.refusal.for_ms?))
    }

    /// The code by which this request is refused now, if it is.
    pub(crate) fn refuses(&mut self, asked: &Asked, now_ms: u64) -> Option<u16> {
        if (self.refusal.verb.as_str(), &self.refusal.kind) != (asked.verb, &asked.kind) {
            return None;
        }
        self.met += 1;
        if self.met < self.refusal.from {
            return None;
        }
        let since = *self.since_ms.get_or_insert(now_ms);
        let over = self.refusal.for_ms.is_some_and(|ms| now_ms >= since.saturating_add(ms));
        (!over).then_some(self.refusal.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_begins_with_its_first_request_and_ends_by_itself() {
        let refusal = Refusal { verb: "create".to_owned(), kind: "job".to_owned(), code: 403, from: 2, for_ms: Some(1_000) };
        assert_eq!(refusal.to_string(), "refuse create job 403 from 2 for 1000ms");
        let mut standing = Standing::from(refusal);
        let asked = |verb| Asked { verb, kind: "job".to_owned(), place: "job".to_owned() };
        let mut answers = |verb, now| standing.refuses(&asked(verb), now);
        assert_eq!(answers("create", 5_000), None, "the first is granted");
        assert_eq!(answers("delete", 6_000), None, "another verb");
        assert_eq!(answers("create", 7_000), Some(403));
        assert_eq!(answers("create", 7_999), Some(403));
        assert_eq!(answers("create", 8_000), None);
    }
}
