//! Where a journal lies, so that a promise is tried on each kind of database.

use std::path::PathBuf;

use reeve_store::{Journal, MemoryDatabase, Place};
use tempfile::TempDir;

use crate::given;
use crate::server::Schema;

/// A place for one journal, and for nobody else's.
pub(crate) enum Home {
    Sqlite(TempDir),
    Postgres(Schema),
    Memory(MemoryDatabase),
}

impl Home {
    pub(crate) async fn sqlite() -> Home {
        Home::Sqlite(given::directory())
    }

    pub(crate) async fn postgres() -> Home {
        Home::Postgres(Schema::migrated().await)
    }

    pub(crate) async fn memory() -> Home {
        Home::Memory(MemoryDatabase::new())
    }

    /// Another place of the same kind, empty.
    pub(crate) async fn another(&self) -> Home {
        match self {
            Home::Sqlite(_) => Home::sqlite().await,
            Home::Postgres(_) => Home::postgres().await,
            Home::Memory(_) => Home::memory().await,
        }
    }

    /// The journal, made if there is none. But for a file it is another process's: the first need not be closed.
    pub(crate) async fn open(&self) -> Journal {
        match self {
            Home::Memory(database) => database.open(),
            Home::Sqlite(_) | Home::Postgres(_) => given::opened(&self.place()).await.unwrap(),
        }
    }

    /// As who may archive: on PostgreSQL the role that owns the tables.
    pub(crate) async fn open_to_archive(&self) -> Journal {
        match self {
            Home::Postgres(schema) => Journal::open_at(&schema.place("journal_owner")).await.unwrap(),
            Home::Sqlite(_) | Home::Memory(_) => self.open().await,
        }
    }

    pub(crate) async fn open_read_only(&self) -> Journal {
        match self {
            Home::Memory(database) => database.open(),
            Home::Sqlite(_) | Home::Postgres(_) => Journal::open_read_only_at(&self.place()).await.unwrap(),
        }
    }

    /// As the operator has it.
    pub(crate) fn place(&self) -> Place {
        match self {
            Home::Sqlite(directory) => Place::File(given::path_in(directory)),
            Home::Postgres(schema) => schema.place("journal_writer"),
            Home::Memory(_) => panic!("it is nowhere"),
        }
    }

    /// As an operator in a process of its own has it.
    pub(crate) fn place_text(&self) -> String {
        match self {
            Home::Postgres(schema) => schema.url("journal_writer"),
            Home::Sqlite(_) | Home::Memory(_) => self.place().to_string(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Home::Sqlite(directory) => given::path_in(directory),
            Home::Postgres(_) | Home::Memory(_) => panic!("there is no file"),
        }
    }

    /// Runs SQL past the store, as someone who owns the database can.
    pub(crate) async fn sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        match self {
            Home::Sqlite(directory) => given::sql(&given::path_in(directory), statements).await,
            Home::Postgres(schema) => schema.sql("journal_owner", statements).await,
            Home::Memory(_) => panic!("there is no way past the store"),
        }
    }

    /// Takes away all that guards the tables, as someone who owns the database can.
    pub(crate) async fn unguard(&self) {
        let statements = match self {
            Home::Sqlite(_) => SQLITE_UNGUARDED,
            Home::Postgres(_) => POSTGRES_UNGUARDED,
            Home::Memory(_) => panic!("there is no way past the store"),
        };
        self.sql(statements).await.unwrap();
    }

    /// [`Home::sql`] without the checks that no owner of a SQLite file has to obey.
    pub(crate) async fn sql_unchecked(&self, statements: &str) {
        let checks = if matches!(self, Home::Sqlite(_)) { "PRAGMA ignore_check_constraints = ON;" } else { "" };
        self.sql(&format!("{checks} {statements}")).await.unwrap();
    }
}

const SQLITE_UNGUARDED: &str = "DROP TRIGGER journal_no_update; DROP TRIGGER journal_no_delete; DROP TRIGGER journal_gseq_is_next;
    DROP TRIGGER journal_seq_is_next; DROP TRIGGER journal_prev_is_last_hash; DROP TRIGGER journal_epoch_never_falls;
    DROP TRIGGER budget_account_stays; DROP TRIGGER budget_account_keeps_its_name; DROP TRIGGER budget_reservation_stays;
    DROP TRIGGER budget_reservation_is_settled_once; DROP TRIGGER budget_reservation_has_its_row;";

const POSTGRES_UNGUARDED: &str = "
    ALTER TABLE journal DISABLE TRIGGER USER;
    ALTER TABLE budget_account DISABLE TRIGGER USER;
    ALTER TABLE budget_reservation DISABLE TRIGGER USER;
    DO $$
    DECLARE of_table text; named text;
    BEGIN
        FOR of_table, named IN SELECT conrelid::regclass, conname FROM pg_constraint
            WHERE contype = 'c' AND connamespace = current_schema()::regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', of_table, named);
        END LOOP;
    END
    $$;";

/// Tries each of these promises on every kind of database.
macro_rules! on_every_database {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test]
            async fn on_sqlite() {
                super::$promise($crate::home::Home::sqlite().await).await;
            }
            #[tokio::test]
            async fn on_postgres() {
                super::$promise($crate::home::Home::postgres().await).await;
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
            #[tokio::test]
            async fn on_postgres() {
                super::$promise($crate::home::Home::postgres().await).await;
            }
        })+
    };
}
pub(crate) use on_stored_databases;
