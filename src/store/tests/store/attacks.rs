//! Who can do what to a journal without being found, and by what it is found: each attack is made on a copy of a real journal, as a database
//! of each kind, by the role that owns it, and as an export.

use std::sync::Arc;

use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::journal::sign::{PublicKey, Signer};
use reeve_core::journal::{
    Actor, Epoch, Event, Expected, Head, Row, RowDraft, SavedHead, SavedRoot, SignatureOf, SignedLog, Stream, Verified, Verifier,
};
use reeve_store::{Journal, VerifyError, verify_export_against};

use crate::given;
use crate::home::{Home, on_stored_databases};

/// A journal that was signed as an operator does, and what an outsider has of it.
struct Scene {
    /// Where it lies; taken away with the scene.
    _home: Home,
    journal: Journal,
    log: SignedLog,
    signers: [Signer; 2],
    rows: Vec<Row>,
    roots: Vec<SavedRoot>,
}

impl Scene {
    async fn append(&mut self, stream: &Stream, draft: RowDraft) -> Row {
        let after = self.journal.head(stream).await.unwrap().map(|head| head.seq);
        let row = self.journal.append(Epoch(1), stream, after, vec![draft]).await.unwrap().remove(0);
        self.rows.push(row.clone());
        row
    }

    async fn own(&mut self, event: &Event) {
        let draft = RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
        let row = self.append(&Stream::operator(), draft).await;
        self.log.apply(row.hash, event).unwrap();
    }

    async fn anchor(&mut self, with: usize, streams: &[&str]) {
        let mut heads = Vec::new();
        for stream in streams.iter().map(|name| Stream::run(name)) {
            heads.push((stream.clone(), self.journal.head(&stream).await.unwrap().unwrap()));
        }
        let (anchored, _) = self.log.anchor(&self.signers[with], &heads).unwrap();
        let (log, tree) = (self.log.id().unwrap(), anchored.tree.clone());
        let signature = SignatureOf { key_id: anchored.key_id.clone(), signature: tree.signature };
        self.roots.push(SavedRoot { log, size: tree.size, root: tree.root, signature, from: Arc::from("roots.json") });
        self.own(&Event::JournalAnchored(anchored)).await;
    }

    /// Thirteen rows:
    /// 1 the key, 2 3 run a, 4 run b, 5 anchors a 2 and b 1, 6 run a, 7 run b, 8 another key, 9 anchors a 3, 10 11 run c, 12 anchors b 2 and
    /// c 2, 13 run a.
    async fn played(home: Home, seeds: [u8; 2], third: &str) -> Scene {
        let journal = home.open().await;
        let signers = seeds.map(|seed| Signer::from_seed(&[seed; 32]));
        let mut scene = Scene { _home: home, journal, log: SignedLog::default(), signers, rows: Vec::new(), roots: Vec::new() };
        let (a, b, c) = (Stream::run("a"), Stream::run("b"), Stream::run("c"));
        let introduced = scene.log.begin(&scene.signers[0], &[]).unwrap().unwrap();
        scene.own(&introduced).await;
        scene.append(&a, given::started("default", "a")).await;
        scene.append(&a, given::thought(third)).await;
        scene.append(&b, given::started("default", "b")).await;
        scene.anchor(0, &["a", "b"]).await;
        scene.append(&a, given::thought("six")).await;
        scene.append(&b, given::thought("seven")).await;
        let rotated = scene.log.begin(&scene.signers[1], &scene.signers).unwrap().unwrap();
        scene.own(&rotated).await;
        scene.anchor(1, &["a"]).await;
        scene.append(&c, given::started("default", "c")).await;
        scene.append(&c, given::thought("eleven")).await;
        scene.anchor(1, &["b", "c"]).await;
        scene.append(&a, given::thought("thirteen")).await;
        assert_eq!(scene.log.begin(&scene.signers[1], &[]), Ok(None), "the key that signs goes on");
        assert_eq!(scene.rows.last().unwrap().gseq, 13);
        scene
    }

    async fn honest(home: &Home) -> Scene {
        Scene::played(home.another().await, [1, 2], "three").await
    }

    fn key(&self, number: usize) -> PublicKey {
        *self.signers[number].public()
    }

    /// The heads as the AgentRuns' status shows them.
    fn statuses(&self) -> Vec<SavedHead> {
        let head = |name: &str| {
            let stream = Stream::run(name);
            let head = self.rows.iter().rfind(|row| row.stream == stream).unwrap().head();
            let signature = self.signers[1].head(&stream, &head).unwrap();
            let signature = Some(SignatureOf { key_id: self.signers[1].id().clone(), signature });
            SavedHead { stream, head, signature, from: Arc::from(format!("status of AgentRun default/{name}")) }
        };
        ["a", "b", "c"].map(head).into()
    }
}

/// What the outsider has beside the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    FirstKey,
    SecondKey,
    KeyAndStatus,
    KeyAndRoots,
}

fn expected(scene: &Scene, has: Has) -> Expected {
    let (mut heads, mut roots) = (Vec::new(), Vec::new());
    let keys = match has {
        Has::Nothing => vec![],
        Has::FirstKey => vec![scene.key(0)],
        Has::SecondKey => vec![scene.key(1)],
        Has::KeyAndStatus => {
            heads = scene.statuses();
            vec![scene.key(1)]
        }
        Has::KeyAndRoots => {
            roots = scene.roots.clone();
            vec![scene.key(1)]
        }
    };
    Expected { heads, roots, keys, run: None }
}

/// A database whose owner has taken away all that guards its tables.
async fn unguarded(home: Home) -> Home {
    home.open().await.close().await;
    home.unguard().await;
    home
}

fn values(row: &Row, gseq: u64) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let Row { gseq: _, stream, seq, time, epoch, kind, actor, body, prev, hash } = row;
    let (stream, time, kind, actor, body) = (text(stream.as_str()), text(time), text(kind), text(actor), text(body));
    format!("({gseq}, {stream}, {}, {time}, {}, {kind}, {actor}, {body}, '{prev}', '{hash}')", seq.0, epoch.0)
}

/// Checks these rows as an export and as what stands in this database; both say the same.
async fn verify(unguarded: &Home, rows: &[Row], expected: Expected) -> Result<Verified, VerifyError> {
    let [_, stored] = both(unguarded, rows, expected).await;
    stored
}

async fn both(unguarded: &Home, rows: &[Row], expected: Expected) -> [Result<Verified, VerifyError>; 2] {
    let lines: Vec<u8> = rows.iter().flat_map(|row| [serde_json::to_vec(row).unwrap(), b"\n".to_vec()].concat()).collect();
    let exported = verify_export_against(&lines[..], Verifier::expecting(expected.clone())).await;
    // A table has its rows in order of their number: a swap is a swap of contents.
    let in_order = rows.is_sorted_by_key(|row| row.gseq);
    let values: Vec<String> = rows.iter().zip(1..).map(|(row, place)| values(row, if in_order { row.gseq } else { place })).collect();
    unguarded.sql_unchecked(&format!("DELETE FROM journal; INSERT INTO journal VALUES {}", values.join(", "))).await;
    let journal = unguarded.open_read_only().await;
    let stored = journal.verify_against(Verifier::expecting(expected)).await;
    journal.close().await;
    assert_eq!(exported.is_ok(), stored.is_ok(), "{exported:?} in the export, {stored:?} in the database");
    if in_order {
        assert_eq!(exported, stored, "the database hides nothing");
    }
    [exported, stored]
}

/// Numbers, links and hashes made right again from the first row on.
fn rechain(rows: &mut [Row]) {
    let mut prev = Digest::ZERO;
    for (row, gseq) in rows.iter_mut().zip(1..) {
        (row.gseq, row.prev) = (gseq, prev);
        row.hash = row.computed_hash().unwrap();
        prev = row.hash;
    }
}

fn say(row: &mut Row, text: &str) {
    row.body = format!(r#"{{"text":"{text}"}}"#);
}

type Attack = fn(&mut Vec<Row>);

/// Attacks by whoever holds the database: what is done, what the outsider has, and where it is found.
fn attacks() -> Vec<(&'static str, Attack, Has, &'static str)> {
    vec![
        ("an edited row", |rows| say(&mut rows[2], "other"), Has::Nothing, "row 3 (a 2, thought.summary) was changed"),
        (
            "another form of the same body",
            |rows| {
                rows[2].body = r#"{"text": "three"}"#.to_owned();
                rechain(rows);
            },
            Has::Nothing,
            "row 3 (a 2, thought.summary): its body is not in the canonical form",
        ),
        (
            "a replaced row",
            |rows| {
                say(&mut rows[2], "other");
                rows[2].hash = rows[2].computed_hash().unwrap();
            },
            Has::Nothing,
            "row 4 does not follow the row before it",
        ),
        ("a swapped pair", |rows| rows.swap(5, 6), Has::Nothing, "row 6 "),
        (
            "a pair swapped and chained anew",
            |rows| {
                let (left, right) = (rows[2].body.clone(), rows[5].body.clone());
                (rows[2].body, rows[5].body) = (right, left);
                rechain(rows);
            },
            Has::Nothing,
            "row 3 (stream a 2) is sha256:",
        ),
        ("a cut tail", |rows| rows.truncate(9), Has::KeyAndStatus, "stream a is anchored at 4 "),
        ("a cut tail", |rows| rows.truncate(9), Has::KeyAndRoots, "roots.json has the root "),
        (
            "a deleted run",
            |rows| {
                rows.retain(|row| row.stream != Stream::run("c"));
                rechain(rows);
            },
            Has::Nothing,
            "stream c was signed at 2 (in row 10), but the journal has no such stream before",
        ),
        (
            "a deleted run, and what signed it",
            |rows| {
                rows.retain(|row| row.stream != Stream::run("c") && row.gseq != 12);
                rechain(rows);
            },
            Has::KeyAndStatus,
            "stream a is anchored at 4 ",
        ),
        (
            "a whole consistent chain",
            |rows| {
                say(&mut rows[2], "other");
                rechain(rows);
            },
            Has::FirstKey,
            "row 3 (stream a 2) is sha256:",
        ),
        (
            "a whole consistent chain without signatures",
            |rows| {
                say(&mut rows[2], "other");
                rows.retain(|row| row.kind != "journal.anchored" && row.kind != "key.rotated");
                rechain(rows);
            },
            Has::FirstKey,
            "the key is introduced, but no head is signed",
        ),
        (
            "a whole consistent chain without keys",
            |rows| {
                rows.retain(|row| row.stream != Stream::operator());
                rechain(rows);
            },
            Has::FirstKey,
            "no key signs it",
        ),
        (
            "a forged signature",
            |rows| {
                let good = Signer::from_seed(&[1; 32]).head(&rows[2].stream, &rows[2].head()).unwrap();
                let forged = Signer::from_seed(&[9; 32]).head(&rows[2].stream, &rows[2].head()).unwrap();
                let body = rows[4].body.replace(&good.to_string(), &forged.to_string());
                assert_ne!(body, rows[4].body);
                rows[4].body = body;
                rechain(rows);
            },
            Has::Nothing,
            "row 5 (journal.anchored): the signature of stream a at 2 is not by key",
        ),
        (
            "a forged rotation",
            |rows| {
                let (old, new) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[9; 32]));
                let by_new = new.change(Some(old.public()), new.public()).unwrap();
                let (key_id, key) = (new.id(), String::from(*new.public()));
                rows[7].body = format!(
                    r#"{{"from":"{}","keyId":"{key_id}","newSignature":"{by_new}","oldSignature":"{by_new}","publicKey":"{key}"}}"#,
                    old.id()
                );
                rechain(rows);
            },
            Has::Nothing,
            "row 8 (key.rotated): key ",
        ),
        (
            "signatures in a stream of a run",
            |rows| {
                rows[4].stream = Stream::run("d");
                rows[4].seq = reeve_core::journal::Seq(1);
                rechain(rows);
            },
            Has::Nothing,
            "row 5 (journal.anchored): it stands in stream d",
        ),
    ]
}

async fn the_honest_journal_verifies_with_each_thing_an_outsider_may_have(home: Home) {
    let home = unguarded(home).await;
    let scene = Scene::honest(&home).await;
    for has in [Has::Nothing, Has::FirstKey, Has::SecondKey, Has::KeyAndStatus, Has::KeyAndRoots] {
        let verified = verify(&home, &scene.rows, expected(&scene, has)).await.unwrap_or_else(|error| panic!("{has:?}: {error}"));
        let signed = verified.signed.unwrap();
        assert_eq!((verified.rows, signed.heads, signed.upto, signed.keys.len()), (13, 5, 11, 2), "{has:?}");
        assert_eq!(&signed.key_id, scene.signers[1].id(), "signatures before and after the rotation are good");
        assert_eq!(verified.met, if matches!(has, Has::KeyAndStatus | Has::KeyAndRoots) { 3 } else { 0 });
    }
}

async fn each_attack_by_the_holder_of_the_database_is_found_and_its_place_named(home: Home) {
    let home = unguarded(home).await;
    let scene = Scene::honest(&home).await;
    for (what, attack, has, place) in attacks() {
        let mut rows = scene.rows.clone();
        attack(&mut rows);
        for found in both(&home, &rows, expected(&scene, has)).await {
            let said = found.map(|verified| verified.rows).map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(place)), "{what}, with {has:?}: {said:?}, not {place:?}");
        }
    }
}

async fn a_cut_tail_is_whole_in_itself_and_says_how_far_it_is_signed(home: Home) {
    let home = unguarded(home).await;
    let scene = Scene::honest(&home).await;
    let verified = verify(&home, &scene.rows[..9], expected(&scene, Has::SecondKey)).await.unwrap();
    assert_eq!((verified.rows, verified.signed.unwrap().upto), (9, 6));
}

async fn a_forged_status_is_told_from_a_changed_journal(home: Home) {
    let home = unguarded(home).await;
    let scene = Scene::honest(&home).await;
    let mut wanted = expected(&scene, Has::KeyAndStatus);
    wanted.heads[1].head = Head { hash: Digest::of(b"forged"), ..wanted.heads[1].head };
    let found = verify(&home, &scene.rows, wanted).await.unwrap_err().to_string();
    assert!(found.starts_with("status of AgentRun default/b: the signature of stream b at 2 is not by key "), "{found}");
    // The head is right, the signature is another's.
    let mut wanted = expected(&scene, Has::KeyAndStatus);
    let evil = Signer::from_seed(&[9; 32]);
    let signature = evil.head(&wanted.heads[1].stream, &wanted.heads[1].head).unwrap();
    wanted.heads[1].signature = Some(SignatureOf { key_id: evil.id().clone(), signature });
    let found = verify(&home, &scene.rows, wanted).await.unwrap_err().to_string();
    assert!(found.contains("which is no key of this journal"), "{found}");
}

async fn a_journal_made_by_somebody_else_is_not_signed_by_the_key_that_is_trusted(home: Home) {
    let home = unguarded(home).await;
    let (scene, forged) = (Scene::honest(&home).await, Scene::played(home.another().await, [8, 9], "other").await);
    assert!(verify(&home, &forged.rows, expected(&scene, Has::Nothing)).await.is_ok(), "it is whole in itself");
    for has in [Has::FirstKey, Has::SecondKey, Has::KeyAndStatus, Has::KeyAndRoots] {
        assert!(verify(&home, &forged.rows, expected(&scene, has)).await.is_err(), "{has:?}");
    }
    let found = verify(&home, &forged.rows, expected(&scene, Has::FirstKey)).await.unwrap_err().to_string();
    assert!(found.contains("is not signed by the key that was given"), "{found}");
    let roots_alone = Expected { keys: vec![], ..expected(&scene, Has::KeyAndRoots) };
    let found = verify(&home, &forged.rows, roots_alone).await.unwrap_err().to_string();
    assert!(found.contains("it was exchanged as a whole"), "{found}");
}

/// The holder of the operator's keys can sign whatever they like: only what was saved where they cannot write shows it.
async fn a_chain_signed_anew_by_the_holder_of_the_keys_is_found_by_what_was_saved_before_only(home: Home) {
    let home = unguarded(home).await;
    let (scene, resigned) = (Scene::honest(&home).await, Scene::played(home.another().await, [1, 2], "other").await);
    let fresh = expected(&resigned, Has::KeyAndStatus);
    assert!(verify(&home, &resigned.rows, fresh).await.is_ok(), "keys, and statuses written anew, are good");
    let saved_head = SavedHead { from: Arc::from("saved.json"), ..scene.statuses().remove(0) };
    let found = verify(&home, &resigned.rows, Expected { heads: vec![saved_head], ..Expected::default() }).await.unwrap_err().to_string();
    assert!(found.starts_with("stream a is anchored at 4 ") && found.contains("in row 13"), "{found}");
    let found = verify(&home, &resigned.rows, expected(&scene, Has::KeyAndRoots)).await.unwrap_err().to_string();
    assert!(found.starts_with("roots.json has the root ") && found.contains("of 2 signed heads"), "{found}");
}

#[tokio::test]
async fn only_the_key_that_signs_can_vouch_for_the_next() {
    let scene = Scene::honest(&Home::sqlite().await).await;
    let (lost, next) = (Signer::from_seed(&[7; 32]), Signer::from_seed(&[3; 32]));
    let refused = scene.log.begin(&next, &[lost, next.clone()]).unwrap_err();
    assert!(refused.contains("only it can vouch for key"), "{refused}");
    assert!(scene.log.anchor(&next, &[]).is_err(), "a key signs once it is in the journal");
    let held = [scene.signers[1].clone(), next.clone()];
    assert!(matches!(scene.log.begin(&next, &held), Ok(Some(Event::KeyRotated(_)))));
}

on_stored_databases!(
    the_honest_journal_verifies_with_each_thing_an_outsider_may_have,
    each_attack_by_the_holder_of_the_database_is_found_and_its_place_named,
    a_cut_tail_is_whole_in_itself_and_says_how_far_it_is_signed,
    a_forged_status_is_told_from_a_changed_journal,
    a_journal_made_by_somebody_else_is_not_signed_by_the_key_that_is_trusted,
    a_chain_signed_anew_by_the_holder_of_the_keys_is_found_by_what_was_saved_before_only,
);
