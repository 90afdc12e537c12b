//! The program as a user meets it: arguments in; text, files and an exit code out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use reeve_core::journal::{Actor, Epoch, Event, Resumption, Row, RowDraft, Stream, Suspension};
use reeve_store::Journal;
use serde_json::Value;

/// Runs `reeve` in an environment without settings.
fn reeve(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reeve")).args(arguments).env_clear().stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn draft(event: &Event, actor: &Actor) -> RowDraft {
    RowDraft::of(event, actor, "2026-01-31T14:03:07.512345Z".parse::<Timestamp>().unwrap()).unwrap()
}

/// A journal of one run of three rows and one row of the operator.
fn journal(directory: &Path) -> Vec<Row> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(&directory.join("journal.db")).await.unwrap();
        let run = Stream::run("0b8e4c4e-0001");
        let thought = Event::ThoughtSummary { text: "I look \u{1b}[2J at the tests.".to_owned() };
        let drafts = vec![
            draft(&thought, &Actor::Model),
            draft(&Event::RunSuspended(Suspension::default()), &Actor::Person("alice".to_owned())),
            draft(&Event::RunResumed(Resumption::default()), &Actor::Person("alice".to_owned())),
        ];
        journal.append(Epoch(1), &run, None, drafts).await.unwrap();
        let other = vec![draft(&Event::CheckpointRequested { step: 1 }, &Actor::Operator)];
        journal.append(Epoch(2), &Stream::operator(), None, other).await.unwrap();
        let rows = journal.scan(1, 100).await.unwrap();
        journal.close().await;
        rows
    })
}

/// Arguments, and a variable of the environment.
type Given<'a> = (Vec<&'a str>, Option<(&'a str, &'a str)>);

/// clap quotes what it does not take, and the system what it does not find.
#[test]
fn no_error_shows_a_password_that_was_given_in_a_url() {
    let (database, witness) = ("postgres://reeve:hunter2canary@h/db", "ftp://user:hunter2canary@w/hunter2canary?token=hunter2canary");
    let operator = ["operator", "--namespace", "n", "--identity", "i", "--sandbox-installer-image", "x"];
    let table: Vec<Given<'_>> = vec![
        (vec!["journal", "verify", database], None),
        (vec!["journal", "verify", "--data-base", database], None),
        (vec!["journal", "verify", "--database", "mysql://reeve:hunter2canary@h/db"], None),
        (vec!["journal", "verify", "--output", database], None),
        (vec!["journal", "verify", "--file", database], None),
        (vec!["journal", "check-proof", database, "--public-key", database], None),
        (vec!["journal", "what-if", "--all", "--policy", database, "--file", "f"], None),
        (vec![database], None),
        (vec!["journal", "verify"], Some(("REEVE_DATABASE", "mysql://reeve:hunter2canary@h/db"))),
        ([&operator[..], &["--database", "mysql://reeve:hunter2canary@h/db"]].concat(), None),
        ([&operator[..], &["--witness-url", witness]].concat(), None),
        (operator.to_vec(), Some(("REEVE_WITNESS_URL", witness))),
        ([&operator[..], &["--log-format", database]].concat(), None),
    ];
    for (arguments, variable) in table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
        let output = command.args(&arguments).env_clear().envs(variable).stdin(Stdio::null()).output().unwrap();
        let shown = format!("{}{}", stdout(&output), stderr(&output));
        assert!(code(&output) == 2 && shown.contains("error: ") && !shown.contains("hunter2"), "{arguments:?} {variable:?}: {shown}");
    }
}

#[test]
fn a_whole_journal_verifies_and_says_how_much_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let rows = journal(directory.path());
    let data_dir = directory.path().to_str().unwrap();
    let head = rows.last().unwrap().hash;
    let verified = reeve(&["journal", "verify", "--data-dir", data_dir]);
    let said = format!("verified: 4 rows, 1 run, head {head}\nsigned: no, the journal has no key\n");
    assert_eq!((code(&verified), stdout(&verified)), (0, said), "{}", stderr(&verified));
    let json = reeve(&["journal", "verify", "--data-dir", data_dir, "-o", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let expected = serde_json::json!({
        "verified": true, "rows": 4, "runs": 1, "head": head.to_string(),
        "anchorsMet": 0, "keptBodies": 0, "keptBodiesChecked": false, "archived": [], "rootsOfOthers": 0,
    "forks": {"met": 0, "far": [], "absent": []}, "signedByTrustedKey": false,
    });
    assert_eq!(json, expected);
}

#[test]
fn an_export_verifies_without_its_database_and_any_change_to_it_is_found() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    let exported = reeve(&["journal", "export", "--database", directory.path().join("journal.db").to_str().unwrap()]);
    assert_eq!(code(&exported), 0, "{}", stderr(&exported));
    let file = directory.path().join("journal.jsonl");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        reeve(&["journal", "verify", "--file", file.to_str().unwrap()])
    };
    let text = stdout(&exported);
    assert_eq!(code(&verify(&text)), 0);
    let changed = verify(&text.replace("person:alice", "person:bob"));
    assert_eq!(code(&changed), 1);
    assert!(stderr(&changed).starts_with("error: not verified: row 2 "), "{}", stderr(&changed));
    let garbled = verify(&text.replace("\"epoch\"", "\"era\""));
    assert_eq!(code(&garbled), 1, "{}", stderr(&garbled));
}

#[test]
fn a_head_saved_elsewhere_finds_a_cut_tail() {
    let directory = tempfile::tempdir().unwrap();
    let rows = journal(directory.path());
    let export = stdout(&reeve(&["journal", "export", "--data-dir", directory.path().to_str().unwrap()]));
    let anchored = &rows[2];
    let anchors = directory.path().join("heads.yaml");
    std::fs::write(&anchors, format!("- stream: {}\n  seq: {}\n  hash: {}\n", anchored.stream.as_str(), anchored.seq.0, anchored.hash))
        .unwrap();
    let file = directory.path().join("journal.jsonl");
    let verify = |rows: usize| {
        let text: String = export.split_inclusive('\n').take(rows).collect();
        std::fs::write(&file, text).unwrap();
        reeve(&["journal", "verify", "--file", file.to_str().unwrap(), "--anchor", anchors.to_str().unwrap()])
    };
    let whole = verify(4);
    assert!(stdout(&whole).contains(", 1 anchor met\n"), "{}", stdout(&whole));
    let cut = verify(2);
    assert_eq!(code(&cut), 1);
    assert!(stderr(&cut).contains("is anchored at 3") && stderr(&cut).contains("ends at 2"), "{}", stderr(&cut));
}

#[test]
fn rows_are_shown_as_a_timeline_or_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    let data_dir = directory.path().to_str().unwrap();
    let shown = stdout(&reeve(&["journal", "show", "--data-dir", data_dir, "--run", "0b8e4c4e-0001"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert_eq!(lines[1], "14:03:07.512     1  Plan       thought.summary       model             I look [2J at the tests.");
    assert!(lines[2].ends_with("run.suspended         person:alice      a person stopped it"), "{shown}");
    let json: Value = serde_json::from_slice(&reeve(&["journal", "show", "--data-dir", data_dir, "-o", "json"]).stdout).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[3]["body"]["step"]), (4, &Value::from(1)));
    let yaml = stdout(&reeve(&["journal", "show", "--data-dir", data_dir, "-o", "yaml"]));
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(yaml, json);
    let missing = reeve(&["journal", "show", "--data-dir", data_dir, "--run", "default/gone"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("the journal has no run default/gone"), "{}", stderr(&missing));
}

#[test]
fn what_could_not_be_tried_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.db");
    for arguments in [
        &["journal", "verify", "--database", missing.to_str().unwrap()][..],
        &["journal", "verify", "--file", missing.to_str().unwrap()],
        &["journal", "verify", "--bogus"],
        &["generate", "--root", directory.path().to_str().unwrap()],
        &["crds", "apply", "--kubeconfig", missing.to_str().unwrap()],
        &["operator"],
    ] {
        let output = reeve(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    journal(directory.path());
    for verb in ["show", "export"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeve"));
        command.args(["journal", verb, "--data-dir", directory.path().to_str().unwrap()]).env_clear().stdout(writer).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!((code(&output), stderr(&output)), (0, String::new()), "{verb}");
    }
}

#[test]
fn the_crds_are_printed_as_they_are_generated() {
    let printed = stdout(&reeve(&["crds", "print"]));
    assert_eq!(printed.matches("kind: CustomResourceDefinition").count(), 8);
    let list: Value = serde_json::from_slice(&reeve(&["crds", "print", "-o", "json"]).stdout).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 8);
}

#[test]
fn each_shell_gets_its_completion() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&reeve(&["completion", shell]));
        assert!(script.contains("journal") && script.contains("operator"), "{shell}");
    }
}

#[test]
fn the_sandbox_can_copy_the_program_into_itself() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("reeve");
    let installed = reeve(&["tools", "install", copy.to_str().unwrap()]);
    assert_eq!(code(&installed), 0, "{}", stderr(&installed));
    let version = Command::new(&copy).arg("--version").output().unwrap();
    assert!(stdout(&version).starts_with("reeve "), "{}", stderr(&version));
}

#[test]
fn the_password_of_a_database_is_in_no_output() {
    let url = "postgres://reeve:hunter2@127.0.0.1:1/journal";
    let with = |arguments: &[&str], url: &str| {
        Command::new(env!("CARGO_BIN_EXE_reeve"))
            .args(arguments)
            .env_clear()
            .env("REEVE_DATABASE", url)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let outputs = [
        with(&["operator", "--help"], url),
        with(&["journal", "verify"], url),
        with(&["journal", "export"], url),
        with(&["journal", "migrate", "--writer", "reeve"], url),
        with(&["journal", "verify"], "postgres://reeve:hunter2@db:port/journal"),
        reeve(&["journal", "show", "--database", url]),
        reeve(&["journal", "verify", "--database", "postgres://reeve:hunter2@db/journal?passwd=hunter2"]),
    ];
    for output in &outputs {
        let said = format!("{}{}", stdout(output), stderr(output));
        assert!(!said.contains("hunter2") && !said.is_empty(), "{said}");
    }
    assert_eq!(outputs.iter().map(code).collect::<Vec<i32>>(), [0, 2, 2, 2, 2, 2, 2]);
    assert!(stderr(&outputs[1]).contains("postgres://reeve@127.0.0.1:1/journal"), "{}", stderr(&outputs[1]));
    let file = reeve(&["journal", "migrate", "--database", "/var/lib/reeve/journal.db"]);
    assert!(code(&file) == 2 && stderr(&file).contains("expected a postgres:// URL"), "{}", stderr(&file));
}
