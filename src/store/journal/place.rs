//! Where a journal lies, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// Where a journal lies: a SQLite file, or a PostgreSQL database.
///
/// Reads back from a path or a `postgres://` URL. Shows itself without the URL's password, however it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file on a local disk: one process writes it.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(DatabaseUrl),
}

/// A `postgres://` URL, which may hold a password.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    options: Box<PgConnectOptions>,
}

/// Why a text is no [`Place`]. It repeats nothing of a URL: what is in it could be a password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a file, or postgres://USER:PASSWORD@HOST:PORT/DATABASE (with a password's special characters as %XX): {why}")]
pub struct InvalidPlace {
    why: String,
}

/// What may follow the `?` of a URL. Any other is refused: sqlx would only log it, and its value with it.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

impl DatabaseUrl {
    /// What of it must not be shown anywhere: its password, as it stands in the URL.
    pub fn password(&self) -> Option<&str> {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let user = authority.split('/').next().unwrap_or_default().rsplit_once('@').map_or("", |(user, _)| user);
        let named = query.split('&').find_map(|parameter| parameter.strip_prefix("password="));
        named.or_else(|| user.split_once(':').map(|(_, password)| password)).filter(|password| !password.is_empty())
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &DatabaseUrl) -> bool {
        self.text == other.text
    }
}

impl Eq for DatabaseUrl {}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Without the password, and without what else was asked of the server.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, port) = (self.options.get_username(), self.options.get_port());
        let database = self.options.get_database().unwrap_or(user);
        match self.options.get_socket() {
            Some(socket) => write!(formatter, "postgres://{user}@/{database}?host={}&port={port}", socket.display()),
            None => write!(formatter, "postgres://{user}@{}:{port}/{database}", self.options.get_host()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(formatter),
            Place::Postgres(url) => url.fmt(formatter),
        }
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Place, InvalidPlace> {
        let invalid = |why: &str| InvalidPlace { why: why.to_owned() };
        match text.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => Ok(Place::Postgres(url(text, rest)?)),
            Some(_) => Err(invalid("it is a URL of something else")),
            None if text.is_empty() => Err(invalid("it is empty")),
            None => Ok(Place::File(PathBuf::from(text))),
        }
    }
}

fn url(text: &str, rest: &str) -> Result<DatabaseUrl, InvalidPlace> {
    if rest.contains('#') {
        // Everything behind it would be dropped without a word.
        return Err(InvalidPlace { why: "it has a `#`, which a password has as %23".to_owned() });
    }
    for parameter in rest.split_once('?').map_or("", |(_, query)| query).split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&name) {
            return Err(InvalidPlace { why: format!("of parameters it knows {}", PARAMETERS.join(", ")) });
        }
    }
    // What sqlx says of a URL may quote it.
    let options = text.parse().map_err(|_| InvalidPlace { why: "it is no such URL".to_owned() })?;
    Ok(DatabaseUrl { text: text.to_owned(), options: Box::new(options) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_password_of_a_url_is_known_to_who_hides_it() {
        for (text, expected) in [
            ("postgres://reeve:hunter2%40@db.example:5432/journal?sslmode=require", Some("hunter2%40")),
            ("postgres://db.example/journal?user=reeve&password=hunter2", Some("hunter2")),
            ("postgres://reeve:@db.example/journal", None),
            ("postgres://reeve@db.example/a:b@c", None),
        ] {
            let Place::Postgres(url) = text.parse().unwrap() else { panic!("{text}") };
            assert_eq!(url.password(), expected, "{text}");
        }
    }

    const CANARY: &str = "hunter2";

    #[test]
    fn a_file_or_a_url_is_read_and_shown() {
        assert_eq!("/var/lib/reeve/journal.db".parse(), Ok(Place::File(PathBuf::from("/var/lib/reeve/journal.db"))));
        for (text, shown) in [
            ("postgres://reeve:hunter2@db:6432/journal?sslmode=require", "postgres://reeve@db:6432/journal"),
            ("postgresql://reeve:hunter2@db:5432/", "postgres://reeve@db:5432/reeve"),
            ("postgres://reeve@%2Frun%2Fpg:5432/j?password=hunter2", "postgres://reeve@/j?host=/run/pg&port=5432"),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), shown);
        }
    }

    #[test]
    fn no_password_is_shown_whatever_is_wrong_with_the_url() {
        let good: Place = "postgres://reeve:hunter2@db/journal?password=hunter2".parse().unwrap();
        assert!(!format!("{good} {good:?} {good:#?}").contains(CANARY));
        for bad in [
            "postgres://reeve:hunter2@db:port/journal",
            "postgres://reeve:hunter2@db/journal?passwd=hunter2",
            "postgres://reeve:hunter2@db/journal?hunter2",
            "postgres://reeve:hunter2@db/journal?sslmode=hunter2",
            "postgres://reeve:pass#hunter2@db/journal",
            "postgres://reeve:hunter2 @[db/journal",
            "mysql://reeve:hunter2@db/journal",
            "",
        ] {
            let refused = bad.parse::<Place>().unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains(CANARY), "{refused}");
        }
    }
}
