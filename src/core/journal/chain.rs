//! Rows and their chain.
//!
//! A row's hash is the SHA-256 of the RFC 8785 canonical form of its nine other fields, the hash of the row before it in the whole
//! database among them. Streams are interleaved in one chain, so a stream that is gone leaves a gap that everyone after it shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Epoch, Event, Seq, Stream};
use crate::Digest;

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

/// What is wrong with a chain, at the first bad row.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChainError {
    /// A field was changed: the hash does not fit the rest.
    #[error("row {gseq} ({stream} {seq}, {kind}) was changed: its hash is {stored}, its content hashes to {computed}")]
    Changed {
        /// Position in the database.
        gseq: u64,
        /// Stream.
        stream: Box<str>,
        /// Position in the stream.
        seq: u64,
        /// Kind.
        kind: Box<str>,
        /// Hash in the row.
        stored: Digest,
        /// Hash of its content.
        computed: Digest,
    },
    /// A row before this one was replaced together with its hash.
    #[error("row {gseq} does not follow the row before it: it names {named} as its predecessor, that one is {found}")]
    Broken {
        /// Position in the database.
        gseq: u64,
        /// `prev` of the row.
        named: Digest,
        /// Hash of the row before.
        found: Digest,
    },
    /// Rows are missing.
    #[error("row {expected} is missing: row {found} stands in its place")]
    Gap {
        /// Position expected.
        expected: u64,
        /// Position found.
        found: u64,
    },
    /// A stream does not count up by one.
    #[error("row {gseq}: stream {stream} goes from {before} to {found}")]
    StreamGap {
        /// Position in the database.
        gseq: u64,
        /// Stream.
        stream: String,
        /// Last position in the stream.
        before: u64,
        /// Position found.
        found: u64,
    },
    /// A row was written under an epoch lower than one before it.
    #[error("row {gseq} was written under epoch {found}, after epoch {before}")]
    EpochFell {
        /// Position in the database.
        gseq: u64,
        /// Highest epoch before.
        before: u64,
        /// Epoch of the row.
        found: u64,
    },
    /// The chain is whole but shorter than, or other than, what was anchored outside.
    #[error("stream {stream} is anchored at {anchored_seq} {anchored}, but the journal {found}")]
    Anchor {
        /// Stream.
        stream: String,
        /// Anchored position.
        anchored_seq: u64,
        /// Anchored hash.
        anchored: Digest,
        /// What the journal has there.
        found: String,
    },
    /// A body that is no event: not JSON, of an unknown kind, or not of its kind's form.
    #[error("row {gseq} of kind {kind} cannot be read: {why}")]
    Unreadable {
        /// Position in the database.
        gseq: u64,
        /// Kind.
        kind: String,
        /// Why.
        why: String,
    },
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
        let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash: _ } = self;
        Digest::of_canonical(&serde_json::json!({
            "gseq": gseq, "stream": stream, "seq": seq, "time": time, "epoch": epoch,
            "kind": kind, "actor": actor, "body": body, "prev": prev,
        }))
    }

    /// The event.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`].
    pub fn event(&self) -> Result<Event, ChainError> {
        let unreadable = |why: serde_json::Error| ChainError::Unreadable { gseq: self.gseq, kind: self.kind.clone(), why: why.to_string() };
        let body: Value = serde_json::from_str(&self.body).map_err(unreadable)?;
        serde_json::from_value(serde_json::json!({ "kind": self.kind, "body": body })).map_err(unreadable)
    }

    /// This row as the head of its stream.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// Checks a chain row by row, in memory that grows with the number of streams, not of rows.
#[derive(Debug)]
pub struct Verifier {
    rows: u64,
    prev: Digest,
    epoch: Epoch,
    heads: BTreeMap<Stream, Head>,
    /// Heads saved outside, still to be met.
    anchors: BTreeMap<Stream, Vec<Head>>,
}

/// A chain that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Rows checked.
    pub rows: u64,
    /// Hash of the last one.
    pub hash: Digest,
    /// Head of each stream.
    pub heads: BTreeMap<Stream, Head>,
}

impl Verifier {
    /// Starts before the first row. Each of `anchors` must be met.
    pub fn new(anchors: impl IntoIterator<Item = (Stream, Head)>) -> Verifier {
        let mut by_stream: BTreeMap<Stream, Vec<Head>> = BTreeMap::new();
        for (stream, head) in anchors {
            by_stream.entry(stream).or_default().push(head);
        }
        Verifier { rows: 0, prev: Digest::ZERO, epoch: Epoch(0), heads: BTreeMap::new(), anchors: by_stream }
    }

    /// Checks the next row.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn row(&mut self, row: &Row) -> Result<(), ChainError> {
        let expected = self.rows + 1;
        if row.gseq != expected {
            return Err(ChainError::Gap { expected, found: row.gseq });
        }
        let unreadable = |why: serde_json::Error| ChainError::Unreadable { gseq: row.gseq, kind: row.kind.clone(), why: why.to_string() };
        let computed = row.computed_hash().map_err(unreadable)?;
        if computed != row.hash {
            let Row { gseq, stream, seq, kind, hash, .. } = row;
            let (stream, kind) = (stream.as_str().into(), kind.as_str().into());
            return Err(ChainError::Changed { gseq: *gseq, stream, seq: seq.0, kind, stored: *hash, computed });
        }
        if row.prev != self.prev {
            return Err(ChainError::Broken { gseq: row.gseq, named: row.prev, found: self.prev });
        }
        if row.epoch < self.epoch {
            return Err(ChainError::EpochFell { gseq: row.gseq, before: self.epoch.0, found: row.epoch.0 });
        }
        let before = self.heads.get(&row.stream).map_or(0, |head| head.seq.0);
        if row.seq.0 != before + 1 {
            return Err(ChainError::StreamGap { gseq: row.gseq, stream: row.stream.as_str().to_owned(), before, found: row.seq.0 });
        }
        row.event()?;
        self.meet_anchor(row)?;
        self.rows = expected;
        self.prev = row.hash;
        self.epoch = row.epoch;
        self.heads.insert(row.stream.clone(), row.head());
        Ok(())
    }

    fn meet_anchor(&mut self, row: &Row) -> Result<(), ChainError> {
        let Some(anchors) = self.anchors.get_mut(&row.stream) else { return Ok(()) };
        if let Some(anchor) = anchors.iter().find(|anchor| anchor.seq == row.seq && anchor.hash != row.hash) {
            return Err(ChainError::Anchor {
                stream: row.stream.as_str().to_owned(),
                anchored_seq: anchor.seq.0,
                anchored: anchor.hash,
                found: format!("has {} there", row.hash),
            });
        }
        anchors.retain(|anchor| anchor.seq != row.seq);
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// [`ChainError::Anchor`] when an anchored row never came: the tail was cut or the stream deleted.
    pub fn finish(self) -> Result<Verified, ChainError> {
        if let Some((stream, anchor)) = self.anchors.iter().find_map(|(stream, left)| left.first().map(|anchor| (stream, anchor))) {
            let found = match self.heads.get(stream) {
                Some(head) => format!("ends at {}", head.seq.0),
                None => "has no such stream".to_owned(),
            };
            let stream = stream.as_str().to_owned();
            return Err(ChainError::Anchor { stream, anchored_seq: anchor.seq.0, anchored: anchor.hash, found });
        }
        Ok(Verified { rows: self.rows, hash: self.prev, heads: self.heads })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Six rows of three streams, epochs 1 1 2 2 2 3.
    fn chain() -> Vec<Row> {
        let places = [("operator", 1, 1), ("a", 1, 1), ("a", 2, 2), ("b", 1, 2), ("a", 3, 2), ("b", 2, 3)];
        let mut rows: Vec<Row> = places
            .into_iter()
            .zip(1..)
            .map(|((stream, seq, epoch), gseq)| Row {
                gseq,
                stream: Stream::run(stream),
                seq: Seq(seq),
                time: "2026-01-02T03:04:05.000006Z".to_owned(),
                epoch: Epoch(epoch),
                kind: "thought.summary".to_owned(),
                actor: "model".to_owned(),
                body: format!(r#"{{"text":"row {gseq}"}}"#),
                prev: Digest::ZERO,
                hash: Digest::ZERO,
            })
            .collect();
        rechain(&mut rows);
        rows
    }

    /// What someone does who can write the whole database: every link and hash made right again.
    fn rechain(rows: &mut [Row]) {
        let mut prev = Digest::ZERO;
        for row in rows {
            row.prev = prev;
            row.hash = row.computed_hash().unwrap();
            prev = row.hash;
        }
    }

    fn heads(rows: &[Row]) -> Vec<(Stream, Head)> {
        rows.iter().map(|row| (row.stream.clone(), row.head())).collect()
    }

    fn verify(rows: &[Row], anchors: &[(Stream, Head)]) -> Result<Verified, ChainError> {
        let mut verifier = Verifier::new(anchors.iter().cloned());
        for row in rows {
            verifier.row(row)?;
        }
        verifier.finish()
    }

    #[test]
    fn a_whole_chain_verifies_against_every_head_it_ever_had() {
        let rows = chain();
        let verified = verify(&rows, &heads(&rows)).unwrap();
        assert_eq!((verified.rows, verified.hash), (6, rows[5].hash));
        assert_eq!(verified.heads[&Stream::run("a")], rows[4].head());
        assert_eq!(verify(&[], &[]).unwrap().rows, 0);
    }

    #[test]
    fn an_edit_of_any_field_of_any_row_is_found_at_that_row() {
        let edits: [fn(&mut Row); 9] = [
            |row| row.stream = Stream::run("c"),
            |row| row.seq = row.seq.next(),
            |row| row.time = "2026-01-02T03:04:05.000007Z".to_owned(),
            |row| row.epoch = Epoch(9),
            |row| row.kind = "reflect".to_owned(),
            |row| row.actor = "operator".to_owned(),
            |row| row.body.push(' '),
            |row| row.prev = Digest::of(b"other"),
            |row| row.hash = Digest::of(b"other"),
        ];
        for index in 0..6 {
            for (number, edit) in edits.iter().enumerate() {
                let mut rows = chain();
                edit(&mut rows[index]);
                let found = verify(&rows, &[]);
                let at = rows[index].gseq;
                assert!(matches!(found, Err(ChainError::Changed { gseq, .. }) if gseq == at), "edit {number} of row {at}: {found:?}");
            }
            let mut rows = chain();
            rows[index].gseq += 10;
            let (expected, moved) = (index as u64 + 1, index as u64 + 11);
            assert_eq!(verify(&rows, &[]), Err(ChainError::Gap { expected, found: moved }));
        }
    }

    #[test]
    fn a_row_replaced_with_its_hash_is_found_at_the_next_row_or_by_an_anchor() {
        for index in 0..6 {
            let mut rows = chain();
            let anchors = heads(&rows);
            rows[index].body = r#"{"text":"other"}"#.to_owned();
            rows[index].hash = rows[index].computed_hash().unwrap();
            let found = verify(&rows, &[]);
            match rows.get(index + 1) {
                Some(next) => {
                    let expected = ChainError::Broken { gseq: next.gseq, named: next.prev, found: rows[index].hash };
                    assert_eq!(found, Err(expected));
                }
                None => assert_eq!(found.unwrap().rows, 6),
            }
            let anchored = verify(&rows, &anchors);
            assert!(matches!(anchored, Err(ChainError::Anchor { anchored_seq, .. }) if anchored_seq == rows[index].seq.0), "{anchored:?}");
        }
    }

    #[test]
    fn a_row_deleted_or_swapped_is_found() {
        for index in 0..5 {
            let (here, next) = (index as u64 + 1, index as u64 + 2);
            let mut rows = chain();
            rows.remove(index);
            assert_eq!(verify(&rows, &[]), Err(ChainError::Gap { expected: here, found: next }));
            let mut rows = chain();
            rows.swap(index, index + 1);
            assert_eq!(verify(&rows, &[]), Err(ChainError::Gap { expected: here, found: next }));
            // Numbered and hashed anew, but not linked anew.
            let mut rows = chain();
            let gone = rows.remove(index);
            rows[index].gseq = gone.gseq;
            rows[index].hash = rows[index].computed_hash().unwrap();
            assert_eq!(verify(&rows, &[]), Err(ChainError::Broken { gseq: gone.gseq, named: gone.hash, found: gone.prev }));
        }
    }

    #[test]
    fn a_tail_cut_off_is_found_by_an_anchor_only() {
        let whole = chain();
        for left in 0..6 {
            let rows = &whole[..left];
            assert_eq!(verify(rows, &[]).unwrap().rows, left as u64);
            let found = verify(rows, &heads(&whole[left..=left])).unwrap_err();
            let lost = &whole[left];
            let ends = rows.iter().rfind(|row| row.stream == lost.stream);
            let expected = ChainError::Anchor {
                stream: lost.stream.as_str().to_owned(),
                anchored_seq: lost.seq.0,
                anchored: lost.hash,
                found: ends.map_or_else(|| "has no such stream".to_owned(), |row| format!("ends at {}", row.seq.0)),
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_chain_written_anew_as_a_whole_is_found_by_an_anchor_only() {
        let rows = chain();
        let mut other = chain();
        other[0].body = r#"{"text":"other"}"#.to_owned();
        rechain(&mut other);
        assert_eq!(verify(&other, &[]).unwrap().rows, 6);
        for anchor in heads(&rows) {
            let found = verify(&other, std::slice::from_ref(&anchor));
            assert!(matches!(found, Err(ChainError::Anchor { anchored, .. }) if anchored == anchor.1.hash), "{found:?}");
        }
        // A run taken out as if it had never been.
        let mut other: Vec<Row> = chain().into_iter().filter(|row| row.stream != Stream::run("b")).collect();
        for (row, gseq) in other.iter_mut().zip(1..) {
            row.gseq = gseq;
        }
        rechain(&mut other);
        assert_eq!(verify(&other, &[]).unwrap().rows, 4);
        let found = verify(&other, &heads(&rows[3..4]));
        assert!(matches!(found, Err(ChainError::Anchor { ref found, .. }) if found == "has no such stream"), "{found:?}");
    }

    #[test]
    fn a_chain_written_anew_against_the_rules_is_found_without_an_anchor() {
        let altered = |change: fn(&mut Row)| {
            let mut rows = chain();
            change(&mut rows[4]);
            rechain(&mut rows);
            verify(&rows, &[]).unwrap_err()
        };
        let gap = |found| ChainError::StreamGap { gseq: 5, stream: "a".to_owned(), before: 2, found };
        assert_eq!(altered(|row| row.seq = Seq(4)), gap(4));
        assert_eq!(altered(|row| row.seq = Seq(2)), gap(2));
        assert_eq!(altered(|row| row.epoch = Epoch(1)), ChainError::EpochFell { gseq: 5, before: 2, found: 1 });
        let unreadable: [fn(&mut Row); 3] =
            [|row| row.kind = "no.such.kind".to_owned(), |row| row.body = "{}".to_owned(), |row| row.body = "no json".to_owned()];
        for change in unreadable {
            let found = altered(change);
            assert!(matches!(found, ChainError::Unreadable { gseq: 5, .. }), "{found:?}");
        }
    }
}
