//! Someone lays hands on the journal, or the disk does.

use std::path::{Path, PathBuf};
use std::process::Command as HostCommand;

use reeve_api::{AgentRun, PolicySet};
use reeve_core::Digest;
use reeve_core::journal::Row;
use reeve_tests::{FakeModel, Gate, Start, World, call, deadline, finish, reeve};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A copy of the journal that belongs to whoever tampers with it: the triggers are gone.
async fn copy(world: &World, name: &str) -> (PathBuf, SqliteConnection) {
    let path = world.folder().join(name);
    std::fs::copy(world.database(), &path).unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let triggers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetch_all(&mut connection).await.unwrap();
    assert!(triggers.len() >= 5, "{triggers:?}");
    for trigger in triggers {
        run(&mut connection, &format!("DROP TRIGGER {trigger}")).await;
    }
    (path, connection)
}

async fn run(connection: &mut SqliteConnection, statement: &str) {
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// What `reeve journal verify` says of a file, and whether it says yes.
async fn verified(path: &Path, anchor: Option<&Path>) -> (bool, String) {
    let path = path.to_str().unwrap();
    let output = match anchor {
        None => reeve(["journal", "verify", "--database", path]).await,
        Some(anchor) => reeve(["journal", "verify", "--database", path, "--anchor", anchor.to_str().unwrap()]).await,
    };
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(2), "it could not be tried: {said}");
    (output.status.success(), said)
}

#[tokio::test]
async fn a_journal_that_was_tampered_with_does_not_verify_and_the_row_is_named() {
    World::scenario("tampered", async |world| {
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "a.txt", "content": "a\n"})),
            call("git.commit", json!({"message": "a"})),
            finish("Done."),
        ])
        .await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("honest", json!({})).await;
        let object = world.succeeded("honest").await;
        assert!(operator.stop().await.success());
        let rows = world.journal("honest").await;
        let result = rows.0.iter().find(|row| row.kind == "tool.result").unwrap().gseq;
        let last = rows.0.last().unwrap().gseq;
        let total = last;

        // Whoever owns the file changes a row and leaves its hash.
        let edits = [
            ("a byte of a body", format!("UPDATE journal SET body = replace(body, 'ok', 'no') WHERE gseq = {result}"), result),
            ("a time", format!("UPDATE journal SET time = replace(time, '20', '19') WHERE gseq = {result}"), result),
            ("an actor", format!("UPDATE journal SET actor = 'person:someone-else' WHERE gseq = {result}"), result),
            ("an epoch", format!("UPDATE journal SET epoch = epoch + 1 WHERE gseq = {result}"), result),
            ("a row deleted", format!("DELETE FROM journal WHERE gseq = {result}"), result),
        ];
        for (number, (what, statement, row)) in edits.iter().enumerate() {
            let (path, mut connection) = copy(world, &format!("edited-{number}.db")).await;
            run(&mut connection, statement).await;
            connection.close().await.unwrap();
            let (yes, said) = verified(&path, None).await;
            assert!(!yes && said.contains(&format!("row {row}")), "{what}: {said}");
        }

        // A row replaced with a right hash of its own: the next one does not follow it.
        let (path, mut connection) = copy(world, "replaced.db").await;
        let forged = forge(rows.0.iter().find(|row| row.gseq == result).unwrap(), None);
        run(
            &mut connection,
            &format!("UPDATE journal SET body = '{}', hash = '{}' WHERE gseq = {result}", forged.body.replace('\'', "''"), forged.hash),
        )
        .await;
        connection.close().await.unwrap();
        let (yes, said) = verified(&path, None).await;
        assert!(!yes && said.contains(&format!("row {}", result + 1)), "{said}");

        // The tail cut: whole in itself, and found by the head in the run's status.
        let anchor = anchor(world, &object).await;
        let (path, mut connection) = copy(world, "cut.db").await;
        run(&mut connection, &format!("DELETE FROM journal WHERE gseq > {}", total - 3)).await;
        connection.close().await.unwrap();
        assert!(verified(&path, None).await.0);
        let (yes, said) = verified(&path, Some(&anchor)).await;
        assert!(!yes && said.contains("anchored") && said.contains(rows.0[0].stream.as_str()), "{said}");

        // The whole chain written anew from the changed row on: found by what is signed in it.
        let export = String::from_utf8(reeve(["journal", "export", "--database", &world.database()]).await.stdout).unwrap();
        let all = export.lines().map(|line| serde_json::from_str::<Row>(line).unwrap());
        let (path, mut connection) = copy(world, "rewritten.db").await;
        rewrite(&mut connection, all.filter(|row| row.gseq >= result)).await;
        let (yes, said) = verified(&path, None).await;
        assert!(!yes && said.contains("rows were written anew"), "{said}");
        // And without what was signed after it: by the head in the run's status.
        run(&mut connection, &format!("DELETE FROM journal WHERE gseq > {last}")).await;
        connection.close().await.unwrap();
        let (yes, said) = verified(&path, Some(&anchor)).await;
        assert!(!yes && (said.contains("anchored") || said.contains("rows were written anew")), "{said}");

        let (yes, said) = verified(Path::new(&world.database()), Some(&anchor)).await;
        assert!(yes && said.contains("1 anchor met"), "the original: {said}");
    })
    .await;
}

/// The row with another body, and the hash that fits it.
fn forge(row: &Row, prev: Option<Digest>) -> Row {
    let mut forged = row.clone();
    if prev.is_none() {
        forged.body = forged.body.replacen("wrote", "never wrote", 1).replacen("\"content\":\"", "\"content\":\"forged ", 1);
        assert_ne!(forged.body, row.body);
    }
    forged.prev = prev.unwrap_or(row.prev);
    forged.hash = forged.computed_hash().unwrap();
    forged
}

/// Writes the chain anew from the first of these rows on.
async fn rewrite(connection: &mut SqliteConnection, rows: impl Iterator<Item = Row>) {
    let mut prev = None;
    for row in rows {
        let forged = forge(&row, prev);
        sqlx::query("UPDATE journal SET body = ?, prev = ?, hash = ? WHERE gseq = ?")
            .bind(&forged.body)
            .bind(forged.prev.to_string())
            .bind(forged.hash.to_string())
            .bind(i64::try_from(forged.gseq).unwrap())
            .execute(&mut *connection)
            .await
            .unwrap();
        prev = Some(forged.hash);
    }
}

/// The head in a run's status, as a person saves it.
async fn anchor(world: &World, run: &AgentRun) -> PathBuf {
    let head = run.status.as_ref().and_then(|status| status.journal.clone()).unwrap();
    let path = world.folder().join("heads.json");
    let heads = json!([{"stream": run.metadata.uid, "seq": head.seq, "hash": head.hash}]);
    std::fs::write(&path, heads.to_string()).unwrap();
    path
}

#[tokio::test]
async fn an_export_that_was_changed_does_not_verify() {
    World::scenario("export", async |world| {
        let model = FakeModel::playing([finish("Nothing to do.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("honest", json!({})).await;
        world.succeeded("honest").await;
        let export = String::from_utf8(reeve(["journal", "export", "--database", &world.database()]).await.stdout).unwrap();
        let line = export.lines().position(|line| line.contains("run.finished")).unwrap() + 1;
        let files = [
            ("whole", export.clone(), None),
            ("edited", export.replacen("Nothing to do", "Everything done", 1), Some("row")),
            ("cut", export[..export.len() - 10].to_owned(), Some("line")),
        ];
        for (name, text, found) in files {
            let path = world.folder().join(name);
            std::fs::write(&path, text).unwrap();
            let output = reeve(["journal", "verify", "--file", path.to_str().unwrap()]).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(i32::from(found.is_some())), "{name}: {said}");
            assert!(found.is_none_or(|word| said.contains(word)), "{name} (line {line}): {said}");
        }
    })
    .await;
}

/// A small file system of its own, taken away at the end.
struct Disk(PathBuf);

impl Disk {
    fn of_two_mebibytes(path: PathBuf) -> Disk {
        std::fs::create_dir(&path).unwrap();
        let mounted = HostCommand::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "reeve-test"]).arg(&path).status().unwrap();
        assert!(mounted.success(), "mounting a small disk needs root, as the local cluster does");
        Disk(path)
    }

    /// Takes the last byte.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = HostCommand::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A model that has one run write a file when the gate opens, and others do nothing.
pub(crate) async fn halted_by(gate: &Gate) -> FakeModel {
    let write = call("fs.write", json!({"path": "a.txt", "content": "a\n"})).held_by(gate);
    FakeModel::lanes([
        ("Halted", vec![write, call("git.commit", json!({"message": "a"})), finish("Done.")]),
        ("", vec![finish("Nothing to do.")]),
    ])
    .await
}

#[tokio::test]
async fn while_the_journal_cannot_be_written_nothing_happens_and_readiness_says_why() {
    World::scenario("unwritable", async |world| {
        let gate = Gate::default();
        let model = halted_by(&gate).await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("halted", json!({"objective": "Halted half-way."})).await;
        gate.reached().await;
        assert!(get(&operator.http, "/readyz").await.starts_with("HTTP/1.1 200"));

        // Someone else holds the database, as a backup that hangs would.
        let mut other = SqliteConnectOptions::new().filename(world.database()).connect().await.unwrap();
        run(&mut other, "BEGIN IMMEDIATE").await;
        gate.open();
        let message = world.run_is("halted", "JournalUnavailable").await;
        assert!(message.contains("locked") || message.contains("holds the log"), "{message}");
        let ready = get(&operator.http, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("journal"), "{ready}");
        assert!(!world.exec(&["ls", "/workspace"]).await.contains("a.txt"), "a tool ran whose intent is not journaled");
        world.run("waits", json!({})).await;
        let message = world.run_is("waits", "JournalUnavailable").await;
        assert!(message.contains("locked") || message.contains("holds the log"), "{message}");
        assert_eq!(world.jobs().await.len(), 1, "no sandbox is made whose intent is not journaled");

        run(&mut other, "ROLLBACK").await;
        other.close().await.unwrap();
        for name in ["halted", "waits"] {
            world.succeeded(name).await;
        }
        assert!(get(&operator.http, "/readyz").await.starts_with("HTTP/1.1 200"), "what can be journaled again, is done again");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    World::scenario("full", async |world| {
        let disk = Disk::of_two_mebibytes(world.folder().join("small"));
        let gate = Gate::default();
        let model = halted_by(&gate).await;
        world.agents_ask(&model).await;
        let _operator = world.operator_with(Start { data: Some(disk.0.clone()), ..Start::default() }).await;
        world.run("halted", json!({"objective": "Halted half-way."})).await;
        gate.reached().await;
        disk.fill();
        gate.open();
        let message = world.run_is("halted", "JournalUnavailable").await;
        assert!(message.contains("full") || message.contains("space"), "{message}");
        // It may find room in the log that the failed write gave back; then it goes on, and otherwise waits.
        world.run("waits", json!({})).await;

        disk.make_room();
        for name in ["halted", "waits"] {
            world.look_again::<AgentRun>(name).await;
            let ended = world.run_ended(name).await;
            assert!(ended.succeeded, "{name}: {}: {}", ended.reason, ended.message);
        }
        let (yes, said) = verified(&disk.0.join("journal.db"), None).await;
        assert!(yes, "{said}");
    })
    .await;
}

/// One HTTP request, as plainly as it goes.
pub(crate) async fn get(address: &str, path: &str) -> String {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(deadline(), asking).await.unwrap()
}

#[tokio::test]
async fn a_data_directory_that_is_none_ends_the_operator_with_the_reason() {
    World::scenario("no-data", async |world| {
        let file = world.folder().join("a-file");
        std::fs::write(&file, "this is no directory").unwrap();
        let operator = world.operator_with(Start { data: Some(file.clone()), ..Start::default() }).await;
        let status = operator.ended().await;
        assert!(!status.success());
        operator.says("a-file").await;

        let foreign = world.folder().join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("journal.db"), "this is no journal, but someone may want it").unwrap();
        let operator = world.operator_with(Start { data: Some(foreign.clone()), ..Start::default() }).await;
        assert!(!operator.ended().await.success());
        operator.says("no SQLite database").await;
        assert!(std::fs::read_to_string(foreign.join("journal.db")).unwrap().contains("someone may want it"), "it was not touched");
    })
    .await;
}

#[tokio::test]
async fn a_journal_has_one_writer() {
    World::scenario("one-writer", async |world| {
        let first = world.operator().await;
        let is_there = |set: &PolicySet| set.status.is_some();
        world.wait::<PolicySet>("default", "active", is_there).await;
        let second = world.operator_with(Start { identity: "second".to_owned(), ..Start::default() }).await;
        assert!(!second.ended().await.success());
        second.says("there can be one writer").await;
        assert!(first.stop().await.success());
    })
    .await;
}
