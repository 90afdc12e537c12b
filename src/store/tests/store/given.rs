//! Journals and rows to try things on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::budget::{Amounts, Limits};
use reeve_core::journal::{
    Actor, ApprovalTerms, BudgetLimited, BudgetReserved, BudgetSettled, Epoch, Event, ForkedFrom, PackedWorkspace, Row, RowDraft,
    RunFinished, RunLimits, RunStarted, SandboxShape, Seq, SpecSnapshot, Stream,
};
use reeve_core::run::EndReason;
use reeve_core::tool::{Role, wire};
use reeve_store::{Journal, Place, StoreError};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::home::Home;

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn path_in(directory: &TempDir) -> PathBuf {
    directory.path().join("journal.db")
}

/// A closed journal of five rows: `operator` 1, `a` 1 to 3, `b` 1; epochs 1, 1, 2, 2, 2.
pub(crate) async fn five_rows(home: &Home) -> Vec<Row> {
    let journal = home.open().await;
    let (a, b) = (Stream::run("a"), Stream::run("b"));
    let mut rows = journal.append(Epoch(1), &Stream::operator(), None, vec![thought("one")]).await.unwrap();
    rows.extend(journal.append(Epoch(1), &a, None, vec![started("default", "fix")]).await.unwrap());
    rows.extend(journal.append(Epoch(2), &a, Some(Seq(1)), vec![thought("three"), thought("four")]).await.unwrap());
    rows.extend(journal.append(Epoch(2), &b, None, vec![thought("five")]).await.unwrap());
    journal.close().await;
    rows
}

pub(crate) fn thought(text: &str) -> RowDraft {
    RowDraft::of(&Event::ThoughtSummary { text: text.to_owned() }, &Actor::Model, Timestamp::UNIX_EPOCH).unwrap()
}

pub(crate) fn started(namespace: &str, name: &str) -> RowDraft {
    started_from(namespace, name, None)
}

pub(crate) fn started_from(namespace: &str, name: &str, forked_from: Option<ForkedFrom>) -> RowDraft {
    let spec = SpecSnapshot {
        role: Role::Coder,
        objective: "fix it".to_owned(),
        task: None,
        autonomy: 2,
        system_prompt: String::new(),
        profile_digest: Digest::of(b"profile"),
        routes: Vec::new(),
        prices: Vec::new(),
        budget: None,
        approval: ApprovalTerms::default(),
        merge: None,
        max_output_tokens: 1000,
        tools: Vec::new(),
        commands: Vec::new(),
        workspace: PackedWorkspace { digest: Digest::of(b"workspace"), packing: wire::Packing::TarGz, strip_components: 0 },
        sandbox: SandboxShape {
            image: "reeve".to_owned(),
            cpu: "1".to_owned(),
            memory: "1Gi".to_owned(),
            workspace: "1Gi".to_owned(),
            runtime_class: None,
        },
        limits: RunLimits { steps: 1, seconds: 1, tool_calls: 1, output_bytes: 1 },
        keeps_commits: false,
    };
    let body = RunStarted { namespace: namespace.to_owned(), name: name.to_owned(), requested_by: "alice".to_owned(), spec, forked_from };
    RowDraft::of(&Event::RunStarted(Box::new(body)), &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap()
}

pub(crate) fn finished() -> RowDraft {
    let body = RunFinished {
        succeeded: true,
        reason: EndReason::Finished,
        message: "Done.".to_owned(),
        tasks: Vec::new(),
        at: Timestamp::UNIX_EPOCH,
    };
    operator(&Event::RunFinished(body))
}

pub(crate) fn tokens(n: u64) -> Amounts {
    Amounts { tokens: n, ..Amounts::default() }
}

pub(crate) fn reserved(account: &str, key: &str, n: u64) -> RowDraft {
    reserved_amounts(account, key, tokens(n))
}

pub(crate) fn reserved_amounts(account: &str, key: &str, amounts: Amounts) -> RowDraft {
    operator(&Event::BudgetReserved(BudgetReserved { account: account.to_owned(), key: key.to_owned(), amounts }))
}

pub(crate) fn settled(account: &str, key: &str, n: u64) -> RowDraft {
    settled_amounts(account, key, tokens(n))
}

pub(crate) fn settled_amounts(account: &str, key: &str, used: Amounts) -> RowDraft {
    operator(&Event::BudgetSettled(BudgetSettled { account: account.to_owned(), key: key.to_owned(), used, in_full: false }))
}

/// A limit of tokens alone.
pub(crate) fn limited(account: &str, limit: Option<u64>) -> RowDraft {
    limited_by(account, limit.map(|limit| Limits { tokens: Some(limit), ..Limits::default() }))
}

pub(crate) fn limited_by(account: &str, limits: Option<Limits>) -> RowDraft {
    operator(&Event::BudgetLimited(BudgetLimited { account: account.to_owned(), uid: "u".to_owned(), generation: 1, limits }))
}

pub(crate) fn operator(event: &Event) -> RowDraft {
    RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap()
}

/// Makes a file what the first release left: SQL.
pub(crate) const WITHOUT_BUDGETS: &str = "DROP TRIGGER journal_fork_has_its_parent; DROP INDEX journal_forks;
    DROP TRIGGER journal_run_is_archived; DROP TRIGGER journal_no_delete; DROP TABLE archived_run;
    CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'journal: rows are never deleted'); END;
    DROP TABLE budget_reservation; DROP TABLE budget_account; DELETE FROM _sqlx_migrations WHERE version > 1;";

/// Opens a journal that this process has closed.
pub(crate) async fn opened(place: &Place) -> Result<Journal, StoreError> {
    let began = Instant::now();
    loop {
        match Journal::open_at(place).await {
            // Another test starts a child: between fork and exec that one holds a copy of each lock of this process.
            Err(StoreError::InUse { .. }) if began.elapsed() < Duration::from_secs(60) => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}

/// Runs SQL past the store, as someone who owns the file can.
pub(crate) async fn sql(path: &Path, statements: &str) -> Result<(), sqlx::Error> {
    let mut connection = raw(path).await;
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await;
    connection.close().await.unwrap();
    done.map(drop)
}

pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

/// This test binary again, as a child that runs one test and finds the place in its environment.
pub(crate) fn child(test: &str, place: &str) -> Command {
    let mut command = Command::new("sh");
    // A write past the file size limit is to fail, not to kill.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, place);
    command
}

/// The place, when this process is such a child.
pub(crate) fn is_child() -> Option<Place> {
    std::env::var(CHILD).ok().map(|place| place.parse().unwrap())
}

const CHILD: &str = "REEVE_STORE_TEST_CHILD";
