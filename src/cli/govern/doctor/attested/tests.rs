#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use jiff::Timestamp;
use reeve_core::journal::sign::Signer;
use reeve_core::journal::{Actor, Epoch, RowDraft};

use super::*;

/// The operator's own rows, and the roots that ConfigMaps have of them: run a anchored at 2 and at 4, run b at 3.
struct Own {
    rows: Vec<Row>,
    log: SignedLog,
    signer: Signer,
    roots: Vec<SavedRoot>,
}

fn head(seq: u64) -> Head {
    Head { seq: Seq(seq), hash: Digest::of(seq.to_string()) }
}

fn row(gseq: u64, stream: &Stream, seq: u64, event: &Event) -> Row {
    let draft = RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
    draft.place(stream.clone(), gseq, Seq(seq), Epoch(1), Digest::ZERO).unwrap()
}

impl Own {
    fn new(seed: u8) -> Own {
        let signer = Signer::from_seed(&[seed; 32]);
        let mut own = Own { rows: Vec::new(), log: SignedLog::default(), signer, roots: Vec::new() };
        own.take(&own.log.begin(&own.signer, &[]).unwrap().unwrap());
        own.anchor(&[("a", 2), ("b", 3)]);
        own.take(&Event::LeaseTaken { identity: "pod".to_owned() });
        own.anchor(&[("a", 4)]);
        own
    }

    fn take(&mut self, event: &Event) {
        let place = self.rows.len() as u64 + 1;
        let row = row(place, &Stream::operator(), place, event);
        self.log.apply(row.hash, event).unwrap();
        self.rows.push(row);
    }

    fn anchor(&mut self, heads: &[(&str, u64)]) {
        let heads: Vec<(Stream, Head)> = heads.iter().map(|(run, seq)| (Stream::run(run), head(*seq))).collect();
        let (anchored, _) = self.log.anchor(&self.signer, &heads).unwrap();
        let signature = SignatureOf { key_id: anchored.key_id.clone(), signature: anchored.tree.signature };
        let (size, root, log) = (anchored.tree.size, anchored.tree.root, self.log.id().unwrap());
        self.roots.push(SavedRoot { log, size, root, signature, from: Arc::from("roots") });
        self.take(&Event::JournalAnchored(anchored));
    }

    fn attested(&self) -> Attested {
        Attested::of(&self.rows).unwrap()
    }

    /// What a status shows that this operator wrote.
    fn status(&self, run: &str, head: Head) -> SavedHead {
        let stream = Stream::run(run);
        let signature = SignatureOf { key_id: self.signer.id().clone(), signature: self.signer.head(&stream, &head).unwrap() };
        SavedHead { stream, head, signature: Some(signature), from: Arc::from("status of AgentRun team/fix") }
    }
}

#[test]
fn a_key_that_signs_is_said_to_be_trusted_only_if_it_was_given() {
    let (own, other) = (Own::new(1), Own::new(2));
    let attested = own.attested();
    let (level, said) = attested.trusted(&[*own.signer.public()]);
    assert!(level == Level::Ok && said.starts_with("3 heads signed by "), "{said}");
    let (level, said) = attested.trusted(&[]);
    assert!(level == Level::Warn && said.contains("nobody vouched for: give --public-key FILE"), "{said}");
    let (level, said) = attested.trusted(&[*other.signer.public()]);
    assert!(level == Level::Fail && said.contains("does not follow from"), "{said}");
    assert_eq!(Attested::default().trusted(&[]).0, Level::Fail);
}

#[test]
fn a_row_of_the_operators_own_that_was_changed_or_forged_is_named() {
    let mut own = Own::new(1);
    own.rows[2].body = r#"{"identity":"other"}"#.to_owned();
    let why = Attested::of(&own.rows).unwrap_err();
    assert!(why.starts_with("row 3 (lease.taken): it was changed"), "{why}");
    let mut own = Own::new(1);
    let forged = Own::new(2).rows.remove(3);
    own.rows[3] = forged;
    let why = Attested::of(&own.rows).unwrap_err();
    assert!(why.starts_with("row 4 (journal.anchored): key "), "{why}");
}

#[test]
fn the_roots_of_the_configmaps_must_be_the_journals() {
    let (own, other) = (Own::new(1), Own::new(2));
    let attested = own.attested();
    let (level, said) = attested.roots(&own.roots);
    assert!(level == Level::Ok && said.starts_with("2 roots in ConfigMaps met") && said.ends_with("the last of 3 heads"), "{said}");
    let (level, said) = attested.roots(&[own.roots.clone(), other.roots.clone()].concat());
    assert!(level == Level::Ok && said.ends_with(", 2 of other journals left alone"), "{said}");
    let (level, said) = attested.roots(&other.roots);
    assert!(level == Level::Warn && said.contains("no ConfigMap has one"), "{said}");
    // The journal was cut: it has fewer rows than the ConfigMaps tell of.
    let cut = Attested::of(&own.rows[..3]).unwrap();
    let (level, said) = cut.roots(&own.roots);
    assert!(level == Level::Fail && said.contains("the journal had no such root, and has 2 heads signed now"), "{said}");
    // Another root, first without and then with a signature by the holder of the key.
    let mut forged = own.roots.clone();
    forged[1].root = Digest::ZERO;
    let (level, said) = attested.roots(&forged);
    assert!(level == Level::Fail && said.contains("it was forged"), "{said}");
    let log = own.log.id().unwrap();
    forged[1].signature.signature = own.signer.tree(&log, 3, &Digest::ZERO).unwrap();
    let (level, said) = attested.roots(&forged);
    assert!(level == Level::Fail && said.contains("written anew"), "{said}");
    assert_eq!(Attested::of(&own.rows[..1]).unwrap().roots(&[]).0, Level::Ok);
}

#[test]
fn a_head_that_a_status_shows_is_found_where_it_must_be() {
    let (own, other) = (Own::new(1), Own::new(2));
    let attested = own.attested();
    assert_eq!(attested.place(&own.status("a", head(4))), Place::Met, "it was anchored");
    assert_eq!(attested.place(&own.status("a", head(5))), Place::Row);
    assert_eq!(attested.place(&SavedHead { signature: None, ..own.status("a", head(5)) }), Place::Row);
    assert_eq!(attested.place(&other.status("a", head(4))), Place::OfOthers);
    let said = |place: Place| if let Place::Wrong(why) = place { why } else { panic!("{place:?}") };
    let other_hash = Head { hash: Digest::ZERO, ..head(4) };
    assert!(said(attested.place(&own.status("a", other_hash))).contains("was signed"));
    let forged = SavedHead { head: other_hash, ..own.status("a", head(4)) };
    assert!(said(attested.place(&forged)).contains("it was forged"));
}

#[test]
fn the_row_that_a_status_names_must_be_there_as_it_says() {
    let own = Own::new(1);
    let there = row(9, &Stream::run("a"), 5, &Event::CheckpointRequested { step: 1 });
    let saved = own.status("a", there.head());
    assert_eq!(is_row(&saved, std::slice::from_ref(&there)), Ok(()));
    let changed = Row { body: r#"{"step":2}"#.to_owned(), ..there.clone() };
    assert!(is_row(&saved, &[changed]).unwrap_err().contains("written anew"));
    assert!(is_row(&saved, &[]).unwrap_err().contains("its tail was cut"));
    let other = row(9, &Stream::run("a"), 5, &Event::CheckpointRequested { step: 2 });
    assert!(is_row(&saved, &[other]).unwrap_err().contains("written anew"));
}

#[test]
fn what_was_not_compared_is_said() {
    let (level, said) = Tally { met: 3, ..Tally::default() }.said("all namespaces");
    assert_eq!((level, said.as_str()), (Level::Ok, "3 heads in the status of AgentRuns (all namespaces) met"));
    let (level, said) = Tally { met: 1, unsigned: 1, of_others: 2, asked: 200, left: 4 }.said("namespace team");
    assert_eq!(level, Level::Warn);
    assert!(
        said.starts_with("1 head in the status of AgentRuns (namespace team) met, 2 of other operators left alone, 1 not signed"),
        "{said}"
    );
    assert!(said.ends_with("4 were not asked for: reeve journal verify --status from-cluster looks at all"), "{said}");
}
