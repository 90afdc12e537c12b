//! Journals in a PostgreSQL of the tests' own: one server for all tests of the process.

#[path = "../../src/store/tests/store/process.rs"]
mod process;

use std::sync::LazyLock;

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
    ROLES.get_or_init(async || server.superuser(&format!("CREATE ROLE {OWNER} LOGIN; CREATE ROLE {WRITER} LOGIN")).await).await;
    let schema = format!("world_{}", random_name());
    server.superuser(&format!("CREATE SCHEMA {schema} AUTHORIZATION {OWNER}")).await;
    let migrated = reeve(["journal", "migrate", "--database", &server.url(OWNER, &schema), "--writer", WRITER]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    server.url(WRITER, &schema)
}
