//! Removing the artifacts that no row of the journal names.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use reeve_core::Digest;
use reeve_core::journal::{Event, Row};

use crate::journal::{ArchiveRows, digest_of};
use crate::{Artifacts, Journal, OldArtifact, StoreError, VerifyError};

/// Rows that are held at once.
const PAGE_ROWS: u32 = 256;

/// What a collection found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Artifacts older than was asked for, to which no name points.
    pub old: u64,
    /// Of those, the ones that no row names, by digest: removed, or with a dry run to be removed.
    pub unnamed: Vec<OldArtifact>,
    /// Of those, the ones that were put again meanwhile, and stayed.
    pub renewed: u64,
}

/// A collection that looks through the rows.
///
/// First it is listed what is old, then every row is read, and then what none of them names is removed if it is still old. A row that is
/// written meanwhile names what was put, and so made young, within the age of `before`. What a row says in any words counts as named.
#[derive(Debug)]
pub struct Collection {
    before: SystemTime,
    old: u64,
    left: BTreeMap<Digest, OldArtifact>,
    /// Files with rows that were archived and have not been read, by digest.
    unread: BTreeMap<Digest, String>,
}

impl Collection {
    /// Lists the artifacts that were put, or named anew, before that time, and to which no name points.
    ///
    /// # Errors
    /// As [`Artifacts::old`].
    pub async fn of(artifacts: &Artifacts, before: SystemTime) -> Result<Collection, StoreError> {
        let left: BTreeMap<Digest, OldArtifact> = artifacts.old(before).await?.into_iter().map(|old| (old.digest, old)).collect();
        Ok(Collection { before, old: left.len() as u64, left, unread: BTreeMap::new() })
    }

    /// Reads every row of the journal.
    ///
    /// # Errors
    /// Whatever keeps a row, or a body that it names, from being read: then nothing is known to be unnamed.
    pub async fn look_through(&mut self, journal: &Journal, artifacts: &Artifacts) -> Result<(), StoreError> {
        let mut from = 1;
        loop {
            let rows = journal.scan(from, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            from = last.gseq.saturating_add(1);
            for row in rows {
                self.row(artifacts, row).await?;
            }
        }
    }

    /// Reads one row: what it names, and what its body names if that is kept, stays.
    ///
    /// # Errors
    /// As [`Artifacts::with_body`].
    pub async fn row(&mut self, artifacts: &Artifacts, row: Row) -> Result<(), StoreError> {
        self.keep_named_in(&row.body);
        if row.kind == "run.archived" {
            let bad = |error: reeve_core::journal::ChainError| StoreError::BadRow {
                gseq: i64::try_from(row.gseq).unwrap_or(i64::MAX),
                why: error.to_string(),
            };
            if let Event::RunArchived(archived) = row.event().map_err(bad)? {
                self.unread.insert(archived.digest, archived.file.clone());
            }
        }
        let whole = artifacts.with_body(row).await?;
        self.keep_named_in(&whole.body);
        Ok(())
    }

    /// Reads the rows of runs that were archived into this file, after the journal's.
    ///
    /// # Errors
    /// [`VerifyError::Archive`] where the journal names no such file; whatever keeps a row from being read.
    pub async fn look_through_archive(&mut self, file: &Path, artifacts: &Artifacts) -> Result<(), VerifyError> {
        let (digest, _) = digest_of(file).await?;
        if self.unread.remove(&digest).is_none() {
            let why = format!("the journal names no archive {digest}: it was changed, or is of another journal");
            return Err(VerifyError::Archive { path: file.to_owned(), why });
        }
        let mut rows = ArchiveRows::open(file).await?;
        while let Some(row) = rows.next().await? {
            self.row(artifacts, row).await?;
        }
        Ok(())
    }

    /// Files that the journal names and that were not read: what their rows name is not known.
    pub fn unread_archives(&self) -> impl Iterator<Item = &str> {
        self.unread.values().map(String::as_str)
    }

    fn keep_named_in(&mut self, text: &str) {
        for digest in Digest::all_in(text) {
            self.left.remove(&digest);
        }
    }

    /// Removes what is left; with `dry_run` only says what that is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what was removed before is removed.
    pub async fn end(self, artifacts: &Artifacts, dry_run: bool) -> Result<Collected, StoreError> {
        let mut collected = Collected { old: self.old, ..Collected::default() };
        for unnamed in self.left.into_values() {
            if dry_run || artifacts.remove_old(&unnamed.digest, self.before).await? {
                collected.unnamed.push(unnamed);
            } else {
                collected.renewed += 1;
            }
        }
        Ok(collected)
    }
}
