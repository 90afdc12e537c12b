#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::journal::sign::Signer;
use crate::journal::{Actor, Epoch, RowDraft, SignatureOf};

/// A journal's operator stream: key 1 signs heads of a, b and c in roots of 2 and 3, key 2 those of a and d in roots of 5 and 6.
struct Log {
    prover: Prover,
    signed: SignedLog,
    signers: [Signer; 2],
    rows: u64,
}

fn head(seq: u64) -> Head {
    Head { seq: Seq(seq), hash: Digest::of(seq.to_string()) }
}

impl Log {
    fn new(seeds: [u8; 2]) -> Log {
        let signers = seeds.map(|seed| Signer::from_seed(&[seed; 32]));
        let mut log = Log { prover: Prover::default(), signed: SignedLog::default(), signers, rows: 0 };
        log.take(&log.signed.begin(&log.signers[0], &[]).unwrap().unwrap());
        log.anchor(0, &[("a", 2), ("b", 4)]);
        log.anchor(0, &[("c", 7)]);
        log.take(&log.signed.begin(&log.signers[1], &log.signers).unwrap().unwrap());
        log.anchor(1, &[("a", 9), ("d", 3)]);
        log.anchor(1, &[("d", 5)]);
        log
    }

    fn take(&mut self, event: &Event) {
        self.rows += 1;
        let draft = RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
        let row = draft.place(Stream::operator(), self.rows, Seq(self.rows), Epoch(1), Digest::ZERO).unwrap();
        self.signed.apply(row.hash, event).unwrap();
        self.prover.row(&row).unwrap();
    }

    fn anchor(&mut self, with: usize, heads: &[(&str, u64)]) {
        let heads: Vec<(Stream, Head)> = heads.iter().map(|(run, seq)| (Stream::run(run), head(*seq))).collect();
        let (anchored, _) = self.signed.anchor(&self.signers[with], &heads).unwrap();
        self.take(&Event::JournalAnchored(anchored));
    }

    fn inclusion(&self, run: &str, seq: Option<u64>, size: Option<u64>) -> Proof {
        self.prover.inclusion(&Stream::run(run), seq.map(Seq), size).unwrap()
    }

    fn key(&self, number: usize) -> Held {
        Held { keys: vec![*self.signers[number].public()], ..Held::default() }
    }

    /// Every root, as a ConfigMap has them.
    fn saved(&self) -> Vec<SavedRoot> {
        let log = self.signed.id().unwrap();
        let saved = |root: &ProvedRoot| {
            let ProvedRoot { size, root, key_id, signature } = root.clone();
            SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, from: Arc::from("roots.json") }
        };
        self.prover.roots.values().map(saved).collect()
    }
}

fn proofs(log: &Log) -> Vec<Proof> {
    vec![
        log.inclusion("a", None, None),
        log.inclusion("b", None, Some(3)),
        log.inclusion("d", Some(3), Some(5)),
        log.prover.consistency(2, None).unwrap(),
        log.prover.consistency(3, Some(5)).unwrap(),
        log.prover.consistency(5, Some(6)).unwrap(),
    ]
}

#[test]
fn every_head_is_proved_under_every_root_that_has_it_and_every_root_to_extend_those_before() {
    let log = Log::new([1, 2]);
    let anchored = [("a", 2), ("b", 4), ("c", 7), ("a", 9), ("d", 3), ("d", 5)];
    for (index, (run, seq)) in (0..).zip(anchored) {
        for size in [2u64, 3, 5, 6].into_iter().filter(|size| index < *size) {
            for held in [log.key(0), log.key(1), Held { roots: log.saved(), ..log.key(1) }] {
                let proved = log.inclusion(run, Some(seq), Some(size)).check(&held).unwrap();
                let Proved::Inclusion { index: place, hash, root_saved, .. } = proved else { panic!("{proved:?}") };
                assert_eq!((place, hash, root_saved), (index, head(seq).hash, !held.roots.is_empty()));
            }
        }
    }
    for (from, to) in [(2, 3), (2, 5), (2, 6), (3, 5), (3, 6), (5, 6)] {
        let proved = log.prover.consistency(from, Some(to)).unwrap().check(&log.key(0)).unwrap();
        assert!(matches!(proved, Proved::Consistency { from_size, to_size, .. } if (from_size, to_size) == (from, to)), "{proved:?}");
    }
    assert_eq!(log.inclusion("a", None, None), log.inclusion("a", Some(9), Some(6)), "the last head, under the last root");
}

#[test]
fn a_proof_is_a_text_that_can_be_read_again_and_nothing_else_is_one() {
    let log = Log::new([1, 2]);
    for proof in proofs(&log) {
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);
        for other in [text.replace("/v1\"", "/v2\""), text.replacen('{', r#"{"more":1,"#, 1), text.replace(r#""path":["#, r#""paths":["#)] {
            assert!(serde_json::from_str::<Proof>(&other).is_err(), "{other}");
        }
    }
}

/// Every text, number and list of a JSON value changed, one at a time.
fn spoiled(value: &Value) -> Vec<(String, Value)> {
    let inner = |path: String, change: &dyn Fn(Value) -> Value, inside: &Value| -> Vec<(String, Value)> {
        spoiled(inside).into_iter().map(|(rest, changed)| (format!("{path}{rest}"), change(changed))).collect()
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, inside)| {
                let change = |changed: Value| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    Value::Object(fields)
                };
                inner(format!(".{name}"), &change, inside)
            })
            .collect(),
        Value::Array(items) => {
            let mut all: Vec<(String, Value)> = Vec::new();
            for (at, inside) in items.iter().enumerate() {
                let change = |changed: Value| {
                    let mut items = items.clone();
                    items[at] = changed;
                    Value::Array(items)
                };
                all.extend(inner(format!("[{at}]"), &change, inside));
                let mut short = items.clone();
                short.remove(at);
                all.push((format!("[{at}] gone"), Value::Array(short)));
                let mut long = items.clone();
                long.insert(at, inside.clone());
                all.push((format!("[{at}] twice"), Value::Array(long)));
            }
            all
        }
        Value::String(text) => {
            let mut changed = text.clone();
            let at = changed.len() / 2;
            let other = if changed.as_bytes()[at] == b'a' { "b" } else { "a" };
            changed.replace_range(at..=at, other);
            vec![(" changed".to_owned(), Value::from(changed))]
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![(" + 1".to_owned(), Value::from(number + 1)), (" - 1".to_owned(), Value::from(number.wrapping_sub(1)))]
        }
        Value::Null | Value::Bool(_) => panic!("no proof holds {value}"),
    }
}

#[test]
fn whatever_is_changed_in_a_proof_is_found() {
    let log = Log::new([1, 2]);
    let mut tried = 0;
    for proof in proofs(&log) {
        let whole = serde_json::to_value(&proof).unwrap();
        for (what, changed) in spoiled(&whole) {
            for held in [log.key(0), log.key(1)] {
                let found = serde_json::from_value::<Proof>(changed.clone()).map_err(|error| error.to_string());
                let found = found.and_then(|proof| proof.check(&held).map_err(|error| error.to_string()));
                // Without a later key that signed nothing here, it shows the very same.
                let same = what == ".keys.rotated[0] gone" && found.as_ref().ok() == proof.check(&held).ok().as_ref();
                assert!(found.is_err() || same, "{what} of {proof:?}: {found:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

type Change = fn(&mut Inclusion, &Log);

#[test]
fn the_first_thing_that_is_wrong_is_named() {
    let (log, other) = (Log::new([1, 2]), Log::new([8, 9]));
    let table: [(&str, Change, &str); 12] = [
        ("another run", |proof, _| proof.head.stream = Stream::run("b"), "head: the signature of run b at 9 is not by key "),
        ("another row", |proof, _| proof.head.hash = Digest::ZERO, "head: the signature of run a at 9 is not by key "),
        (
            "another run's head, with its signature",
            |proof, log| {
                let Proof::Inclusion(other) = log.inclusion("d", None, None) else { panic!("an inclusion was expected") };
                proof.head = other.head;
            },
            "leaf: the head hashes to ",
        ),
        ("another leaf", |proof, _| proof.leaf.hash = Digest::ZERO, "leaf: the head hashes to "),
        ("a place beyond the tree", |proof, _| proof.leaf.index = 6, "leaf: index 6, counted from 0, is not in a tree of 6"),
        ("another place", |proof, _| proof.leaf.index = 2, "path: it leads to "),
        ("another size", |proof, _| proof.root.size = 7, "root: the signature of the root of 7 heads is not by key "),
        ("another root", |proof, _| proof.root.root = Digest::ZERO, "root: the signature of the root of 6 heads is not by key "),
        (
            "the root of before",
            |proof, log| proof.root = log.prover.roots[&3].clone(),
            "leaf: index 3, counted from 0, is not in a tree of 3",
        ),
        ("a path that was cut", |proof, _| proof.path.truncate(2), "path: expected 3 hashes, found 2"),
        ("a path that goes on", |proof, _| proof.path.push(Digest::ZERO), "path: expected 3 hashes, found 4"),
        ("another log", |proof, _| proof.log = Digest::ZERO, "root: the signature of the root of 6 heads is not by key "),
    ];
    for (what, change, expected) in table {
        let Proof::Inclusion(mut proof) = log.inclusion("a", None, None) else { panic!("an inclusion was expected") };
        change(&mut proof, &log);
        let found = Proof::Inclusion(proof).check(&log.key(0)).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{what}: {found}");
    }
    let found = log.inclusion("a", None, None).check(&other.key(0)).unwrap_err().to_string();
    assert!(found.starts_with("keys: expected ") && found.contains("which was given"), "{found}");
}

#[test]
fn what_was_saved_elsewhere_must_be_met() {
    let log = Log::new([1, 2]);
    let mut forked = Log { signed: SignedLog::default(), prover: Prover::default(), rows: 0, ..Log::new([1, 2]) };
    // The holder of both keys has signed another history of the same log.
    forked.take(&forked.signed.begin(&forked.signers[0], &[]).unwrap().unwrap());
    forked.anchor(0, &[("a", 2), ("x", 4)]);
    assert_eq!(forked.signed.id(), log.signed.id());
    let (proof, extends) = (forked.inclusion("x", None, None), log.prover.consistency(3, None).unwrap());
    assert!(proof.check(&log.key(0)).is_ok(), "the key alone believes its holder");
    let saved = |sizes: &[u64]| log.saved().into_iter().filter(|root| sizes.contains(&root.size)).collect::<Vec<_>>();
    let found = proof.check(&Held { roots: log.saved(), ..log.key(0) }).unwrap_err().to_string();
    assert!(found.starts_with("roots.json has the root ") && found.ends_with("the log was forked"), "{found}");
    let found = proof.check(&Held { roots: saved(&[3, 5]), ..log.key(0) }).unwrap_err().to_string();
    assert_eq!(found, "no root of 2 heads is among those that were saved: those of this log have 2 sizes from 3 to 5");
    let found = proof.check(&Held { roots: Log::new([8, 9]).saved(), ..log.key(0) }).unwrap_err().to_string();
    assert!(found.contains("all are of other logs than sha256:"), "{found}");
    let mut forged = log.saved();
    forged.iter_mut().for_each(|root| root.root = Digest::ZERO);
    let found = log.inclusion("a", None, None).check(&Held { roots: forged, ..log.key(0) }).unwrap_err().to_string();
    assert!(found.contains("it was forged"), "{found}");
    // A later root is proved by the earlier one that was saved.
    let proved = extends.check(&Held { roots: saved(&[3]), ..log.key(0) }).unwrap();
    assert!(matches!(proved, Proved::Consistency { from_saved: true, to_saved: false, .. }), "{proved:?}");
    assert!(extends.check(&Held { roots: saved(&[2, 5]), ..log.key(0) }).is_err());
    // A status that shows another row at that place.
    let other =
        SavedHead { stream: Stream::run("a"), head: Head { seq: Seq(9), hash: Digest::ZERO }, signature: None, from: "status".into() };
    let found = log.inclusion("a", None, None).check(&Held { heads: vec![other], ..log.key(0) }).unwrap_err().to_string();
    assert!(found.starts_with("status has run a at 9 as sha256:0000"), "{found}");
}

#[test]
fn what_cannot_be_proved_is_said() {
    let log = Log::new([1, 2]);
    let inclusion = |run: &str, seq: Option<u64>, size: Option<u64>| {
        log.prover.inclusion(&Stream::run(run), seq.map(Seq), size).unwrap_err().to_string()
    };
    assert_eq!(inclusion("e", None, None), "no head of run e is under the root of 6 signed heads");
    assert_eq!(inclusion("d", None, Some(3)), "no head of run d is under the root of 3 signed heads");
    assert_eq!(inclusion("a", Some(3), None), "no head of run a at 3 is signed under it, but at 2, 9");
    assert_eq!(inclusion("a", None, Some(4)), "no root of 4 heads was signed: the nearest are those of 3 and 5");
    assert_eq!(log.prover.consistency(5, Some(3)), Err(NoProof::NotLater { from: 5, to: 3 }));
    assert_eq!(log.prover.consistency(6, None), Err(NoProof::NotLater { from: 6, to: 6 }));
    assert_eq!(Prover::default().inclusion(&Stream::run("a"), None, None), Err(NoProof::Unsigned));
    assert_eq!(Prover::default().consistency(1, None), Err(NoProof::Unsigned));
}
