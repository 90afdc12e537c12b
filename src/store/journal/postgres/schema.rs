//! Bringing a database to the binary's schema, and refusing one that is not ours to touch or does not keep what it is given.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::DatabaseUrl;
use crate::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("./journal/postgres/migrations");

const READING: &str = "reading the journal's schema";
const MIGRATING: &str = "migrating the journal";

/// `COMMENT ON TABLE journal`, by which a journal of Reeve is told from another's table of that name.
const MARK: &str = "journal of Reeve";

/// What a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// No journal yet.
    Empty,
    /// A journal at this version, which the binary knows.
    Version(i64),
}

fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn failed(error: sqlx::Error) -> StoreError {
    super::unread(READING, &error)
}

fn unfit(url: &DatabaseUrl, why: impl Into<String>) -> StoreError {
    StoreError::Unfit { place: url.to_string(), why: why.into() }
}

/// Whether what the database says it has kept is kept.
pub(super) async fn fit(connection: &mut PgConnection, url: &DatabaseUrl) -> Result<(), StoreError> {
    let settings = "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_encoding')";
    let (fsync, pages, encoding): (String, String, String) = sqlx::query_as(settings).fetch_one(connection).await.map_err(failed)?;
    what_is_lost(&fsync, &pages, &encoding).map_or(Ok(()), |why| Err(unfit(url, why)))
}

/// What a server with these settings does not keep.
fn what_is_lost(fsync: &str, full_page_writes: &str, encoding: &str) -> Option<String> {
    if fsync != "on" || full_page_writes != "on" {
        return Some(format!(
            "the server runs with fsync {fsync} and full_page_writes {full_page_writes}, so rows are lost when its machine stops: set both on"
        ));
    }
    let why = || format!("its encoding is {encoding}, a journal needs UTF8: create the database with ENCODING 'UTF8'");
    (encoding != "UTF8").then(why)
}

/// Tells what the database is, and changes nothing.
pub(super) async fn inspect(connection: &mut PgConnection, url: &DatabaseUrl) -> Result<Schema, StoreError> {
    let tables = "SELECT to_regclass('journal') IS NOT NULL, to_regclass('_sqlx_migrations') IS NOT NULL,
        obj_description(to_regclass('journal'), 'pg_class')";
    let (journal, migrations, mark): (bool, bool, Option<String>) =
        sqlx::query_as(tables).fetch_one(&mut *connection).await.map_err(failed)?;
    let not_ours = |why: &str| Err(StoreError::NotAJournal { place: url.to_string(), why: why.to_owned() });
    if journal && mark.as_deref() != Some(MARK) {
        return not_ours("it has a table `journal` that is not Reeve's");
    }
    if !migrations {
        return if journal { not_ours("its table of migrations is gone") } else { Ok(Schema::Empty) };
    }
    let found: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(connection).await.map_err(failed)?;
    match (found, journal) {
        (None, false) => Ok(Schema::Empty),
        (Some(_), false) => not_ours("its table of migrations is another application's: give the journal a database of its own"),
        (found, true) => {
            let (found, known) = (found.unwrap_or(0), known());
            if found > known {
                return Err(StoreError::NewerSchema { place: url.to_string(), found, known });
            }
            Ok(Schema::Version(found))
        }
    }
}

/// Applies what is missing, where the URL's role owns the tables or may make them.
pub(super) async fn migrate_if_ours(connection: &mut PgConnection, url: &DatabaseUrl) -> Result<(), StoreError> {
    let how = "`reeve journal migrate` with a URL of the role that owns the tables, and --writer with this one's";
    let ours = match inspect(connection, url).await? {
        Schema::Version(version) if version == known() => return Ok(()),
        Schema::Version(_) => owns(connection).await?,
        Schema::Empty => {
            let may = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
            sqlx::query_scalar(may).fetch_one(&mut *connection).await.map_err(failed)?
        }
    };
    if !ours {
        return Err(unfit(url, format!("its tables are not there or older than this binary, and this role may not make them: run {how}")));
    }
    tracing::warn!(database = %url, "the operator's role owns the journal's tables: with two roles it could not drop what guards them ({how})");
    migrate(connection).await
}

async fn owns(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('journal')";
    sqlx::query_scalar(owns).fetch_one(connection).await.map_err(failed)
}

async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let failed = |error: sqlx::migrate::MigrateError| StoreError::Unavailable { doing: MIGRATING, why: error.to_string() };
    MIGRATIONS.run(connection).await.map_err(failed)
}

/// Whether the role can do all that the writer does. Better known at the start than at the first reservation.
pub(super) async fn may_write(connection: &mut PgConnection, url: &DatabaseUrl) -> Result<(), StoreError> {
    let may = "SELECT has_table_privilege('archived_run', 'SELECT') AND has_table_privilege('journal', 'SELECT') AND has_table_privilege('journal', 'INSERT')
        AND has_table_privilege('budget_account', 'SELECT') AND has_table_privilege('budget_account', 'INSERT')
        AND has_column_privilege('budget_account', 'used_tokens', 'UPDATE')
        AND has_table_privilege('budget_reservation', 'SELECT') AND has_table_privilege('budget_reservation', 'INSERT')
        AND has_column_privilege('budget_reservation', 'settled_gseq', 'UPDATE')";
    let may: bool = sqlx::query_scalar(may).fetch_one(connection).await.map_err(failed)?;
    if may {
        return Ok(());
    }
    Err(unfit(url, "this role may not insert into its tables: run `reeve journal migrate --writer ROLE` as the role that owns them"))
}

/// Brings the schema up to date as its owner, and gives `writer` what the operator needs and no more. Answers the version.
pub(in crate::journal) async fn migrate_for(url: &DatabaseUrl, writer: Option<&str>) -> Result<i64, StoreError> {
    let mut connection = super::connect(url, super::options(url)).await?;
    fit(&mut connection, url).await?;
    inspect(&mut connection, url).await?;
    migrate(&mut connection).await?;
    if let Some(writer) = writer {
        grant(&mut connection, url, writer).await?;
    }
    connection.close().await.map_err(|error| StoreError::of_postgres(MIGRATING, &error))?;
    Ok(known())
}

async fn grant(connection: &mut PgConnection, url: &DatabaseUrl, writer: &str) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| StoreError::of_postgres(MIGRATING, &error);
    let powerful: Option<bool> = sqlx::query_scalar(
        "SELECT rolsuper OR pg_has_role(oid, (SELECT relowner FROM pg_class WHERE oid = to_regclass('journal')), 'MEMBER')
        FROM pg_roles WHERE rolname = $1",
    )
    .bind(writer)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    match powerful {
        None => return Err(unfit(url, format!("it has no role {writer}: create it with a password of its own"))),
        Some(true) => return Err(unfit(url, format!("role {writer} can act as the owner of the tables: give the operator another"))),
        Some(false) => {}
    }
    let schema = "GRANT USAGE ON SCHEMA %2$I TO %1$I";
    let select = "GRANT SELECT ON journal, archived_run, budget_account, budget_reservation, _sqlx_migrations TO %1$I";
    let insert = "GRANT INSERT ON journal, budget_account, budget_reservation TO %1$I";
    let account = "GRANT UPDATE (limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
        used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
        reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms) ON budget_account TO %1$I";
    let reservation = "GRANT UPDATE (settled_gseq) ON budget_reservation TO %1$I";
    for grant in [schema, select, insert, account, reservation] {
        let quoted: String = sqlx::query_scalar("SELECT format($1, $2, current_schema())")
            .bind(grant)
            .bind(writer)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        sqlx::raw_sql(AssertSqlSafe(quoted)).execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::what_is_lost;

    #[test]
    fn a_server_that_does_not_keep_what_it_is_given_is_told_from_one_that_does() {
        assert_eq!(what_is_lost("on", "on", "UTF8"), None);
        for (fsync, pages, encoding, word) in
            [("off", "on", "UTF8", "fsync off"), ("on", "off", "UTF8", "full_page_writes off"), ("on", "on", "SQL_ASCII", "UTF8")]
        {
            assert!(what_is_lost(fsync, pages, encoding).is_some_and(|why| why.contains(word)), "{word}");
        }
    }
}
