//! Bringing a file to the binary's schema, and refusing one that is not ours to touch.

use std::path::Path;

use sqlx::SqliteConnection;
use sqlx::migrate::{MigrateError, Migrator};

use crate::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("./journal/sqlite/migrations");

/// `PRAGMA application_id` of a journal: "REEV".
const APPLICATION_ID: i64 = 0x5245_4556;

const READING: &str = "reading the journal's schema";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing yet.
    Empty,
    /// A journal at this version, which the binary knows.
    Version(i64),
}

/// Tells what the file is, and changes nothing.
pub(super) async fn inspect(connection: &mut SqliteConnection, path: &Path) -> Result<Schema, StoreError> {
    let failed = |error: sqlx::Error| StoreError::of_sqlite(READING, &error);
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    // A kill between sqlx's own table and the first migration leaves that table alone.
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut *connection).await.map_err(failed)?;
    if application == 0 && tables == 0 {
        return Ok(Schema::Empty);
    }
    if application != APPLICATION_ID {
        let why = format!("its application id is {application:#x}, a journal has {APPLICATION_ID:#x}");
        return Err(StoreError::NotAJournal { place: path.display().to_string(), why });
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await.map_err(failed)?;
    let found = found.unwrap_or(0);
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::NewerSchema { place: path.display().to_string(), found, known });
    }
    Ok(Schema::Version(found))
}

/// Applies what is missing.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const DOING: &str = "migrating the journal";
    MIGRATIONS.run(connection).await.map_err(|error| {
        // What the database says is classed as it is elsewhere: a damaged file is no trouble that passes.
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = &error {
            return StoreError::of_sqlite(DOING, error);
        }
        StoreError::Unavailable { doing: DOING, why: error.to_string() }
    })
}
