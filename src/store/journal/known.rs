//! What a writer knows from its last transaction, so that the next one need not read it first.
//!
//! It is never the last word. It is used where the database takes the rows only if they come right after the known last row, whose hash stands
//! for all that came before it. Whatever would be refused by it is forgotten, read and judged anew.

use std::collections::BTreeMap;

use reeve_core::journal::{Seq, Stream};

use super::judge::{Needs, Seen, Tail, Verdict};

/// Streams whose heads are kept: more runs than are ever at work at once.
const MAX_HEADS: usize = 4_096;

/// The last row, and heads of streams, as of the last commit on this connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    tail: Option<Tail>,
    heads: BTreeMap<Stream, Seq>,
}

impl Known {
    /// What the group needs, if all of it is known; what stands in budgets never is.
    pub(super) fn of(&self, needs: &Needs<'_>) -> Option<Seen> {
        let tail = self.tail?;
        let head = |stream: &&str| {
            let stream = Stream::run(stream);
            self.heads.get(&stream).map(|seq| (stream, *seq))
        };
        let heads = needs.streams.iter().map(head).collect::<Option<BTreeMap<Stream, Seq>>>()?;
        Some(Seen { tail, heads, accounts: BTreeMap::new(), reservations: Vec::new() })
    }

    /// Takes in what was committed.
    pub(super) fn committed(&mut self, verdict: &Verdict) {
        if self.heads.len() >= MAX_HEADS {
            self.heads.clear();
        }
        for row in verdict.rows() {
            self.tail = Some(Tail::of(row));
            self.heads.insert(row.stream.clone(), row.seq);
        }
    }

    /// Forgets it. Whether there was anything.
    pub(super) fn forget(&mut self) -> bool {
        std::mem::take(self).tail.is_some()
    }
}
