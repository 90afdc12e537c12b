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
            stream: lost.stream.as_str().into(),
            from: "saved".into(),
            anchored_seq: lost.seq.0,
            anchored: lost.hash,
            found: ends.map_or_else(|| "has no such stream".to_owned(), |row| format!("ends at {}", row.seq.0)).into(),
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
    assert!(matches!(found, Err(ChainError::Anchor { ref found, .. }) if &**found == "has no such stream"), "{found:?}");
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
    let unreadable: [fn(&mut Row); 2] = [|row| row.kind = "no.such.kind".to_owned(), |row| row.body = "{}".to_owned()];
    for change in unreadable {
        let found = altered(change);
        assert!(matches!(found, ChainError::Unreadable { gseq: 5, .. }), "{found:?}");
    }
    let other_forms: [fn(&mut Row); 2] = [|row| row.body = "no json".to_owned(), |row| row.body = r#"{"text": "row 5"}"#.to_owned()];
    for change in other_forms {
        let found = altered(change);
        assert!(matches!(found, ChainError::NotCanonical { gseq: 5, .. }), "{found:?}");
    }
}
