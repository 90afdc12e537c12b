//! `reeve journal prove` and `check-proof` as two people meet them: one has the journal, the other a proof and a public key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use reeve_core::journal::sign::Signer;
use reeve_core::journal::{Actor, Epoch, Event, Head, PostedRoot, RowDraft, SignedLog, Stream};
use reeve_store::Journal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A journal of runs `a`, `b` and `c`, all called `team/fix`, `team/fix` and `team/mend`, with roots of 2, 3 and 4 heads.
struct Desk {
    folder: TempDir,
    journal: Journal,
    signer: Signer,
    signed: SignedLog,
    posted: Vec<PostedRoot>,
}

fn started(name: &str) -> Event {
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    serde_json::from_value(json!({ "kind": "run.started", "body": {
        "namespace": "team", "name": name, "requestedBy": "alice", "spec": {
            "role": "Coder", "objective": "o", "task": null, "autonomy": 2, "systemPrompt": "s", "profileDigest": digest, "routes": [],
            "maxOutputTokens": 1, "tools": [], "commands": [],
            "workspace": { "digest": digest, "packing": "tar-gz", "stripComponents": 0 },
            "sandbox": { "image": "i", "cpu": "1", "memory": "1Gi", "workspace": "1Gi", "runtimeClass": null },
            "limits": { "steps": 1, "seconds": 1, "toolCalls": 1, "outputBytes": 1 } } } }))
    .unwrap()
}

impl Desk {
    async fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).await.unwrap();
        let signer = Signer::from_seed(&[1; 32]);
        let mut desk = Desk { folder, journal, signer, signed: SignedLog::default(), posted: Vec::new() };
        let introduced = desk.signed.begin(&desk.signer, &[]).unwrap().unwrap();
        desk.append("operator", &introduced).await;
        desk.append("a", &started("fix")).await;
        desk.append("b", &started("fix")).await;
        desk.anchor(&["a", "b"]).await;
        desk.append("c", &started("mend")).await;
        desk.anchor(&["c"]).await;
        desk.append("c", &Event::RunResumed(Default::default())).await;
        desk.anchor(&["c"]).await;
        std::fs::write(desk.at("reeve.pub"), desk.signer.public().to_pem().unwrap()).unwrap();
        let lines: String = desk.posted.iter().map(|root| serde_json::to_string(root).unwrap() + "\n").collect();
        std::fs::write(desk.at("roots.jsonl"), lines).unwrap();
        let mut export = Vec::new();
        desk.journal.export(&mut export).await.unwrap();
        std::fs::write(desk.at("journal.jsonl"), export).unwrap();
        desk
    }

    async fn append(&mut self, stream: &str, event: &Event) {
        let stream = Stream::run(stream);
        let after = self.journal.head(&stream).await.unwrap().map(|head| head.seq);
        let draft = RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap();
        let row = self.journal.append(Epoch(1), &stream, after, vec![draft]).await.unwrap().remove(0);
        if stream == Stream::operator() {
            self.signed.apply(row.hash, event).unwrap();
        }
    }

    async fn anchor(&mut self, streams: &[&str]) {
        let mut heads: Vec<(Stream, Head)> = Vec::new();
        for stream in streams.iter().map(|name| Stream::run(name)) {
            heads.push((stream.clone(), self.journal.head(&stream).await.unwrap().unwrap()));
        }
        let before = self.signed.tree().size();
        let (anchored, proof) = self.signed.anchor(&self.signer, &heads).unwrap();
        let (log, tree, key_id) = (self.signed.id().unwrap(), anchored.tree.clone(), anchored.key_id.clone());
        let time = "1970-01-01T00:00:00Z".to_owned();
        self.posted.push(PostedRoot { log, size: tree.size, root: tree.root, key_id, signature: tree.signature, before, proof, time });
        self.append("operator", &Event::JournalAnchored(anchored)).await;
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prove(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), &[&["journal", "prove", "--file", "journal.jsonl"], arguments].concat(), "")
    }

    /// In another folder, with this proof, the public key and what else is named.
    fn check(&self, proof: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let outside = tempfile::tempdir().unwrap();
        for name in ["reeve.pub", "roots.jsonl"] {
            std::fs::copy(self.at(name), outside.path().join(name)).unwrap();
        }
        said(&run(outside.path(), &[&["journal", "check-proof", "-", "--public-key", "reeve.pub"], arguments].concat(), proof))
    }
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses its arguments has gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn proof(output: &Output) -> String {
    let (code, out, err) = said(output);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    out
}

#[tokio::test]
async fn one_run_is_proved_to_somebody_who_has_the_public_key_only() {
    let desk = Desk::new().await;
    let proof = proof(&desk.prove(&["--run", "team/mend"]));
    let (code, out, err) = desk.check(&proof, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("proved: run c stood at row 2 with hash sha256:") && out.contains("of 4 heads of log "), "{out}");
    assert!(out.contains("compared with nothing that was saved elsewhere") && out.contains("give --anchor"), "{out}");
    let (code, out, err) = desk.check(&proof, &["--anchor", "roots.jsonl"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("which was saved elsewhere too") && !out.contains("note:"), "{out}");
    let (_, json, _) = desk.check(&proof, &["--anchor", "roots.jsonl", "-o", "json"]);
    let answer: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&answer["verified"], &answer["proved"], &answer["seq"], &answer["size"], &answer["rootSaved"]),
        (&json!(true), &json!("inclusion"), &json!(2), &json!(4), &json!(true))
    );
    // It shows no other run.
    assert!(!proof.contains("\"a\"") && !proof.contains("\"b\""), "{proof}");
}

#[tokio::test]
async fn the_database_proves_the_same_as_its_export() {
    let desk = Desk::new().await;
    for arguments in [&["--run", "team/mend", "--seq", "1", "--tree-size", "3"][..], &["--run", "b"], &["--from", "2", "--to", "3"]] {
        let database = [&["journal", "prove", "--database", "journal.db"], arguments].concat();
        let stored = proof(&run(desk.folder.path(), &database, ""));
        assert_eq!(stored, proof(&desk.prove(arguments)));
        assert_eq!(desk.check(&stored, &["--anchor", "roots.jsonl"]).0, Some(0));
    }
}

#[tokio::test]
async fn a_later_root_is_proved_to_extend_the_one_that_was_saved() {
    let desk = Desk::new().await;
    let proof = proof(&desk.prove(&["--from", "2"]));
    let (code, out, err) = desk.check(&proof, &["--anchor", "roots.jsonl"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("proved: the root of 4 heads extends the root of 2: "), "{out}");
}

#[tokio::test]
async fn a_proof_that_was_changed_ends_with_1_and_names_what_is_wrong() {
    let desk = Desk::new().await;
    let (good, other) = (proof(&desk.prove(&["--run", "team/mend"])), proof(&desk.prove(&["--run", "a"])));
    let (good, other): (Value, Value) = (serde_json::from_str(&good).unwrap(), serde_json::from_str(&other).unwrap());
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed.to_string()
    };
    let table = [
        (with("/head/stream", json!("a")), "head: the signature of run a at 2"),
        (with("/head", other["head"].clone()), "leaf: the head hashes to"),
        (with("/leaf", other["leaf"].clone()), "leaf: the head hashes to"),
        (with("/leaf/index", json!(2)), "path: it leads to"),
        (with("/root/size", json!(5)), "root: the signature of the root of 5 heads"),
        (with("/root/root", other["leaf"]["hash"].clone()), "root: the signature of the root of 4 heads"),
        (with("/path", json!([good["path"][0]])), "path: expected 2 hashes, found 1"),
        (with("/log", other["leaf"]["hash"].clone()), "root: the signature"),
        (with("/path/0", json!("sha256:12")), "it is no proof as reeve journal prove writes it"),
        (with("/v", json!("reeve.dev/journal-inclusion/v2")), "it is no proof as reeve journal prove writes it"),
        ("{".to_owned(), "it is no proof as reeve journal prove writes it"),
    ];
    for (changed, expected) in table {
        let (code, out, err) = desk.check(&changed, &[]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.starts_with(&format!("error: not proved: {expected}")), "{err}");
        let (code, json, _) = desk.check(&changed, &["-o", "json"]);
        let answer: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &answer["verified"]), (Some(1), &json!(false)));
        assert!(answer["error"].as_str().unwrap().starts_with(expected), "{json}");
    }
}

#[tokio::test]
async fn a_key_or_a_root_of_somebody_else_proves_nothing() {
    let desk = Desk::new().await;
    let proof = proof(&desk.prove(&["--run", "team/mend", "--tree-size", "3"]));
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("other.pub"), Signer::from_seed(&[9; 32]).public().to_pem().unwrap()).unwrap();
    let (code, _, err) = said(&run(outside.path(), &["journal", "check-proof", "-", "--public-key", "other.pub"], &proof));
    assert!(code == Some(1) && err.contains("which was given, or one that follows from it"), "{err}");
    // Only a root of another size was saved.
    let lines = std::fs::read_to_string(desk.at("roots.jsonl")).unwrap();
    std::fs::write(desk.at("roots.jsonl"), format!("{}\n", lines.lines().next().unwrap())).unwrap();
    let (code, _, err) = desk.check(&proof, &["--anchor", "roots.jsonl"]);
    assert!(code == Some(1) && err.contains("no root of 3 heads is among those that were saved"), "{err}");
}

#[tokio::test]
async fn what_cannot_be_tried_ends_with_2() {
    let desk = Desk::new().await;
    for (arguments, expected) in [
        (&["--run", "team/fix"][..], "2 runs had the name team/fix: give a UID, one of a, b"),
        (&["--run", "team/gone"], "the journal has no run team/gone"),
        (&["--run", "gone"], "no head of run gone is under the root of 4 signed heads"),
        (&["--run", "c", "--tree-size", "1"], "no root of 1 heads was signed"),
        (&["--from", "4"], "expected --from below 4, found 4"),
        (&["--from", "2", "--run", "c"], "cannot be used with"),
        (&[], "required arguments"),
    ] {
        let (code, out, err) = said(&desk.prove(arguments));
        assert!(code == Some(2) && out.is_empty() && err.contains(expected), "{arguments:?}: {code:?} {err}");
    }
    let proof = proof(&desk.prove(&["--run", "c"]));
    let (code, _, err) = desk.check(&proof, &["--anchor", "nowhere.json"]);
    assert!(code == Some(2) && err.contains("nowhere.json"), "{err}");
    let (code, _, err) = said(&run(desk.folder.path(), &["journal", "check-proof", "gone.json", "--public-key", "reeve.pub"], ""));
    assert!(code == Some(2) && err.contains("gone.json"), "{err}");
}

#[tokio::test]
async fn a_journal_whose_signatures_do_not_hold_proves_nothing() {
    let desk = Desk::new().await;
    let export = std::fs::read_to_string(desk.at("journal.jsonl")).unwrap();
    let forged = Signer::from_seed(&[9; 32]).tree(&desk.posted[2].log, 4, &desk.posted[2].root).unwrap().to_string();
    let changed = export.replace(&desk.posted[2].signature.to_string(), &forged);
    assert_ne!(changed, export);
    std::fs::write(desk.at("journal.jsonl"), changed).unwrap();
    let (code, _, err) = said(&desk.prove(&["--run", "c"]));
    assert!(code == Some(1) && err.contains("the journal's own signatures do not hold: root: the signature"), "{err}");
}
