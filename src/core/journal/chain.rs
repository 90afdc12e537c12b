//! Rows and their chain.
//!
//! A row's hash is the SHA-256 of the RFC 8785 canonical form of its nine other fields, the hash of the row before it in the whole
//! database among them. Streams are interleaved in one chain, so a stream that is gone leaves a gap that everyone after it shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kept::KeptBody;
use super::verify::ChainError;
use super::{Epoch, Event, Seq, Stream, is_canonical};
use crate::Digest;

/// The largest whole number that RFC 8785 prints digit by digit: 2^53.
const LARGEST_EXACT: u64 = 1 << 53;

/// One row as stored and exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Position in the database, from 1.
    pub gseq: u64,
    /// The stream.
    pub stream: Stream,
    /// Position in the stream, from 1.
    pub seq: Seq,
    /// Time, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// Fencing epoch of the writer.
    pub epoch: Epoch,
    /// Kind of the event.
    pub kind: String,
    /// Who made it happen.
    pub actor: String,
    /// Canonical JSON of the event's body, as text: what is hashed is what is stored.
    pub body: String,
    /// Hash of the row before.
    pub prev: Digest,
    /// Hash of this row.
    pub hash: Digest,
}

/// A row before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDraft {
    /// Time, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// Kind of the event.
    pub kind: String,
    /// Who made it happen.
    pub actor: String,
    /// Canonical JSON of the event's body.
    pub body: String,
}

/// The last row of a stream, as status shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its position in the stream.
    pub seq: Seq,
    /// Its hash.
    pub hash: Digest,
}

impl RowDraft {
    /// A draft of this event.
    ///
    /// # Errors
    /// When the event holds a number that has no canonical form.
    pub fn of(event: &Event, actor: &super::Actor, at: jiff::Timestamp) -> Result<RowDraft, serde_json::Error> {
        let body = match serde_json::to_value(event)? {
            Value::Object(mut fields) => fields.remove("body").unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
        };
        Ok(RowDraft {
            time: format!("{at:.6}"),
            kind: event.kind().to_owned(),
            actor: actor.to_string(),
            body: serde_json_canonicalizer::to_string(&body)?,
        })
    }

    /// The row at this place.
    ///
    /// # Errors
    /// When hashing fails, which canonical JSON of strings and integers never does.
    pub fn place(self, stream: Stream, gseq: u64, seq: Seq, epoch: Epoch, prev: Digest) -> Result<Row, serde_json::Error> {
        let RowDraft { time, kind, actor, body } = self;
        let mut row = Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash: Digest::ZERO };
        row.hash = row.computed_hash()?;
        Ok(row)
    }
}

impl Row {
    /// The hash that the other fields give.
    ///
    /// # Errors
    /// Never for rows of this type in practice: every field is a string or an integer.
    pub fn computed_hash(&self) -> Result<Digest, serde_json::Error> {
        if self.gseq.max(self.seq.0).max(self.epoch.0) > LARGEST_EXACT {
            return self.canonical_hash();
        }
        let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash: _ } = self;
        // In the order of RFC 8785, written as it goes: a check of a million rows spends most of its time here.
        let mut out = Vec::with_capacity(body.len() + body.len() / 8 + 384);
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut out, value)
        };
        text("{\"actor\":", actor)?;
        text(",\"body\":", body)?;
        text(&format!(",\"epoch\":{},\"gseq\":{gseq},\"kind\":", epoch.0), kind)?;
        text(",\"prev\":", &prev.to_string())?;
        text(&format!(",\"seq\":{},\"stream\":", seq.0), stream.as_str())?;
        text(",\"time\":", time)?;
        out.push(b'}');
        Ok(Digest::of(out))
    }

    /// The same by way of a general writer.
    fn canonical_hash(&self) -> Result<Digest, serde_json::Error> {
        let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash: _ } = self;
        Digest::of_canonical(&serde_json::json!({
            "gseq": gseq, "stream": stream, "seq": seq, "time": time, "epoch": epoch,
            "kind": kind, "actor": actor, "body": body, "prev": prev,
        }))
    }

    /// The event.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`]; [`ChainError::Kept`] where the body is in the content store: see [`Row::with_kept_body`].
    pub fn event(&self) -> Result<Event, ChainError> {
        if let Some(KeptBody { bytes, digest }) = self.kept()? {
            return Err(ChainError::Kept { gseq: self.gseq, kind: self.kind.as_str().into(), bytes, digest });
        }
        let unreadable = |why: serde_json::Error| ChainError::Unreadable { gseq: self.gseq, kind: self.kind.clone(), why: why.to_string() };
        if is_canonical(&self.body) {
            // One whole value, so it can stand inside another text; with its kind before it, it is read in one go.
            let kind = serde_json::to_string(&self.kind).map_err(unreadable)?;
            return serde_json::from_str(&format!("{{\"kind\":{kind},\"body\":{}}}", self.body)).map_err(unreadable);
        }
        let body: Value = serde_json::from_str(&self.body).map_err(unreadable)?;
        serde_json::from_value(serde_json::json!({ "kind": self.kind, "body": body })).map_err(unreadable)
    }

    /// This row as the head of its stream.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_hashes_as_its_canonical_form(texts in proptest::collection::vec(any::<String>(), 5), places in any::<[u64; 3]>(), small in any::<bool>()) {
            let place = |at: usize| if small { places[at] >> 12 } else { places[at] };
            let row = Row {
                gseq: place(0),
                stream: Stream::run(&texts[0]),
                seq: Seq(place(1)),
                time: texts[1].clone(),
                epoch: Epoch(place(2)),
                kind: texts[2].clone(),
                actor: texts[3].clone(),
                body: texts[4].clone(),
                prev: Digest::of(&texts[0]),
                hash: Digest::ZERO,
            };
            prop_assert_eq!(row.computed_hash().unwrap(), row.canonical_hash().unwrap());
        }
    }
}
