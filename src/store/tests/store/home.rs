//! Where a journal lies, so that a promise is tried on each kind of database.

use std::path::PathBuf;

use reeve_store::{Journal, MemoryDatabase};
use tempfile::TempDir;

use crate::given;

/// A place for one journal, and for nobody else's.
pub(crate) enum Home {
    Sqlite(TempDir),
    Memory(MemoryDatabase),
}

impl Home {
    pub(crate) async fn sqlite() -> Home {
        Home::Sqlite(given::directory())
    }

    pub(crate) async fn memory() -> Home {
        Home::Memory(MemoryDatabase::new())
    }

    /// Another place of the same kind, empty.
    pub(crate) async fn another(&self) -> Home {
        match self {
            Home::Sqlite(_) => Home::sqlite().await,
            Home::Memory(_) => Home::memory().await,
        }
    }

    /// The journal, made if there is none. In memory it is another process's: the first need not be closed.
    pub(crate) async fn open(&self) -> Journal {
        match self {
            Home::Sqlite(directory) => Journal::open(&given::path_in(directory)).await.unwrap(),
            Home::Memory(database) => database.open(),
        }
    }

    pub(crate) async fn open_read_only(&self) -> Journal {
        match self {
            Home::Sqlite(directory) => Journal::open_read_only(&given::path_in(directory)).await.unwrap(),
            Home::Memory(database) => database.open(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Home::Sqlite(directory) => given::path_in(directory),
            Home::Memory(_) => panic!("there is no file"),
        }
    }

    /// Runs SQL past the store, as someone who owns the database can.
    pub(crate) async fn sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        match self {
            Home::Sqlite(directory) => given::sql(&given::path_in(directory), statements).await,
            Home::Memory(_) => panic!("there is no way past the store"),
        }
    }
}

/// Tries each of these promises on every kind of database.
macro_rules! on_every_database {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test]
            async fn on_sqlite() {
                super::$promise($crate::home::Home::sqlite().await).await;
            }
            #[tokio::test]
            async fn in_memory() {
                super::$promise($crate::home::Home::memory().await).await;
            }
        })+
    };
}
pub(crate) use on_every_database;

/// Tries each of these promises on every kind of database that others can reach past the store.
macro_rules! on_stored_databases {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test]
            async fn on_sqlite() {
                super::$promise($crate::home::Home::sqlite().await).await;
            }
        })+
    };
}
pub(crate) use on_stored_databases;
