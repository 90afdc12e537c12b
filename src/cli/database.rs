//! `--database`: where a journal lies.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use reeve_store::Place;

use crate::exit::Failure;

/// The variable that says so too. A URL with a password belongs there: the arguments of a process are everyone's to read.
pub(crate) const VARIABLE: &str = "REEVE_DATABASE";

/// A value as it was given. It is taken as any text and read later: what clap says of a value that it does not take quotes it, and a URL may
/// hold a password.
#[derive(Clone)]
pub(crate) struct Unquoted(String);

impl FromStr for Unquoted {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Unquoted, Infallible> {
        Ok(Unquoted(text.to_owned()))
    }
}

impl fmt::Debug for Unquoted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Unquoted")
    }
}

impl Unquoted {
    /// The value of this flag, read. The error of `T` quotes nothing of it.
    pub(crate) fn read<T: FromStr<Err: fmt::Display>>(&self, flag: &str) -> Result<T, Failure> {
        self.0.parse().map_err(|error| Failure::unusable(format!("{flag}: {error}")))
    }
}

/// A FILE or a postgres:// URL.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseArgument(Unquoted);

impl FromStr for DatabaseArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<DatabaseArgument, Infallible> {
        text.parse().map(DatabaseArgument)
    }
}

impl DatabaseArgument {
    /// What [`VARIABLE`] says, where it says something.
    pub(crate) fn of_environment() -> Option<DatabaseArgument> {
        std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| DatabaseArgument(Unquoted(text)))
    }

    /// The place.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        self.0.read("--database")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_was_given_is_in_no_error_and_in_nothing_that_is_shown() {
        for given in ["postgres://reeve:hunter2@db:port/journal", "mysql://reeve:hunter2@db/journal"] {
            let argument: DatabaseArgument = given.parse().unwrap();
            let shown = format!("{:?} {argument:?}", argument.place().unwrap_err());
            assert!(shown.contains("expected a file") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
