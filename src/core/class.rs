//! What kind of trouble an error is, so that one table can say what to do about it.

/// The class of an error; each boundary's error enum has `fn class(&self) -> Class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Cannot succeed as it stands: a person must change something. Trying again is no use.
    Invalid,
    /// Someone else was first: read again, and decide anew.
    Conflict,
    /// Asked to wait: the same request may succeed later, not sooner.
    Throttled,
    /// The world was in the way: the same request may succeed when tried again.
    Transient,
    /// An invariant of Reeve itself does not hold: stop this piece of work, and say so loudly.
    Bug,
}

impl Class {
    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Invalid => "invalid",
            Class::Conflict => "conflict",
            Class::Throttled => "throttled",
            Class::Transient => "transient",
            Class::Bug => "bug",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
