//! Whether a run that was forked names a row that its parent has.

use serde::Serialize;

use super::{ChainError, Verifier};
use crate::Digest;
use crate::journal::{Event, Row, Seq, Stream};

/// What a fork's first row says of its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkLink {
    /// Position of the fork's first row in the database.
    pub gseq: u64,
    /// The fork.
    pub fork: Stream,
    /// Its parent.
    pub parent: Stream,
    /// The parent's row that it goes on from.
    pub seq: Seq,
    /// The hash that this row must have.
    pub hash: Digest,
}

/// What came of the links between forks and their parents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkLinks {
    /// Forks that name the row that is there.
    pub met: u64,
    /// Forks of a row that was written too long before to be remembered: it is still to be looked at, see [`ForkLink::meet`].
    pub far: Vec<ForkLink>,
    /// Forks of a run that is not in this journal: it lies in an archive, or what was read is a part of the journal.
    pub absent: Vec<ForkLink>,
}

impl ForkLink {
    /// Compares it with its row, or with none where the parent has no such row.
    ///
    /// # Errors
    /// [`ChainError::Fork`], or [`ChainError::Unreadable`].
    pub fn meet(&self, row: Option<&Row>) -> Result<(), ChainError> {
        let Some(row) = row else { return Err(self.unmet("has no such row".to_owned())) };
        let unreadable =
            |error: serde_json::Error| ChainError::Unreadable { gseq: row.gseq, kind: row.kind.clone(), why: error.to_string() };
        let found = row.computed_hash().map_err(unreadable)?;
        let same = (&row.stream, row.seq, found) == (&self.parent, self.seq, self.hash);
        if same { Ok(()) } else { Err(self.unmet(format!("has {found} there, in row {}", row.gseq))) }
    }

    fn unmet(&self, found: String) -> ChainError {
        let (fork, parent) = (self.fork.as_str().into(), self.parent.as_str().into());
        ChainError::Fork { gseq: self.gseq, fork, parent, seq: self.seq.0, named: Box::new(self.hash), found: found.into() }
    }
}

impl Verifier {
    /// A row that begins a fork must name a row that is there.
    pub(super) fn link_fork(&mut self, row: &Row, event: &Event) -> Result<(), ChainError> {
        let Event::RunStarted(started) = event else { return Ok(()) };
        let Some(from) = &started.forked_from else { return Ok(()) };
        let parent = Stream::run(&from.uid);
        let link = ForkLink { gseq: row.gseq, fork: row.stream.clone(), parent, seq: from.seq, hash: from.hash };
        match (self.find(&link.parent, link.seq), self.tips.get(&link.parent)) {
            (Some((_, hash)), _) if hash == link.hash => self.links.met += 1,
            (Some((gseq, hash)), _) => return Err(link.unmet(format!("has {hash} there, in row {gseq}"))),
            (None, Some(tip)) if tip.head.seq < link.seq => {
                return Err(link.unmet(format!("had only {} rows by then", tip.head.seq.0)));
            }
            (None, Some(_)) => self.links.far.push(link),
            (None, None) => self.links.absent.push(link),
        }
        Ok(())
    }
}
