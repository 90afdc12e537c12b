//! A PostgreSQL of this test's own: one server for all tests of the process, reached by a socket in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use reeve_store::{Journal, Place};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::process::Server;

/// Each test has pools of its own, and none is there for long.
const OPTIONS: [&str; 6] = ["-c", "max_connections=300", "-c", "shared_buffers=32MB", "-c", "autovacuum=off"];

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &OPTIONS));

/// A schema of one test: tables of one journal, owned by `journal_owner`, written by `journal_writer`.
pub(crate) struct Schema(String);

impl Schema {
    /// A schema that is empty.
    pub(crate) async fn empty() -> Schema {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("home_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        roles().await;
        let schema = Schema(name);
        superuser(&format!("CREATE SCHEMA {} AUTHORIZATION journal_owner", schema.0)).await;
        schema
    }

    /// One with a journal, without rows.
    pub(crate) async fn migrated() -> Schema {
        let schema = Schema::empty().await;
        let Place::Postgres(owner) = schema.place("journal_owner") else { panic!("a URL of PostgreSQL was expected") };
        Journal::migrate(&owner, Some("journal_writer")).await.unwrap();
        schema
    }

    /// The journal, as this role reaches it.
    pub(crate) fn place(&self, role: &str) -> Place {
        self.url(role).parse().unwrap()
    }

    pub(crate) fn url(&self, role: &str) -> String {
        SERVER.url(role, &self.0)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) async fn raw(&self, role: &str) -> PgConnection {
        PgConnection::connect(&self.url(role)).await.unwrap()
    }

    /// Runs SQL past the store, as this role.
    pub(crate) async fn sql(&self, role: &str, statements: &str) -> Result<(), sqlx::Error> {
        let mut connection = self.raw(role).await;
        let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await;
        connection.close().await.unwrap();
        done.map(drop)
    }
}

/// Where the server listens.
pub(crate) fn socket() -> PathBuf {
    SERVER.folder.join(".s.PGSQL.5432")
}

/// Runs SQL as who may do anything.
pub(crate) async fn superuser(statements: &str) {
    SERVER.superuser(statements).await;
}

async fn roles() {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let roles = "CREATE ROLE journal_owner LOGIN; CREATE ROLE journal_writer LOGIN; CREATE ROLE guarded LOGIN PASSWORD 'right';
        CREATE ROLE stranger LOGIN;";
    ONCE.get_or_init(async || superuser(roles).await).await;
}
