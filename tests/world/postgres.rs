//! Journals in a PostgreSQL of the tests' own: one server for all tests of the process.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

use super::{random_name, reeve, repository};

/// Owns the tables.
const OWNER: &str = "reeve_owner";
/// What an operator is.
const WRITER: &str = "reeve_writer";

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

struct Server {
    folder: PathBuf,
    /// Closed when this process ends: what the supervisor waits for.
    _alive: ChildStdin,
    _supervisor: Child,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::Builder::new().prefix("reeve-postgres-").tempdir().unwrap().keep();
        let mut command = Command::new(repository().join("hack/postgres"));
        let mut supervisor = command.arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "PostgreSQL did not start: what it says is above");
        Server { folder, _alive: supervisor.stdin.take().unwrap(), _supervisor: supervisor }
    }

    fn url(&self, role: &str, schema: &str) -> String {
        let socket = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://{role}@{socket}/postgres?options=-csearch_path%3D{schema}")
    }
}

/// A new journal, without rows; gives the URL by which an operator reaches it.
pub(crate) async fn journal() -> String {
    static ROLES: OnceCell<()> = OnceCell::const_new();
    let server = tokio::task::spawn_blocking(|| &*SERVER).await.unwrap();
    ROLES.get_or_init(async || superuser(server, &format!("CREATE ROLE {OWNER} LOGIN; CREATE ROLE {WRITER} LOGIN")).await).await;
    let schema = format!("world_{}", random_name());
    superuser(server, &format!("CREATE SCHEMA {schema} AUTHORIZATION {OWNER}")).await;
    let migrated = reeve(["journal", "migrate", "--database", &server.url(OWNER, &schema), "--writer", WRITER]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    server.url(WRITER, &schema)
}

async fn superuser(server: &Server, statements: &str) {
    let mut connection = PgConnection::connect(&server.url("postgres", "public")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
