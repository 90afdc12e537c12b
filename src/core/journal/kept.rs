//! Bodies that are too large for a row: the row names them, the content store has them.
//!
//! Architecture invariant: a body has one form. Up to [`MAX_EVENT_BODY_BYTES`] it stands in its row; a larger one of the kinds that may be
//! large stands in the content store, and the row says its digest and size. So the same event always gives the same row, and what is chained
//! and signed covers the body either way. (`a_body_has_one_form`)

use serde::{Deserialize, Serialize};

use super::chain::{Row, RowDraft};
use super::verify::ChainError;
use super::{Phase, is_canonical};
use crate::Digest;
use crate::limits::{MAX_EVENT_BODY_BYTES, MAX_KEPT_BODY_BYTES};

/// What every row begins with whose body is kept elsewhere. No event of the kinds that may be large has this field.
const START: &str = "{\"kept\":";

/// A body in the content store, as its row names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptBody {
    /// Its size, bytes.
    pub bytes: u64,
    /// Digest of its canonical JSON.
    pub digest: Digest,
}

/// The row's body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    kept: KeptBody,
}

/// The phase of the kinds whose bodies may be large: what a model says and what tools are given and give back. None of any other kind.
pub fn phase_of_kept(kind: &str) -> Option<Phase> {
    match kind {
        "model.response" | "thought.summary" => Some(Phase::Plan),
        "tool.requested" => Some(Phase::Act),
        "tool.result" => Some(Phase::Observe),
        _ => None,
    }
}

impl RowDraft {
    /// Takes the body out where it is too large for a row and may be kept elsewhere; answers it, for the content store. It must be durable
    /// there before this draft is appended.
    ///
    /// # Errors
    /// Never in practice: two fields always have a canonical form.
    pub fn take_large_body(&mut self) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let bytes = self.body.len();
        if bytes <= MAX_EVENT_BODY_BYTES || bytes > MAX_KEPT_BODY_BYTES || phase_of_kept(&self.kind).is_none() {
            return Ok(None);
        }
        let kept = KeptBody { bytes: bytes as u64, digest: Digest::of(&self.body) };
        let named = serde_json_canonicalizer::to_string(&Named { kept })?;
        Ok(Some(std::mem::replace(&mut self.body, named).into_bytes()))
    }
}

impl Row {
    /// The body that this row names instead of having it; None where it has it.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] where it names one as no writer does.
    pub fn kept(&self) -> Result<Option<KeptBody>, ChainError> {
        if phase_of_kept(&self.kind).is_none() || !self.body.starts_with(START) {
            return Ok(None);
        }
        let Named { kept } = serde_json::from_str(&self.body).map_err(|error| self.unreadable(error.to_string()))?;
        let (least, most) = (MAX_EVENT_BODY_BYTES as u64 + 1, MAX_KEPT_BODY_BYTES as u64);
        if !(least..=most).contains(&kept.bytes) {
            return Err(self.unreadable(format!("expected a kept body of {least} to {most} bytes, found {}", kept.bytes)));
        }
        Ok(Some(kept))
    }

    /// This row with the body that it names, which must be this one; a row that has its body stays as it is. Its event can be read then; its
    /// hash is of the row as it was stored.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] where these bytes are not what the row names, or no event of its kind.
    pub fn with_kept_body(mut self, body: Vec<u8>) -> Result<Row, ChainError> {
        let Some(kept) = self.kept()? else { return Ok(self) };
        let found = Digest::of(&body);
        if found != kept.digest || body.len() as u64 != kept.bytes {
            let why = format!("expected a body of {} bytes, {}, found {} bytes, {found}", kept.bytes, kept.digest, body.len());
            return Err(self.unreadable(why));
        }
        self.body = String::from_utf8(body).map_err(|error| self.unreadable(error.to_string()))?;
        if !is_canonical(&self.body) {
            return Err(self.unreadable("its kept body is not in the canonical form of RFC 8785".to_owned()));
        }
        // A body that names another would be one that no writer made.
        self.event()?;
        Ok(self)
    }

    fn unreadable(&self, why: String) -> ChainError {
        ChainError::Unreadable { gseq: self.gseq, kind: self.kind.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;

    use super::*;
    use crate::journal::{Actor, Epoch, Event, Seq, Stream};

    fn draft(text: &str) -> RowDraft {
        RowDraft::of(&Event::ThoughtSummary { text: text.to_owned() }, &Actor::Model, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn placed(draft: RowDraft) -> Row {
        draft.place(Stream::run("u"), 1, Seq(1), Epoch(1), Digest::ZERO).unwrap()
    }

    #[test]
    fn a_body_has_one_form() {
        let frame = draft("").body.len();
        let mut fits = draft(&"x".repeat(MAX_EVENT_BODY_BYTES - frame));
        assert_eq!(fits.take_large_body().unwrap(), None);
        let text = "x".repeat(MAX_EVENT_BODY_BYTES - frame + 1);
        let mut large = draft(&text);
        let body = large.take_large_body().unwrap().unwrap();
        assert_eq!(body.len(), MAX_EVENT_BODY_BYTES + 1);
        let row = placed(large);
        assert_eq!(row.kept().unwrap(), Some(KeptBody { bytes: body.len() as u64, digest: Digest::of(&body) }));
        assert!(is_canonical(&row.body));
        assert!(matches!(row.event(), Err(ChainError::Kept { .. })), "{:?}", row.event());
        assert_eq!(row.with_kept_body(body).unwrap().event().unwrap(), Event::ThoughtSummary { text });
        let mut too_large = draft(&"x".repeat(MAX_KEPT_BODY_BYTES));
        assert_eq!(too_large.take_large_body().unwrap(), None, "that one the store refuses");
    }

    #[test]
    fn another_body_is_not_taken_for_the_one_that_is_named() {
        let mut large = draft(&"x".repeat(MAX_EVENT_BODY_BYTES));
        let body = large.take_large_body().unwrap().unwrap();
        let row = placed(large);
        let mut other = body.clone();
        other[20] = b'y';
        for wrong in [other, body[1..].to_vec(), Vec::new()] {
            let refused = row.clone().with_kept_body(wrong).unwrap_err();
            assert!(refused.to_string().contains("expected a body of"), "{refused}");
        }
    }

    #[test]
    fn a_row_that_names_a_body_as_no_writer_does_is_refused() {
        let digest = Digest::of("x");
        for body in [
            format!("{{\"kept\":{{\"bytes\":5,\"digest\":\"{digest}\"}}}}"),
            format!("{{\"kept\":{{\"bytes\":{},\"digest\":\"{digest}\"}}}}", MAX_KEPT_BODY_BYTES + 1),
            format!("{{\"kept\":{{\"bytes\":300000,\"digest\":\"{digest}\"}},\"text\":\"\"}}"),
            "{\"kept\":{\"bytes\":300000}}".to_owned(),
        ] {
            let row = placed(RowDraft { body: body.clone(), ..draft("") });
            assert!(matches!(row.kept(), Err(ChainError::Unreadable { .. })), "{body}");
            assert!(row.event().is_err(), "{body}");
        }
    }
}
