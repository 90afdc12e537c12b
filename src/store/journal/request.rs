//! An append, checked as far as can be without its database.

use reeve_core::Digest;
use reeve_core::journal::{ChainError, Epoch, Head, Row, RowDraft, Seq, Stream, is_canonical};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;

use super::ledger::Posting;
use crate::StoreError;

/// Kind of the row by which a run's rows go.
const ARCHIVED: &str = "run.archived";

/// Rows that belong together.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) epoch: Epoch,
    pub(super) stream: Stream,
    pub(super) after: Option<Seq>,
    pub(super) drafts: Vec<RowDraft>,
    /// What the drafts do to budgets, each with the place of its draft, from 0.
    pub(super) postings: Vec<(u64, Posting)>,
    /// Runs that the drafts archive, each with the place of its draft: their rows go in the same transaction.
    pub(super) archives: Vec<(u64, Stream, Head)>,
}

impl Request {
    /// Nothing gets in that [`reeve_core::journal::Verifier`] would refuse: it could never be taken out again.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Malformed`].
    pub(super) fn checked(epoch: Epoch, stream: &Stream, after: Option<Seq>, drafts: Vec<RowDraft>) -> Result<Request, StoreError> {
        check_place(epoch, stream)?;
        let mut postings = Vec::new();
        if drafts.iter().any(|draft| draft.kind == ARCHIVED) {
            return Err(StoreError::Malformed { why: format!("a {ARCHIVED} event is written by Journal::archive alone") });
        }
        for (draft, offset) in drafts.iter().zip(0..) {
            check_draft(epoch, stream, draft)?;
            postings.extend(posting(draft)?.map(|posting| (offset, posting)));
        }
        Ok(Request { epoch, stream: stream.clone(), after, drafts, postings, archives: Vec::new() })
    }

    /// Rows of the operator's stream that archive these runs.
    ///
    /// # Errors
    /// As [`Request::checked`].
    pub(super) fn archiving(epoch: Epoch, after: Option<Seq>, runs: Vec<(RowDraft, Stream, Head)>) -> Result<Request, StoreError> {
        let stream = Stream::operator();
        let (mut drafts, mut archives) = (Vec::with_capacity(runs.len()), Vec::with_capacity(runs.len()));
        check_place(epoch, &stream)?;
        for ((draft, run, head), offset) in runs.into_iter().zip(0..) {
            check_draft(epoch, &stream, &draft)?;
            archives.push((offset, run, head));
            drafts.push(draft);
        }
        Ok(Request { epoch, stream, after, drafts, postings: Vec::new(), archives })
    }

    /// Whether it moves nothing but rows: no budget, no archive.
    pub(super) fn is_rows_alone(&self) -> bool {
        self.postings.is_empty() && self.archives.is_empty()
    }

    /// What its bodies come to.
    pub(super) fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.body.len()).sum()
    }
}

fn check_place(epoch: Epoch, stream: &Stream) -> Result<(), StoreError> {
    if !is_name(stream.as_str()) {
        return Err(StoreError::Malformed { why: "a stream has a name, without a NUL".to_owned() });
    }
    if i64::try_from(epoch.0).is_err() {
        return Err(StoreError::Malformed { why: format!("epoch {} is past what the database can count to", epoch.0) });
    }
    Ok(())
}

fn check_draft(epoch: Epoch, stream: &Stream, draft: &RowDraft) -> Result<(), StoreError> {
    let RowDraft { time, kind, actor, body } = draft;
    if body.len() > MAX_EVENT_BODY_BYTES {
        let (bytes, limit) = (body.len() as u64, MAX_EVENT_BODY_BYTES as u64);
        return Err(StoreError::TooLarge { what: format!("the body of a {kind} event"), bytes, limit });
    }
    if !is_name(time) || !is_name(actor) {
        return Err(StoreError::Malformed { why: format!("a {kind} event has no time or no actor, or a NUL in one") });
    }
    let row = Row {
        gseq: 0,
        stream: stream.clone(),
        seq: Seq(0),
        time: String::new(),
        epoch,
        kind: kind.clone(),
        actor: String::new(),
        body: body.clone(),
        prev: Digest::ZERO,
        hash: Digest::ZERO,
    };
    let malformed = |error: ChainError| StoreError::Malformed { why: error.to_string() };
    if row.kept().map_err(malformed)?.is_none() {
        row.event().map_err(malformed)?;
    }
    if !is_canonical(&row.body) {
        return Err(StoreError::Malformed { why: format!("the body of a {kind} event is not in the canonical form of RFC 8785") });
    }
    Ok(())
}

/// What a draft does to a budget, if anything.
fn posting(draft: &RowDraft) -> Result<Option<Posting>, StoreError> {
    let posting = Posting::read(&draft.kind, &draft.body).map_err(|error| StoreError::Malformed { why: error.to_string() })?;
    if let Some(posting) = &posting
        && !(is_name(posting.account()) && posting.key().is_none_or(is_name))
    {
        return Err(StoreError::Malformed { why: format!("a {} event has no name for its account or reservation", draft.kind) });
    }
    Ok(posting)
}

/// What SQLite's functions make of a text with a NUL in it cannot be relied on (<https://www.sqlite.org/nulinstr.html>), and PostgreSQL
/// keeps none.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0')
}
