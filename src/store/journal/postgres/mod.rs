//! The journal in a PostgreSQL database: more than one operator may have it open, one transaction at a time writes.
//!
//! What keeps two live operators apart: each transaction takes one lock before it inserts, what was read before it is judged by the keys,
//! and a row under a lower epoch is refused, here and by a trigger.

mod read;
mod schema;
mod write;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool};

use super::place::DatabaseUrl;
use crate::StoreError;
use schema::Schema;
use write::Writer;

pub(super) use schema::migrate_for;

/// Connections that read: a handful of reconcilers, and a verify.
const READERS: u32 = 4;

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);

/// The database, to read.
#[derive(Clone)]
pub(super) struct Postgres {
    place: Arc<str>,
    reads: PgPool,
}

/// Without the pool, whose options hold the password.
impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Postgres").field(&self.place).finish()
    }
}

/// Opens the database to write. Makes the tables, or brings them up to date, where the URL's role may.
pub(super) async fn open(url: &DatabaseUrl) -> Result<(impl super::writer::Database + use<>, Postgres), StoreError> {
    let mut connection = write::connect(url).await?;
    schema::fit(&mut connection, url).await?;
    schema::migrate_if_ours(&mut connection, url).await?;
    schema::may_write(&mut connection, url).await?;
    Ok((Writer::new(url.clone(), connection), Postgres::new(url)))
}

/// Opens the database to read, whoever writes it.
pub(super) async fn open_read_only(url: &DatabaseUrl) -> Result<Postgres, StoreError> {
    let mut connection = connect(url, options(url)).await?;
    match schema::inspect(&mut connection, url).await? {
        Schema::Version(_) => Ok(Postgres::new(url)),
        Schema::Empty => Err(StoreError::NotAJournal { place: url.to_string(), why: "it has no tables".to_owned() }),
    }
}

impl Postgres {
    fn new(url: &DatabaseUrl) -> Postgres {
        let pool = PgPoolOptions::new().max_connections(READERS).acquire_timeout(CONNECTING);
        Postgres { place: url.to_string().into(), reads: pool.connect_lazy_with(options(url)) }
    }
}

/// A statement that hangs is ended by the server, not by whoever waits for it.
fn options(url: &DatabaseUrl) -> PgConnectOptions {
    let options = url.options().clone().disable_statement_logging();
    let name = options.get_application_name().unwrap_or("reeve").to_owned();
    options.application_name(&name).options([("statement_timeout", "10min"), ("jit", "off")])
}

async fn connect(url: &DatabaseUrl, options: PgConnectOptions) -> Result<PgConnection, StoreError> {
    let unreachable = |why: String| StoreError::Unavailable { doing: "opening the journal's database", why: format!("{url}: {why}") };
    match tokio::time::timeout(CONNECTING, options.connect()).await {
        Ok(connected) => connected.map_err(|error| unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no connection within {} s", CONNECTING.as_secs()))),
    }
}

/// What this error means while `doing` something that reads. What stands in the database and cannot be read was not put there by Reeve.
fn unread(doing: &'static str, error: &sqlx::Error) -> StoreError {
    let error = StoreError::of_postgres(doing, error);
    if let StoreError::Refused { why } = error { StoreError::Damaged { why } } else { error }
}
