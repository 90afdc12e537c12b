#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::journal::{Actor, Epoch, Event, Row, RowDraft, RunFinished, Seq, Verified, Verifier};
use crate::run::EndReason;

type Change = fn(&mut RunArchived);

fn thought(text: &str) -> Event {
    Event::ThoughtSummary { text: text.to_owned() }
}

/// Rows of these streams and events, chained.
fn chained(events: &[(&str, Event)]) -> Vec<Row> {
    let mut seqs: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rows: Vec<Row> = Vec::new();
    for (stream, event) in events {
        let seq = seqs.entry(stream).or_default();
        *seq += 1;
        let prev = rows.last().map_or(Digest::ZERO, |row| row.hash);
        let draft = RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
        rows.push(draft.place(Stream::run(stream), rows.len() as u64 + 1, Seq(*seq), Epoch(1), prev).unwrap());
    }
    rows
}

/// `operator` 1; `a` in 2, 3 and 5; `b` in 4 and 6.
fn events() -> Vec<(&'static str, Event)> {
    let finished =
        RunFinished { succeeded: true, reason: EndReason::Finished, message: String::new(), tasks: Vec::new(), at: Timestamp::UNIX_EPOCH };
    vec![
        ("operator", thought("begins")),
        ("a", thought("one")),
        ("a", thought("two")),
        ("b", thought("between")),
        ("a", Event::RunFinished(finished)),
        ("b", thought("goes on")),
    ]
}

/// What is said of `a`.
fn said(rows: &[Row]) -> RunArchived {
    let mut places: Vec<Place> = Vec::new();
    for row in rows.iter().filter(|row| row.stream.as_str() == "a") {
        match places.last_mut() {
            Some(place) if place.upto + 1 == row.gseq => (place.upto, place.last) = (row.gseq, row.hash),
            Some(_) | None => places.push(Place { from: row.gseq, upto: row.gseq, before: row.prev, last: row.hash }),
        }
    }
    let head = rows.iter().rfind(|row| row.stream.as_str() == "a").unwrap().head();
    RunArchived {
        run: Stream::run("a"),
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        head,
        file: "a.jsonl".to_owned(),
        digest: Digest::of("file"),
        bytes: 4,
        places,
        spent: BTreeMap::new(),
    }
}

/// The rows with `run.archived` behind them, and that of `b`'s next row.
fn archived(change: impl FnOnce(&mut RunArchived)) -> Vec<Row> {
    let mut events = events();
    let mut said = said(&chained(&events));
    change(&mut said);
    events.push(("operator", Event::RunArchived(Box::new(said))));
    events.push(("b", thought("and on")));
    chained(&events)
}

fn without_a(rows: &[Row]) -> Vec<Row> {
    rows.iter().filter(|row| row.stream.as_str() != "a").cloned().collect()
}

fn verify(rows: &[Row], heads: Vec<(Stream, Head)>) -> Result<Verified, ChainError> {
    let mut verifier = Verifier::new(heads);
    rows.iter().try_for_each(|row| verifier.row(row))?;
    verifier.finish()
}

#[test]
fn rows_that_are_archived_may_be_missing_or_there() {
    let rows = archived(|_| {});
    let whole = verify(&rows, Vec::new()).unwrap();
    assert_eq!((whole.rows, whole.last, whole.archived[0].checked), (8, 8, true));
    let rest = verify(&without_a(&rows), Vec::new()).unwrap();
    assert_eq!((rest.rows, rest.last, rest.hash), (5, 8, whole.hash));
    assert_eq!(rest.archived, [ArchivedRun { checked: false, ..whole.archived[0].clone() }]);
    assert!(!rest.archived[0].signed);
}

#[test]
fn what_is_said_of_missing_rows_must_fit_those_on_both_sides() {
    let table: [(&str, Change); 9] = [
        ("a row too few", |said| said.places[0].from = 3),
        ("a row too many", |said| (said.places[0].upto, said.head.seq) = (4, Seq(4))),
        ("a row before", |said| (said.places[0].from, said.head.seq) = (1, Seq(4))),
        ("another head", |said| said.head.hash = Digest::of("no")),
        ("another end", |said| (said.places[1].last, said.head.hash) = (Digest::of("no"), Digest::of("no"))),
        ("another end of a part", |said| said.places[0].last = Digest::of("no")),
        ("another predecessor", |said| said.places[0].before = Digest::of("no")),
        ("no rows", |said| (said.places, said.head.seq) = (Vec::new(), Seq(0))),
        ("the operator", |said| said.run = Stream::operator()),
    ];
    for (what, change) in table {
        let rows = archived(change);
        let refused = verify(&without_a(&rows), Vec::new()).unwrap_err();
        // What nothing fits stays missing, and that is what is said.
        let missing = matches!(refused, ChainError::Gap { expected: 2 | 5, .. });
        assert!(missing, "{what}: {refused}");
    }
    // With the rows there, it is said what does not fit.
    let refused = verify(&archived(|said| said.head.hash = Digest::of("no")), Vec::new()).unwrap_err();
    assert!(matches!(refused, ChainError::Archived { gseq: 7, .. }), "{refused}");
}

/// Whoever writes rows anew on one side of a gap cannot write the hash in it anew.
#[test]
fn a_chain_written_anew_beside_a_gap_is_found() {
    let honest = archived(|_| {});
    for at in [1, 4] {
        let mut rows = without_a(&honest);
        let place = rows.iter().position(|row| row.gseq == at).unwrap();
        rows[place].body = rows[place].body.replace("be", "BE");
        rows[place].hash = rows[place].computed_hash().unwrap();
        let refused = verify(&rows, Vec::new()).unwrap_err();
        assert!(matches!(refused, ChainError::Gap { .. } | ChainError::Archived { .. }), "row {at}: {refused}");
    }
}

#[test]
fn rows_that_nobody_archived_stay_missing() {
    let rows = archived(|_| {});
    for gone in [4, 6] {
        let left: Vec<Row> = without_a(&rows).into_iter().filter(|row| row.gseq != gone).collect();
        let refused = verify(&left, Vec::new()).unwrap_err();
        assert_eq!(refused, ChainError::Gap { expected: gone, found: gone + 1 });
    }
    let unsaid: Vec<Row> = without_a(&rows).into_iter().filter(|row| row.gseq < 7).collect();
    assert_eq!(verify(&unsaid, Vec::new()).unwrap_err(), ChainError::Gap { expected: 2, found: 4 });
}

#[test]
fn a_run_is_archived_once_and_has_no_rows_afterwards() {
    let mut events = events();
    let said = said(&chained(&events));
    events.push(("operator", Event::RunArchived(Box::new(said.clone()))));
    let mut again = events.clone();
    again.push(("operator", Event::RunArchived(Box::new(said.clone()))));
    let mut later = events.clone();
    later.push(("a", thought("three")));
    let mut elsewhere = events.clone();
    elsewhere[6].0 = "b";
    for events in [again, later, elsewhere] {
        let rows = chained(&events);
        let has_later_rows = rows[7..].iter().any(|row| row.stream.as_str() == "a");
        let refused = verify(&rows, Vec::new()).unwrap_err();
        assert!(matches!(refused, ChainError::Archived { gseq: 8, .. } | ChainError::Signature { gseq: 7, .. }), "{refused}");
        assert!(has_later_rows || verify(&without_a(&rows), Vec::new()).is_err());
    }
}

#[test]
fn a_head_that_was_saved_of_an_archived_run_must_be_its_last_row_or_one_before() {
    let rows = archived(|_| {});
    let (head, early) = (rows[4].head(), rows[2].head());
    let saved = |head: Head| vec![(Stream::run("a"), head)];
    assert_eq!(verify(&without_a(&rows), saved(head)).unwrap().met, 1);
    assert_eq!(verify(&without_a(&rows), saved(early)).unwrap().met, 0, "only the file has that row");
    assert_eq!(verify(&rows, saved(early)).unwrap().met, 1);
    for wrong in [Head { hash: Digest::of("no"), ..head }, Head { seq: Seq(4), ..head }] {
        let refused = verify(&without_a(&rows), saved(wrong)).unwrap_err();
        assert!(matches!(refused, ChainError::Anchor { .. }), "{refused}");
    }
}
