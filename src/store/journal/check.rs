//! Checking the chain, in the database and in what was exported from it.

use reeve_core::journal::{ChainError, Event, Head, Row, Stream, Verified, Verifier};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::archives::{Archives, Beside};
use super::ledger::{Ledger, Posting, Refusal};
use super::{Backing, Journal, on_each};
use crate::{Artifacts, BudgetError, StoreError, VerifyError};

/// Rows that are held at once: enough to hide the reading behind the hashing.
const PAGE_ROWS: u32 = 512;

/// The longest line of an export, bytes: a body is a JSON text inside a JSON string, whose quotes and backslashes double, and the other
/// columns are short.
pub(super) const MAX_LINE_BYTES: u64 = 2 * MAX_EVENT_BODY_BYTES as u64 + 16 * 1024;

const EXPORTING: &str = "writing the export";

impl Journal {
    /// Checks every row that was there when this was called, in memory that does not grow with the rows; then that the budgets are what the
    /// rows make of them, as [`Journal::check_budgets`] does.
    ///
    /// Each of `anchors` (heads saved outside the database) must be met: they are what finds a tail that was cut, or a chain that was
    /// written anew as a whole.
    ///
    /// # Errors
    /// The first bad row, as [`VerifyError::Chain`], or as [`StoreError::BadRow`] where its columns cannot even be read.
    /// [`VerifyError::Budget`] when all rows are well.
    pub async fn verify(&self, anchors: impl IntoIterator<Item = (Stream, Head)>) -> Result<Verified, VerifyError> {
        self.verify_against(Verifier::new(anchors)).await
    }

    /// As [`Journal::verify`], against all that a [`Verifier`] can be given to expect.
    ///
    /// # Errors
    /// As [`Journal::verify`].
    pub async fn verify_against(&self, verifier: Verifier) -> Result<Verified, VerifyError> {
        self.verify_with(verifier, &Beside::default()).await
    }

    /// As [`Journal::verify_against`], with what is kept beside the journal: see [`Beside`].
    ///
    /// # Errors
    /// As [`Journal::verify`]; [`VerifyError::Kept`], [`VerifyError::Archive`].
    pub async fn verify_with(&self, verifier: Verifier, beside: &Beside) -> Result<Verified, VerifyError> {
        let began = self.upto().await?;
        let verified = self.verify_all(verifier, beside).await;
        if verified.is_err() && self.archived_since(began).await? {
            let why = "runs were archived while it was read: verify again".to_owned();
            return Err(StoreError::Unavailable { doing: "verifying the journal", why }.into());
        }
        if verified.is_err()
            && let Backing::Sqlite(file) = &self.backing
            && file.moved_while_read()
        {
            let why = "a writer opened it while it was read: verify again".to_owned();
            return Err(StoreError::Unavailable { doing: "verifying the journal", why }.into());
        }
        verified
    }

    /// Whether a row after this one says that a run is archived: rows before it may have gone while they were read.
    async fn archived_since(&self, gseq: i64) -> Result<bool, StoreError> {
        let mut rows = self.page(gseq.saturating_add(1), i64::MAX, PAGE_ROWS).await?;
        while let Some(last) = rows.last() {
            if rows.iter().any(|row| row.kind == "run.archived") {
                return Ok(true);
            }
            rows = self.page_after(last.gseq, i64::MAX).await?;
        }
        Ok(false)
    }

    async fn verify_all(&self, verifier: Verifier, beside: &Beside) -> Result<Verified, VerifyError> {
        let verified = self.verify_rows(verifier, beside).await?;
        self.check_budgets().await?;
        Ok(verified)
    }

    async fn verify_rows(&self, mut verifier: Verifier, beside: &Beside) -> Result<Verified, VerifyError> {
        let artifacts = beside.artifacts.as_ref();
        let mut archives = Archives::open(&beside.archives).await?;
        let upto = self.upto().await?;
        let mut rows = self.page(i64::MIN, upto, PAGE_ROWS).await?;
        while let Some(last) = rows.last() {
            let from = last.gseq;
            let merged = archives.merged_page(rows).await?;
            let kept: Vec<Row> = merged.iter().filter(|row| artifacts.is_some() && names_a_body(row)).cloned().collect();
            let (checked, next) = tokio::join!(self.check(verifier, merged), self.page_after(from, upto));
            verifier = checked?;
            for row in kept {
                body_is_there(artifacts, row).await?;
            }
            rows = next?;
        }
        archives.are_at_their_end()?;
        let mut verified = verifier.finish()?;
        archives.are_named(&verified)?;
        for link in std::mem::take(&mut verified.links.far) {
            link.meet(self.read(&link.parent, link.seq, 1).await?.first())?;
            verified.links.met += 1;
        }
        Ok(verified)
    }

    /// Hashing is the greater part; it runs beside the reading, and on no thread that others wait for. In memory there is only this one.
    async fn check(&self, verifier: Verifier, rows: Vec<Row>) -> Result<Verifier, VerifyError> {
        if matches!(self.backing, Backing::Memory(_)) {
            return Ok(check_page(verifier, &rows)?);
        }
        let ended = |error: tokio::task::JoinError| StoreError::Unavailable { doing: "verifying the journal", why: error.to_string() };
        Ok(tokio::task::spawn_blocking(move || check_page(verifier, &rows)).await.map_err(ended)??)
    }

    /// Writes every row that was there when this was called, one JSON object a line; answers how many. [`verify_export`] reads it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when reading or writing fails, [`StoreError::BadRow`].
    pub async fn export(&self, out: &mut (impl AsyncWrite + Unpin)) -> Result<u64, StoreError> {
        let failed = |error: std::io::Error| StoreError::of_io(EXPORTING, &error);
        let upto = self.upto().await?;
        let mut written = 0;
        let mut rows = self.page(i64::MIN, upto, PAGE_ROWS).await?;
        while let Some(last) = rows.last() {
            let from = last.gseq;
            for row in &rows {
                let mut line = serde_json::to_vec(row).map_err(|error| StoreError::Malformed { why: error.to_string() })?;
                line.push(b'\n');
                out.write_all(&line).await.map_err(failed)?;
                written += 1;
            }
            rows = self.page_after(from, upto).await?;
        }
        out.flush().await.map_err(failed)?;
        Ok(written)
    }

    async fn page_after(&self, gseq: u64, upto: i64) -> Result<Vec<Row>, StoreError> {
        match i64::try_from(gseq).ok().and_then(|gseq| gseq.checked_add(1)) {
            Some(from) => self.page(from, upto, PAGE_ROWS).await,
            None => Ok(Vec::new()),
        }
    }

    /// The last row that a check looks at, so that a busy writer cannot keep it going for ever.
    async fn upto(&self) -> Result<i64, StoreError> {
        on_each!(self, database => database.upto())
    }
}

fn names_a_body(row: &Row) -> bool {
    matches!(row.kept(), Ok(Some(_)))
}

/// Where the artifacts are given, the body that a row names must be there, whole, and the event that the row's kind says.
async fn body_is_there(artifacts: Option<&Artifacts>, row: Row) -> Result<(), VerifyError> {
    let Some(artifacts) = artifacts.filter(|_| names_a_body(&row)) else { return Ok(()) };
    let (gseq, kind) = (row.gseq, row.kind.as_str().into());
    match artifacts.with_body(row).await {
        Ok(_) => Ok(()),
        Err(error @ (StoreError::Missing { .. } | StoreError::Corrupt { .. } | StoreError::BadRow { .. })) => {
            Err(VerifyError::Kept { gseq, kind, why: error.to_string() })
        }
        Err(error) => Err(error.into()),
    }
}

fn check_page(mut verifier: Verifier, rows: &[Row]) -> Result<Verifier, ChainError> {
    rows.iter().try_for_each(|row| verifier.row(row))?;
    Ok(verifier)
}

/// Checks an export without its database, line by line.
///
/// An export that was cut at the end of a line is whole by itself: only an anchor finds that.
///
/// An export has rows only, so there is no table of budgets to compare. That nothing was settled twice or without a reservation, and that
/// no reservation overdrew its budget, is checked; that no key was reserved again after it was settled is not, since it would take memory
/// for every key that ever was.
///
/// # Errors
/// [`VerifyError::Line`] names a line that is no row (cut, garbage, a field unknown or missing), [`VerifyError::Chain`] the first row that
/// does not fit, [`VerifyError::Budget`] the first that moves a budget as no writer would, [`VerifyError::Store`] a reader that fails.
pub async fn verify_export(
    reader: impl AsyncBufRead + Unpin,
    anchors: impl IntoIterator<Item = (Stream, Head)>,
) -> Result<Verified, VerifyError> {
    verify_export_against(reader, Verifier::new(anchors)).await
}

/// As [`verify_export`], against all that a [`Verifier`] can be given to expect.
///
/// # Errors
/// As [`verify_export`].
pub async fn verify_export_against(reader: impl AsyncBufRead + Unpin, verifier: Verifier) -> Result<Verified, VerifyError> {
    verify_export_with(reader, verifier, &Beside::default()).await
}

/// As [`verify_export_against`], with what is kept beside the journal: see [`Beside`].
///
/// # Errors
/// As [`verify_export`]; [`VerifyError::Kept`], [`VerifyError::Archive`].
pub async fn verify_export_with(
    mut reader: impl AsyncBufRead + Unpin,
    mut verifier: Verifier,
    beside: &Beside,
) -> Result<Verified, VerifyError> {
    let artifacts = beside.artifacts.as_ref();
    let mut ledger = Ledger::default();
    let mut archives = Archives::open(&beside.archives).await?;
    let mut wrong = None;
    let mut text = Vec::new();
    let mut line = 0;
    while let Some(row) = next_row(&mut reader, &mut text, &mut line).await? {
        for row in archives.merged(row).await? {
            verifier.row(&row)?;
            match adds_up(&mut ledger, &verifier, &row) {
                // Whether a row is missing before it, the rows after it say.
                Err(error) if verifier.is_waiting() => wrong = wrong.or(Some(error)),
                other => other?,
            }
            body_is_there(artifacts, row).await?;
        }
    }
    archives.are_at_their_end()?;
    let verified = verifier.finish()?;
    archives.are_named(&verified)?;
    wrong.map_or(Ok(verified), Err)
}

/// What the row does to the budgets.
fn adds_up(ledger: &mut Ledger, verifier: &Verifier, row: &Row) -> Result<(), VerifyError> {
    let refused = |refusal: Refusal| BudgetError::Row { gseq: row.gseq, why: refusal.to_string() };
    if row.kind == "run.archived" {
        if let Event::RunArchived(archived) = row.event()?
            && !verifier.has_rows_of(&archived.run)
        {
            ledger.spent(&archived.spent).map_err(refused)?;
        }
        return Ok(());
    }
    let unread =
        |error: serde_json::Error| StoreError::BadRow { gseq: i64::try_from(row.gseq).unwrap_or(i64::MAX), why: error.to_string() };
    if let Some(posting) = Posting::read(&row.kind, &row.body).map_err(unread)? {
        ledger.post(&posting).map_err(refused)?;
    }
    Ok(())
}

/// Reads a verified export once more, from its start, for the rows that forks name and that were written too long before them.
///
/// # Errors
/// As [`verify_export`]; [`VerifyError::Chain`] with [`ChainError::Fork`] for a fork of a row that is not there.
pub async fn verify_links(mut reader: impl AsyncBufRead + Unpin, mut verified: Verified) -> Result<Verified, VerifyError> {
    let mut far = std::mem::take(&mut verified.links.far);
    let (mut text, mut line) = (Vec::new(), 0);
    while let Some(row) = next_row(&mut reader, &mut text, &mut line).await?.filter(|_| !far.is_empty()) {
        for link in far.extract_if(.., |link| (&link.parent, link.seq) == (&row.stream, row.seq)) {
            link.meet(Some(&row))?;
            verified.links.met += 1;
        }
    }
    far.first().map_or(Ok(()), |link| link.meet(None))?;
    Ok(verified)
}

/// The row of the next line, if there is one. `line` counts from 1.
async fn next_row(reader: &mut (impl AsyncBufRead + Unpin), text: &mut Vec<u8>, line: &mut u64) -> Result<Option<Row>, VerifyError> {
    *line += 1;
    text.clear();
    let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', text).await;
    let bytes = read.map_err(|error| StoreError::of_io("reading the export", &error))?;
    if bytes == 0 {
        return Ok(None);
    }
    let no_row = |why: String| VerifyError::Line { line: *line, why };
    if text.pop() != Some(b'\n') {
        let too_long = bytes as u64 == MAX_LINE_BYTES;
        return Err(no_row(if too_long { format!("it is longer than {MAX_LINE_BYTES} bytes") } else { "it is cut".to_owned() }));
    }
    serde_json::from_slice(text).map(Some).map_err(|error| no_row(error.to_string()))
}
