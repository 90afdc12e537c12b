use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::journal::{
    ChainError, Epoch, Event, ForkedFrom, Head, Row, RowDraft, SandboxAsked, SandboxReady, Seq, Stream, Verifier, WorkspaceLoaded,
};
use reeve_core::limits::SIGNED_WITHIN_ROWS;
use reeve_core::run::{NoFork, Withered};
use reeve_store::{Beside, ForkError, ForkPlace, Journal, VerifyError, verify_export_against, verify_links};
use tempfile::TempDir;

use crate::given;
use crate::home::{Home, on_every_database, on_stored_databases};

/// Rows of a run up to its workspace, which is where it can first be forked.
fn loaded(from: Option<ForkedFrom>) -> Vec<RowDraft> {
    let events = [
        Event::SandboxRequested(SandboxAsked { job: "fix".to_owned(), image: "reeve".to_owned() }),
        Event::SandboxReady(SandboxReady {
            job_uid: "j".to_owned(),
            pod_uid: "p".to_owned(),
            pod: "fix-0".to_owned(),
            image_id: String::new(),
        }),
        Event::WorkspaceRequested { digest: Digest::of(b"workspace") },
        Event::WorkspaceLoaded(WorkspaceLoaded {
            digest: Digest::of(b"workspace"),
            base_commit: "b".to_owned(),
            head_commit: "b".to_owned(),
            files: 1,
        }),
    ];
    let first = given::started_from("default", "fix", from);
    std::iter::once(first).chain(events.iter().map(given::operator)).collect()
}

/// A run `a` of five rows, each with one of another run after it.
async fn interleaved(journal: &Journal) -> Vec<Row> {
    let mut rows = Vec::new();
    for (draft, seq) in loaded(None).into_iter().zip(0u64..) {
        let after = (seq > 0).then_some(Seq(seq));
        rows.extend(journal.append(Epoch(1), &Stream::run("a"), after, vec![draft]).await.unwrap());
        journal.append(Epoch(1), &Stream::run("other"), after, vec![given::thought("between")]).await.unwrap();
    }
    rows
}

fn place(uid: &str, row: &Row) -> ForkPlace {
    ForkPlace { uid: uid.to_owned(), head: row.head() }
}

async fn a_run_is_forked_at_the_row_that_is_named_and_at_no_other(home: Home) {
    let journal = home.open().await;
    let rows = interleaved(&journal).await;
    let branch = journal.verified_branch(None, &place("a", &rows[4])).await.unwrap();
    assert_eq!((branch.from.seq, branch.from.hash, branch.from.kept_at), (Seq(5), rows[4].hash, Seq(5)));
    assert_eq!(branch, journal.branch(None, &place("a", &rows[4])).await.unwrap());
    let of = |uid: &str, seq: u64, hash: Digest| ForkPlace { uid: uid.to_owned(), head: Head { seq: Seq(seq), hash } };
    let hash = rows[4].hash;
    let refused = async |place: ForkPlace| journal.verified_branch(None, &place).await.unwrap_err();
    assert_eq!(refused(of("gone", 5, hash)).await, ForkError::NoRun { uid: "gone".to_owned() });
    assert_eq!(refused(of("other", 5, hash)).await, ForkError::NoRun { uid: "other".to_owned() }, "it does not begin as a run does");
    for seq in [0, 6, u64::MAX >> 1] {
        let found = refused(of("a", seq, hash)).await.to_string();
        assert!(found.contains("expected a row from 1 to 5 of run a") || seq == 0, "{found}");
    }
    let found = refused(of("a", 5, rows[3].hash)).await;
    assert!(matches!(found, ForkError::Other { seq: 5, .. }), "{found}");
    let found = refused(place("a", &rows[2])).await;
    assert_eq!(found, ForkError::NoFork { uid: "a".to_owned(), seq: 3, why: NoFork::NotBegun, before: None });
}

async fn a_fork_of_a_fork_has_the_rows_of_both(home: Home) {
    let journal = home.open().await;
    let rows = interleaved(&journal).await;
    let from = journal.branch(None, &place("a", &rows[4])).await.unwrap().from;
    let b = journal.append(Epoch(1), &Stream::run("b"), None, loaded(Some(from.clone()))).await.unwrap();
    let branch = journal.verified_branch(None, &place("b", &b[4])).await.unwrap();
    assert_eq!(branch.parent().and_then(|parent| parent.forked_from.clone()), Some(from));
    let verified = journal.verify([]).await.unwrap();
    assert_eq!((verified.links.met, verified.links.far.len(), verified.links.absent.len()), (1, 0, 0));
}

/// Whoever owns the database writes a row anew with a hash that fits it. Only the row after it, which is another run's, tells.
async fn a_row_that_was_written_anew_is_found_before_anything_goes_on_from_it(home: Home) {
    let journal = home.open().await;
    let rows = interleaved(&journal).await;
    let from = journal.branch(None, &place("a", &rows[4])).await.unwrap().from;
    let b = journal.append(Epoch(1), &Stream::run("b"), None, loaded(Some(from))).await.unwrap();
    journal.close().await;
    home.unguard().await;
    let mut forged = rows[2].clone();
    forged.body = forged.body.replace("fix-0", "fix-1");
    assert_ne!(forged.body, rows[2].body);
    home.sql_unchecked(&format!("UPDATE journal SET body = '{}' WHERE gseq = {}", forged.body, forged.gseq)).await;
    let journal = home.open_read_only().await;
    let found = journal.branch(None, &place("a", &rows[4])).await.unwrap_err();
    assert!(matches!(found, ForkError::Withered(Withered::Changed { seq: 3, .. })), "{found}");
    journal.close().await;
    forged.hash = forged.computed_hash().unwrap();
    home.sql_unchecked(&format!("UPDATE journal SET hash = '{}' WHERE gseq = {}", forged.hash, forged.gseq)).await;
    let journal = home.open_read_only().await;
    for place in [place("a", &rows[4]), place("b", &b[4])] {
        let found = journal.verified_branch(None, &place).await.unwrap_err();
        assert!(matches!(&found, ForkError::Chain(ChainError::Broken { gseq, .. }) if *gseq == forged.gseq + 1), "{found}");
    }
}

/// Longer ago than the verifier remembers: a database is asked, an export is read again.
#[tokio::test]
async fn a_fork_of_what_is_long_ago_is_compared_all_the_same() {
    let journal = Journal::in_memory();
    let rows = interleaved(&journal).await;
    let from = journal.branch(None, &place("a", &rows[4])).await.unwrap().from;
    // A stream's last row is remembered however old it is.
    journal.append(Epoch(1), &Stream::run("a"), Some(Seq(5)), vec![given::thought("later")]).await.unwrap();
    for at in (0..=SIGNED_WITHIN_ROWS).step_by(1024) {
        let drafts = (0..1024).map(|_| given::thought("between")).collect();
        let after = (at > 0).then_some(Seq(at as u64));
        journal.append(Epoch(1), &Stream::run("long"), after, drafts).await.unwrap();
    }
    let link = async |from: ForkedFrom, uid: &str| {
        journal.append(Epoch(1), &Stream::run(uid), None, loaded(Some(from))).await.unwrap();
        let mut export = Vec::new();
        journal.export(&mut export).await.unwrap();
        let read = verify_export_against(&export[..], Verifier::new([])).await.unwrap();
        assert!(read.links.far.iter().any(|link| link.fork == Stream::run(uid)), "{:?}", read.links);
        (journal.verify([]).await.map(|verified| verified.links), verify_links(&export[..], read).await.map(|verified| verified.links))
    };
    let (here, there) = link(from.clone(), "b").await;
    assert_eq!(here.as_ref().map(|links| (links.met, links.far.len())), Ok((1, 0)));
    assert_eq!(here, there);
    let (here, there) = link(ForkedFrom { hash: rows[3].hash, ..from }, "c").await;
    assert!(matches!(here, Err(VerifyError::Chain(ChainError::Fork { seq: 5, .. }))), "{here:?}");
    assert_eq!(here, there);
}

/// Run `a`, between whose rows stand those of `x` and `y`, which have ended; open to archive.
async fn beside_ended_runs(home: &Home) -> (Journal, Vec<Row>) {
    let journal = home.open().await;
    let mut rows = Vec::new();
    for (draft, seq) in loaded(None).into_iter().zip(0u64..) {
        let after = (seq > 0).then_some(Seq(seq));
        rows.extend(journal.append(Epoch(1), &Stream::run("a"), after, vec![draft]).await.unwrap());
        let ended = [(1, "x"), (2, "y")].into_iter().find(|(at, _)| *at == seq);
        if let Some((_, other)) = ended {
            let drafts = vec![given::started("default", other), given::finished()];
            journal.append(Epoch(1), &Stream::run(other), None, drafts).await.unwrap();
        }
    }
    journal.close().await;
    (home.open_to_archive().await, rows)
}

/// As before, with `a` ended too, and the place at which it can be forked.
async fn ended(home: &Home) -> (Journal, ForkedFrom) {
    let (journal, rows) = beside_ended_runs(home).await;
    let from = journal.branch(None, &place("a", &rows[4])).await.unwrap().from;
    journal.close().await;
    let journal = home.open().await;
    journal.append(Epoch(1), &Stream::run("a"), Some(Seq(5)), vec![given::finished()]).await.unwrap();
    journal.close().await;
    (home.open_to_archive().await, from)
}

async fn archive(journal: &Journal, folder: &TempDir, name: &str) {
    let (fit, stay) = journal.archivable(None, &[Stream::run(name)]).await.unwrap();
    assert_eq!((fit.len(), stay), (1, Vec::new()));
    journal.archive(&fit, &folder.path().join(name), name, Timestamp::UNIX_EPOCH).await.unwrap();
}

async fn a_fork_steps_over_rows_that_are_archived_and_over_no_others(home: Home) {
    let folder = given::directory();
    let (journal, rows) = beside_ended_runs(&home).await;
    let whole = journal.verified_branch(None, &place("a", &rows[4])).await.unwrap();
    archive(&journal, &folder, "x").await;
    assert_eq!(journal.verified_branch(None, &place("a", &rows[4])).await.unwrap(), whole);
    let first_of_y = journal.read(&Stream::run("y"), Seq(1), 1).await.unwrap()[0].gseq;
    journal.close().await;
    home.unguard().await;
    home.sql("DELETE FROM journal WHERE stream = 'y'").await.unwrap();
    let journal = home.open_read_only().await;
    let found = journal.verified_branch(None, &place("a", &rows[4])).await.unwrap_err();
    assert!(matches!(&found, ForkError::Chain(ChainError::Gap { expected, .. }) if *expected == first_of_y), "{found}");
}

/// What `run.archived` says must fit the rows beside the gap: else somebody has exchanged one of them.
async fn a_row_that_was_written_anew_beside_an_archived_run_is_found(home: Home) {
    let folder = given::directory();
    let (journal, rows) = beside_ended_runs(&home).await;
    archive(&journal, &folder, "x").await;
    journal.close().await;
    home.unguard().await;
    let mut forged = rows[1].clone();
    forged.body = forged.body.replace("fix", "mix");
    forged.hash = forged.computed_hash().unwrap();
    let set = format!("UPDATE journal SET body = '{}', hash = '{}' WHERE gseq = {}", forged.body, forged.hash, forged.gseq);
    home.sql_unchecked(&set).await;
    let journal = home.open_read_only().await;
    let found = journal.verified_branch(None, &place("a", &rows[4])).await.unwrap_err();
    assert!(matches!(&found, ForkError::Chain(ChainError::Gap { expected, .. }) if *expected == forged.gseq + 1), "{found}");
}

async fn a_run_stays_while_a_fork_of_it_stays(home: Home) {
    let folder = given::directory();
    let (journal, from) = ended(&home).await;
    journal.close().await;
    let journal = home.open().await;
    journal.append(Epoch(1), &Stream::run("b"), None, loaded(Some(from))).await.unwrap();
    journal.close().await;
    let journal = home.open_to_archive().await;
    let (fit, stay) = journal.archivable(None, &[Stream::run("a")]).await.unwrap();
    assert!(fit.is_empty() && stay.len() == 1 && stay[0].why.contains("run b goes on from it"), "{stay:?}");
    journal.close().await;
    let journal = home.open().await;
    journal.append(Epoch(1), &Stream::run("b"), Some(Seq(5)), vec![given::finished()]).await.unwrap();
    journal.close().await;
    let journal = home.open_to_archive().await;
    let (fit, stay) = journal.archivable(None, &[Stream::run("a"), Stream::run("b")]).await.unwrap();
    assert_eq!((fit.len(), stay), (2, Vec::new()));
    let file = folder.path().join("both");
    journal.archive(&fit, &file, "both", Timestamp::UNIX_EPOCH).await.unwrap();
    let beside = Beside { artifacts: None, archives: vec![file] };
    let verified = journal.verify_with(Verifier::new([]), &beside).await.unwrap();
    assert_eq!((verified.links.met, verified.archived.len()), (1, 2));
}

/// Whoever archives looked before the fork began: it is the tables that keep the two apart.
async fn a_run_stays_of_which_a_fork_began_since_it_was_looked_at(home: Home) {
    let folder = given::directory();
    let (journal, from) = ended(&home).await;
    let (fit, _) = journal.archivable(None, &[Stream::run("a")]).await.unwrap();
    let begins = loaded(Some(from)).remove(0);
    let last = journal.last().await.unwrap().unwrap();
    let fork = begins.place(Stream::run("b"), last.gseq + 1, Seq(1), Epoch(1), last.hash).unwrap();
    let insert = format!(
        "INSERT INTO journal VALUES ({}, 'b', 1, '{}', 1, '{}', '{}', '{}', '{}', '{}')",
        fork.gseq, fork.time, fork.kind, fork.actor, fork.body, fork.prev, fork.hash
    );
    home.sql(&insert).await.unwrap();
    let refused = journal.archive(&fit, &folder.path().join("a"), "a", Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(refused.to_string().contains("a run that stays goes on from it"), "{refused}");
    assert_eq!(journal.read(&Stream::run("a"), Seq(1), 100).await.unwrap().len(), 6, "nothing was removed");
}

async fn nothing_goes_on_from_a_run_that_was_archived_since_it_was_looked_at(home: Home) {
    let folder = given::directory();
    let (journal, from) = ended(&home).await;
    archive(&journal, &folder, "a").await;
    journal.close().await;
    let journal = home.open().await;
    let refused = journal.append(Epoch(1), &Stream::run("b"), None, loaded(Some(from))).await.unwrap_err();
    assert!(refused.to_string().contains("the run that it goes on from is archived"), "{refused}");
    assert_eq!(journal.head(&Stream::run("b")).await, Ok(None));
}

on_every_database!(a_run_is_forked_at_the_row_that_is_named_and_at_no_other, a_fork_of_a_fork_has_the_rows_of_both);

on_stored_databases!(
    a_row_that_was_written_anew_is_found_before_anything_goes_on_from_it,
    a_fork_steps_over_rows_that_are_archived_and_over_no_others,
    a_row_that_was_written_anew_beside_an_archived_run_is_found,
    a_run_stays_while_a_fork_of_it_stays,
    a_run_stays_of_which_a_fork_began_since_it_was_looked_at,
    nothing_goes_on_from_a_run_that_was_archived_since_it_was_looked_at,
);
