//! A PostgreSQL as a process of the test's own. The scenarios on a real cluster take this file in too (`tests/world/postgres.rs`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A server that ends when this process does, however it does: `hack/postgres` holds it.
pub(crate) struct Server {
    /// Where its socket is.
    pub(crate) folder: PathBuf,
    /// Closed when this process ends: what the supervisor waits for.
    supervisor: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _supervisor: Child,
}

impl Server {
    /// Starts one in a folder of its own, with these options of `postgres`.
    pub(crate) fn start(repository: &Path, options: &[&str]) -> Server {
        let folder = tempfile::Builder::new().prefix("reeve-postgres-").tempdir().unwrap().keep();
        let mut command = Command::new(repository.join("hack/postgres"));
        let mut supervisor = command.arg(&folder).args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pipes = (supervisor.stdin.take().unwrap(), BufReader::new(supervisor.stdout.take().unwrap()));
        let server = Server { folder, supervisor: Mutex::new(pipes), _supervisor: supervisor };
        server.says("ready");
        server
    }

    fn says(&self, word: &str) {
        let mut said = String::new();
        self.supervisor.lock().unwrap().1.read_line(&mut said).unwrap();
        assert_eq!(said.trim(), word, "PostgreSQL did not obey: what it says is above");
    }

    fn told(&self, word: &str) {
        writeln!(self.supervisor.lock().unwrap().0, "{word}").unwrap();
    }

    /// Ends all of its processes at once, by SIGKILL.
    pub(crate) fn kill9(&self) {
        self.told("kill");
        self.says("killed");
    }

    /// Starts it again on what is on its disk.
    pub(crate) fn start_again(&self) {
        self.told("start");
        self.says("ready");
    }

    /// How this role reaches this schema.
    pub(crate) fn url(&self, role: &str, schema: &str) -> String {
        let socket = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://{role}@{socket}/postgres?options=-csearch_path%3D{schema}")
    }

    /// Runs SQL as who may do anything.
    pub(crate) async fn superuser(&self, statements: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres", "public")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
