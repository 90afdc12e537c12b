//! What can go wrong in the operator, and what then happens.

use reeve_core::class::Class;
use reeve_store::StoreError;

use crate::cluster::{LeaseError, WriteError, classify};

/// An error of the operator, classed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("Kubernetes API: {0}")]
    Api(#[from] kube::Error),
    /// The journal or the artifacts.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A write to the API server.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The Lease.
    #[error("{0}")]
    Lease(#[from] LeaseError),
    /// This process is no longer the leader, or is ending.
    #[error("stopping: {0}")]
    Stopping(&'static str),
    /// Another operator has taken over: the sandbox or the journal has seen its epoch.
    #[error("fenced: {0}")]
    Fenced(String),
    /// An object that is not of its kind's form: an older CRD let it in.
    #[error("it cannot be read as its kind: {0}. Bring the CRDs up to date, then mend or delete it")]
    Unreadable(String),
    /// The stream to a sandbox was cut at a moment after which only a new attempt at the run knows more.
    #[error("{0}")]
    Cut(&'static str),
    /// The API server did not answer what a step needs.
    #[error("{0}")]
    Unanswered(String),
    /// Nothing proves votes, so nobody is asked for one.
    #[error("admission does not prove votes: {0}. Bring the chart's admission policies back; nobody is asked before")]
    AdmissionNotInForce(String),
    /// It does not fit the budget. Nothing was journaled of what was to follow.
    #[error("{0}")]
    Exceeded(reeve_core::budget::Exceeded),
    /// A run's journal has fewer rows than its status says.
    #[error("{0}")]
    JournalLost(String),
    /// An event is larger than a journal row may be. Nothing of it was taken in.
    #[error("a {kind} of {bytes} bytes does not fit the journal; the most is {most}")]
    TooLarge {
        /// Kind of the event.
        kind: &'static str,
        /// Size of its body.
        bytes: usize,
        /// The most that it may have.
        most: usize,
    },
    /// Configuration that cannot work.
    #[error("{0}")]
    Config(String),
    /// A bug of Reeve.
    #[error("a bug of Reeve: {0}")]
    Bug(String),
}

impl Error {
    /// A bug, contained.
    pub(crate) fn bug(what: impl Into<String>) -> Error {
        Error::Bug(what.into())
    }

    /// What is to be done about it.
    pub fn class(&self) -> Class {
        match self {
            Error::Api(error) => classify(error),
            Error::Write(error) => error.class(),
            Error::Lease(error) => error.class(),
            Error::Store(error) => error.class(),
            Error::Config(_) | Error::Unreadable(_) | Error::TooLarge { .. } | Error::JournalLost(_) => Class::Invalid,
            Error::Stopping(_) | Error::Cut(_) | Error::Unanswered(_) | Error::AdmissionNotInForce(_) => Class::Transient,
            Error::Exceeded(_) => Class::Throttled,
            Error::Fenced(_) => Class::Conflict,
            Error::Bug(_) => Class::Bug,
        }
    }

    /// Whether this process must stop acting at once.
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(self, Error::Fenced(_) | Error::Store(StoreError::Fenced { .. }))
    }
}
