//! What is kept beside a journal: its artifacts, and files with the rows of runs that were archived.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reeve_core::Digest;
use reeve_core::journal::{Row, Verified};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::check::MAX_LINE_BYTES;
use crate::{Artifacts, StoreError, VerifyError};

/// What is kept beside a journal and checked with it, as far as it is given.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Each body that a row names must be there.
    pub artifacts: Option<Artifacts>,
    /// Files that runs were archived into: their rows are checked where they stood. Each must be one that the journal names.
    pub archives: Vec<PathBuf>,
}

/// The files, read row by row in step with the journal.
#[derive(Debug)]
pub(super) struct Archives(Vec<Archive>);

#[derive(Debug)]
struct Archive {
    path: PathBuf,
    digest: Digest,
    rows: ArchiveRows,
    next: Option<Row>,
}

/// The rows of one file.
#[derive(Debug)]
pub(crate) struct ArchiveRows {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
}

/// Digest and size of a file.
pub(crate) async fn digest_of(path: &Path) -> Result<(Digest, u64), VerifyError> {
    let failed = |error: std::io::Error| unreadable(path, &error);
    let mut file = File::open(path).await.map_err(failed)?;
    let (mut hashing, mut bytes, mut piece) = (Sha256::new(), 0_u64, vec![0; 256 * 1024]);
    loop {
        let read = file.read(&mut piece).await.map_err(failed)?;
        if read == 0 {
            return Ok((Digest::finish(hashing), bytes));
        }
        hashing.update(&piece[..read]);
        bytes += read as u64;
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> VerifyError {
    if error.kind() == ErrorKind::NotFound {
        return VerifyError::Archive { path: path.to_owned(), why: "there is no such file".to_owned() };
    }
    StoreError::Unavailable { doing: "reading an archive", why: format!("{}: {error}", path.display()) }.into()
}

impl ArchiveRows {
    pub(crate) async fn open(path: &Path) -> Result<ArchiveRows, VerifyError> {
        let file = File::open(path).await.map_err(|error| unreadable(path, &error))?;
        Ok(ArchiveRows { path: path.to_owned(), reader: BufReader::new(file), line: 0 })
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Row>, VerifyError> {
        let mut text = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut text).await;
        if read.map_err(|error| unreadable(&self.path, &error))? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let no_row = |why: String| VerifyError::Archive { path: self.path.clone(), why: format!("line {} is no row: {why}", self.line) };
        if text.pop() != Some(b'\n') {
            return Err(no_row("it is cut, or too long".to_owned()));
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| no_row(error.to_string()))
    }
}

impl Archives {
    pub(super) async fn open(paths: &[PathBuf]) -> Result<Archives, VerifyError> {
        let mut archives = Vec::with_capacity(paths.len());
        for path in paths {
            let (digest, _) = digest_of(path).await?;
            let mut rows = ArchiveRows::open(path).await?;
            let next = rows.next().await?;
            archives.push(Archive { path: path.clone(), digest, rows, next });
        }
        Ok(Archives(archives))
    }

    /// A page of the journal, with the rows of the files where they stood.
    pub(super) async fn merged_page(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, VerifyError> {
        if self.0.is_empty() {
            return Ok(rows);
        }
        let mut merged = Vec::with_capacity(rows.len());
        for row in rows {
            merged.extend(self.merged(row).await?);
        }
        Ok(merged)
    }

    /// The rows of the files that stood before this row, then this row.
    pub(super) async fn merged(&mut self, row: Row) -> Result<Vec<Row>, VerifyError> {
        let mut merged = Vec::with_capacity(1);
        while let Some(archive) = self.first().filter(|archive| archive.next.as_ref().is_some_and(|next| next.gseq <= row.gseq)) {
            let Some(archived) = archive.step().await? else { break };
            if archived.gseq < row.gseq {
                merged.push(archived);
            } else if archived.hash != row.hash {
                let why = format!("its row {} is {}, but the journal has {} there", archived.gseq, archived.hash, row.hash);
                return Err(VerifyError::Archive { path: archive.path.clone(), why });
            }
        }
        merged.push(row);
        Ok(merged)
    }

    /// Nothing may be left behind the last row of the journal.
    pub(super) fn are_at_their_end(&mut self) -> Result<(), VerifyError> {
        let Some(archive) = self.first() else { return Ok(()) };
        let gseq = archive.next.as_ref().map_or(0, |row| row.gseq);
        let why = format!("it has row {gseq}, and the journal ends before: it is of another journal, or this one's tail was cut");
        Err(VerifyError::Archive { path: archive.path.clone(), why })
    }

    /// Whether each of the files is one that the journal names.
    pub(super) fn are_named(&self, verified: &Verified) -> Result<(), VerifyError> {
        for Archive { path, digest, .. } in &self.0 {
            if !verified.archived.iter().any(|run| run.digest == *digest) {
                let why = format!("the journal names no archive {digest}: it was changed, or is of another journal");
                return Err(VerifyError::Archive { path: path.clone(), why });
            }
        }
        Ok(())
    }

    fn first(&mut self) -> Option<&mut Archive> {
        let with_rows = self.0.iter_mut().filter(|archive| archive.next.is_some());
        with_rows.min_by_key(|archive| archive.next.as_ref().map_or(u64::MAX, |row| row.gseq))
    }
}

impl Archive {
    /// Hands out its next row, and reads the one after it.
    async fn step(&mut self) -> Result<Option<Row>, VerifyError> {
        let after = self.rows.next().await?;
        Ok(std::mem::replace(&mut self.next, after))
    }
}
