//! `reeve journal migrate`.

use clap::Args;
use reeve_store::{Journal, Place};

use super::of_store;
use crate::database::DatabaseArgument;
use crate::exit::Failure;
use crate::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  # Two roles, made by whoever administers the server
  psql -c \"CREATE ROLE reeve_owner LOGIN PASSWORD '...'\" -c \"CREATE ROLE reeve LOGIN PASSWORD '...'\"
  psql -c \"CREATE DATABASE journal OWNER reeve_owner ENCODING 'UTF8' TEMPLATE template0\"

  # The tables are the owner's; the operator's URL is that of the other role
  REEVE_DATABASE='postgres://reeve_owner:...@db/journal?sslmode=verify-full' reeve journal migrate --writer reeve";

/// Brings a PostgreSQL journal to this binary's schema.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// The database, as the role that owns its tables or is to own them. A URL with a password is better given as REEVE_DATABASE
    #[arg(long, value_name = "URL")]
    database: Option<DatabaseArgument>,
    /// Role of the operator: it may insert and select, and update the sums of budgets, and nothing else
    #[arg(long, value_name = "ROLE")]
    writer: Option<String>,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let given = self.database.or_else(DatabaseArgument::of_environment);
        let given = given.ok_or_else(|| Failure::unusable("expected --database URL or REEVE_DATABASE"))?;
        let url = match given.place()? {
            Place::Postgres(url) => url,
            Place::File(path) => {
                let why = "expected a postgres:// URL: a SQLite file is brought up to date by the operator that opens it";
                return Err(Failure::unusable(format!("{}: {why}", path.display())));
            }
        };
        let version = Journal::migrate(&url, self.writer.as_deref()).await.map_err(of_store)?;
        let writer = self.writer.map_or_else(String::new, |writer| format!(", written by {writer}"));
        output::line(&format!("{url} has schema version {version}{writer}"))
    }
}
