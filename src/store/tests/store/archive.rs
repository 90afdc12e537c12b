//! Rows that go into a file, and what is left of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reeve_core::journal::{ArchivedRun, ChainError, Epoch, Expected, Row, RowDraft, Seq, Stream, Verified, Verifier};
use reeve_store::{ArchiveError, Artifacts, Beside, Collection, Journal, NotArchived, StoreError, VerifyError, verify_export_with};
use tempfile::TempDir;

use crate::given;
use crate::home::{Home, on_stored_databases};

on_stored_databases!(
    a_run_goes_into_a_file_and_the_journal_verifies_with_it_and_without,
    a_file_that_is_not_what_the_journal_names_does_not_verify,
    what_an_archived_run_names_stays_if_its_file_is_given,
    only_a_run_that_has_ended_and_settled_goes,
    nothing_is_removed_where_the_file_cannot_be_written,
    no_row_goes_that_no_row_says_is_archived,
    rows_that_are_missing_are_found_beside_runs_that_are_archived,
);

fn run(name: &str) -> Stream {
    Stream::run(name)
}

async fn append(journal: &Journal, stream: &str, drafts: Vec<RowDraft>) {
    let after = journal.head(&run(stream)).await.unwrap().map(|head| head.seq);
    journal.append(Epoch(1), &run(stream), after, drafts).await.unwrap();
}

/// Runs `a`, `b` and `c` that ended, and `d` that works, interleaved; `a` and `d` spend from a budget.
async fn interleaved(home: &Home) -> Journal {
    let journal = home.open().await;
    append(&journal, "operator", vec![given::limited("x/y", Some(1_000))]).await;
    for name in ["a", "b", "c", "d"] {
        append(&journal, name, vec![given::started("default", name), given::thought("first")]).await;
    }
    append(&journal, "a", vec![given::reserved("x/y", "a/1", 100)]).await;
    append(&journal, "d", vec![given::reserved("x/y", "d/1", 50)]).await;
    append(&journal, "a", vec![given::settled("x/y", "a/1", 70)]).await;
    append(&journal, "b", vec![given::thought("between"), given::finished()]).await;
    append(&journal, "a", vec![given::finished()]).await;
    append(&journal, "d", vec![given::thought("on")]).await;
    append(&journal, "c", vec![given::finished()]).await;
    journal.close().await;
    home.open_to_archive().await
}

async fn archive(journal: &Journal, folder: &TempDir, names: &[&str], file: &str) -> PathBuf {
    let named: Vec<Stream> = names.iter().map(|name| run(name)).collect();
    let (fit, stay) = journal.archivable(None, &named).await.unwrap();
    assert_eq!((fit.len(), stay), (names.len(), Vec::new()));
    let path = folder.path().join(file);
    journal.archive(&fit, &path, file, Timestamp::UNIX_EPOCH).await.unwrap();
    path
}

async fn verified(journal: &Journal, archives: &[PathBuf]) -> Result<Verified, VerifyError> {
    let beside = Beside { artifacts: None, archives: archives.to_vec() };
    let verified = journal.verify_with(Verifier::expecting(Expected::default()), &beside).await;
    let mut export = Vec::new();
    journal.export(&mut export).await.unwrap();
    let exported = verify_export_with(export.as_slice(), Verifier::expecting(Expected::default()), &beside).await;
    assert_eq!(exported, verified, "an export says the same");
    verified
}

fn checked(verified: &Verified) -> Vec<(&str, bool)> {
    verified.archived.iter().map(|ArchivedRun { name, checked, .. }| (name.as_str(), *checked)).collect()
}

async fn a_run_goes_into_a_file_and_the_journal_verifies_with_it_and_without(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    let before = journal.scan(1, 100).await.unwrap();
    let balance = journal.balance("x/y").await.unwrap();
    let of_a: Vec<Row> = before.iter().filter(|row| row.stream == run("a")).cloned().collect();

    let first = archive(&journal, &folder, &["a"], "first.jsonl").await;
    let text = std::fs::read_to_string(&first).unwrap();
    assert_eq!(text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap()).collect::<Vec<_>>(), of_a);
    assert_eq!(journal.head(&run("a")).await.unwrap(), None);
    assert!(journal.find_runs("default", "a").await.unwrap().is_empty());
    assert_eq!(journal.balance("x/y").await.unwrap(), balance, "what was spent stays spent");
    journal.check_budgets().await.unwrap();
    let told = journal.last().await.unwrap().unwrap();
    assert_eq!((told.kind.as_str(), told.stream.as_str()), ("run.archived", "operator"));

    let second = archive(&journal, &folder, &["b", "c"], "second.jsonl").await;
    let rows = journal.scan(1, 100).await.unwrap();
    assert!(rows.iter().all(|row| ["operator", "d"].contains(&row.stream.as_str())));
    let whole = before.len() as u64 + 3;
    for (archives, expected) in [
        (vec![], [("a", false), ("b", false), ("c", false)]),
        (vec![first.clone()], [("a", true), ("b", false), ("c", false)]),
        (vec![second.clone()], [("a", false), ("b", true), ("c", true)]),
        (vec![second.clone(), first.clone()], [("a", true), ("b", true), ("c", true)]),
    ] {
        let verified = verified(&journal, &archives).await.unwrap_or_else(|error| panic!("{archives:?}: {error}"));
        assert_eq!(checked(&verified), expected);
        assert_eq!((verified.last, verified.hash), (whole, rows.last().unwrap().hash));
        let there = if archives.len() == 2 { whole } else { verified.rows };
        assert!(verified.rows == there && verified.rows >= rows.len() as u64);
        assert_eq!(verified.archived[0].file, "first.jsonl");
        assert_eq!(verified.archived[0].head, of_a.last().unwrap().head());
    }

    // A run that is archived has no more rows, and what works goes on.
    for after in [None, Some(of_a.last().unwrap().seq)] {
        let refused = journal.append(Epoch(1), &run("a"), after, vec![given::thought("again")]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. } | StoreError::StaleHead { .. }), "{refused}");
    }
    append(&journal, "d", vec![given::settled("x/y", "d/1", 50), given::finished()]).await;
    verified(&journal, &[first, second]).await.unwrap();
    let (fit, stay) = journal.archivable(None, &[run("a")]).await.unwrap();
    assert!(fit.is_empty() && stay[0].why.contains("no such run"), "{stay:?}");
}

async fn a_file_that_is_not_what_the_journal_names_does_not_verify(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    let path = archive(&journal, &folder, &["a", "b"], "runs.jsonl").await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let swapped = [lines[1], lines[0]].into_iter().chain(lines[2..].iter().copied()).collect::<String>();
    for (what, changed, expected) in [
        ("a byte of a body", text.replacen("between", "betweem", 1), "was changed"),
        ("a space", text.replacen("\",\"seq\"", "\", \"seq\"", 1), "names no archive"),
        ("a row less", lines[..3].concat() + &lines[4..].concat(), ""),
        ("two rows swapped", swapped, ""),
        ("cut", text[..text.len() - 20].to_owned(), "it is cut"),
        ("a row more", text.clone() + lines.last().unwrap(), ""),
        ("nothing", String::new(), "names no archive"),
        ("garbage", "{}\n".to_owned(), "is no row"),
    ] {
        let changed_path = folder.path().join(what.replace(' ', "-"));
        std::fs::write(&changed_path, changed).unwrap();
        let refused = verified(&journal, std::slice::from_ref(&changed_path)).await.expect_err(what);
        assert!(refused.to_string().contains(expected), "{what}: {refused}");
    }
    let missing = verified(&journal, &[folder.path().join("no")]).await.unwrap_err();
    assert!(missing.to_string().contains("there is no such file"), "{missing}");
    let elsewhere = home.another().await;
    let another = interleaved(&elsewhere).await;
    append(&another, "operator", vec![given::limited("x/z", Some(1))]).await;
    let foreign = archive(&another, &folder, &["a"], "foreign.jsonl").await;
    let refused = verified(&journal, &[foreign]).await.unwrap_err();
    assert!(matches!(refused, VerifyError::Archive { .. }), "{refused}");
    verified(&journal, &[path]).await.unwrap();
}

/// What a run that is archived names is known from its file only.
async fn what_an_archived_run_names_stays_if_its_file_is_given(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    let artifacts = Artifacts::open(&folder.path().join("artifacts")).await.unwrap();
    let digest = artifacts.put(b"named by e".to_vec()).await.unwrap();
    append(&journal, "e", vec![given::started("default", "e"), given::thought(&digest.to_string()), given::finished()]).await;
    let path = archive(&journal, &folder, &["e"], "e.jsonl").await;
    // Everything is old, seen from tomorrow.
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    for (archives, unnamed, unread) in [(vec![path.clone()], 0, 0), (Vec::new(), 1, 1)] {
        let mut collection = Collection::of(&artifacts, tomorrow).await.unwrap();
        collection.look_through(&journal, &artifacts).await.unwrap();
        for path in &archives {
            collection.look_through_archive(path, &artifacts).await.unwrap();
        }
        assert_eq!(collection.unread_archives().count(), unread);
        assert_eq!(collection.end(&artifacts, true).await.unwrap().unnamed.len(), unnamed);
    }
    let mut collection = Collection::of(&artifacts, tomorrow).await.unwrap();
    collection.look_through(&journal, &artifacts).await.unwrap();
    std::fs::write(&path, "{}\n").unwrap();
    let refused = collection.look_through_archive(&path, &artifacts).await.unwrap_err();
    assert!(refused.to_string().contains("names no archive"), "{refused}");
}

async fn only_a_run_that_has_ended_and_settled_goes(home: Home) {
    let journal = interleaved(&home).await;
    append(&journal, "e", vec![given::started("default", "e"), given::reserved("x/y", "e/1", 1), given::finished()]).await;
    append(&journal, "f", vec![given::thought("no start"), given::finished()]).await;
    let named = ["d", "e", "f", "g", "operator"].map(run);
    let (fit, stay) = journal.archivable(None, &named).await.unwrap();
    assert!(fit.is_empty());
    let why = |name: &str| stay.iter().find(|stays| stays.run == run(name)).map_or("", |NotArchived { why, .. }| why.as_str());
    for (name, expected) in
        [("d", "not ended"), ("e", "e/1 is open"), ("f", "is no run"), ("g", "no such run"), ("operator", "no such run")]
    {
        assert!(why(name).contains(expected), "{name}: {stay:?}");
    }
    // By age: all that ended then have a time of 1970.
    let (fit, _) = journal.archivable(Some(Timestamp::UNIX_EPOCH), &[]).await.unwrap();
    assert!(fit.is_empty(), "a run that ended at the very time is not older");
    let later = Timestamp::from_second(1).unwrap();
    let (fit, stay) = journal.archivable(Some(later), &[]).await.unwrap();
    assert_eq!(fit.into_keys().collect::<Vec<_>>(), ["a", "b", "c"].map(run));
    assert_eq!(stay.len(), 3);
}

async fn nothing_is_removed_where_the_file_cannot_be_written(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    let rows = journal.scan(1, 100).await.unwrap();
    let (fit, _) = journal.archivable(None, &[run("a")]).await.unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "of another").unwrap();
    for path in [taken.as_path(), &folder.path().join("no/such/folder"), Path::new("/dev/full")] {
        let refused = journal.archive(&fit, path, "file", Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(matches!(refused, ArchiveError::File { .. }), "{}: {refused}", path.display());
    }
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "of another");
    if let Home::Postgres(_) = &home {
        // The operator's role.
        let writer = home.open().await;
        let refused = writer.archive(&fit, &folder.path().join("denied"), "file", Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(matches!(&refused, ArchiveError::Store(StoreError::Refused { why }) if why.contains("permission denied")), "{refused}");
        assert_eq!(writer.scan(1, 100).await.unwrap(), rows);
        writer.verify([]).await.unwrap();
    }
    // Rows that came since it was looked at are not in what was to be archived.
    append(&journal, "b", vec![given::thought("late")]).await;
    let (mut stale, _) = journal.archivable(None, &[run("c")]).await.unwrap();
    append(&journal, "c", vec![given::thought("late")]).await;
    let refused = journal.archive(&stale, &folder.path().join("stale"), "file", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::ReadBack(_)), "{refused}");
    stale.clear();
    assert!(journal.archive(&stale, &folder.path().join("empty"), "file", Timestamp::UNIX_EPOCH).await.unwrap().is_empty());
    assert_eq!(journal.scan(1, rows.len() as u32).await.unwrap(), rows);
    let draft = RowDraft { kind: "run.archived".to_owned(), body: "{}".to_owned(), ..given::thought("") };
    let refused = journal.append(Epoch(1), &Stream::operator(), Some(Seq(1)), vec![draft]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Malformed { .. }), "{refused}");
}

async fn no_row_goes_that_no_row_says_is_archived(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    archive(&journal, &folder, &["a"], "runs.jsonl").await;
    let head = journal.head(&run("b")).await.unwrap().unwrap();
    let told = journal.last().await.unwrap().unwrap();
    journal.close().await;
    let (seq, hash, gseq) = (head.seq.0, head.hash, told.gseq);
    for (expected, statement) in [
        ("never deleted", "DELETE FROM journal WHERE stream = 'b'".to_owned()),
        ("never deleted", format!("DELETE FROM journal WHERE gseq = {gseq}")),
        ("never deleted", "DELETE FROM budget_reservation WHERE key = 'd/1'".to_owned()),
        ("no row of the journal says", format!("INSERT INTO archived_run VALUES ('b', {seq}, '{hash}', {gseq})")),
        ("no row of the journal says", format!("INSERT INTO archived_run VALUES ('b', {seq}, '{hash}', 1)")),
        ("stays so", "DELETE FROM archived_run".to_owned()),
        ("stays so", "UPDATE archived_run SET stream = 'b'".to_owned()),
    ] {
        match home.sql(&statement).await {
            Ok(()) => panic!("accepted: {statement}"),
            Err(error) => assert!(error.to_string().contains(expected), "{statement}: {error}"),
        }
    }
    if let Home::Postgres(schema) = &home {
        for statement in ["DELETE FROM journal WHERE stream = 'a'", "INSERT INTO archived_run VALUES ('b', 1, 'x', 1)"] {
            let refused = schema.sql("journal_writer", statement).await.unwrap_err();
            assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        }
    }
}

/// Whoever holds the database takes more out than was archived, or says other than was.
async fn rows_that_are_missing_are_found_beside_runs_that_are_archived(home: Home) {
    let folder = given::directory();
    let journal = interleaved(&home).await;
    let first_of_b = journal.read(&run("b"), Seq(1), 1).await.unwrap()[0].gseq;
    let path = archive(&journal, &folder, &["a"], "runs.jsonl").await;
    journal.close().await;
    home.unguard().await;
    home.sql("DELETE FROM journal WHERE stream = 'b'").await.unwrap();
    let journal = home.open_read_only().await;
    for archives in [vec![], vec![path]] {
        let refused = verified(&journal, &archives).await.unwrap_err();
        let gap = matches!(&refused, VerifyError::Chain(ChainError::Gap { expected, .. }) if *expected == first_of_b);
        assert!(gap, "{refused}");
    }
}
