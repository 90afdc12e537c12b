//! Journals in a PostgreSQL of the tests' own: one server for all tests of the process.

#[path = "../../src/store/tests/store/process.rs"]
mod process;

use std::sync::{Arc, LazyLock};

use tokio::sync::OnceCell;

use super::{random_name, reeve, repository};
use process::Server;

/// Owns the tables.
const OWNER: &str = "reeve_owner";
/// What an operator is.
const WRITER: &str = "reeve_writer";

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(&repository(), &[]));

/// A new journal, without rows; gives the URL by which an operator reaches it.
pub(crate) async fn journal() -> String {
    static ROLES: OnceCell<()> = OnceCell::const_new();
    let server = tokio::task::spawn_blocking(|| &*SERVER).await.unwrap();
    ROLES.get_or_init(async || roles(server).await).await;
    journal_of(server).await
}

async fn roles(server: &Server) {
    server.superuser(&format!("CREATE ROLE {OWNER} LOGIN; CREATE ROLE {WRITER} LOGIN")).await;
}

async fn journal_of(server: &Server) -> String {
    let schema = format!("world_{}", random_name());
    server.superuser(&format!("CREATE SCHEMA {schema} AUTHORIZATION {OWNER}")).await;
    let migrated = reeve(["journal", "migrate", "--database", &server.url(OWNER, &schema), "--writer", WRITER]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    server.url(WRITER, &schema)
}

/// A server of one test, which it may kill.
pub struct Database(Arc<Server>);

impl Database {
    /// Gives the URL of a journal on it, too.
    pub(crate) async fn with_a_journal() -> (Database, String) {
        let server = tokio::task::spawn_blocking(|| Server::start(&repository(), &[])).await.unwrap();
        roles(&server).await;
        let journal = journal_of(&server).await;
        (Database(Arc::new(server)), journal)
    }

    /// SIGKILL to all of its processes, at once.
    pub async fn kill9(&self) {
        self.does(Server::kill9).await;
    }

    /// It starts on what is on its disk.
    pub async fn starts_again(&self) {
        self.does(Server::start_again).await;
    }

    async fn does(&self, what: fn(&Server)) {
        let server = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || what(&server)).await.unwrap();
    }
}
