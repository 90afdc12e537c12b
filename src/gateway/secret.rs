//! A value that must not be shown.

use std::fmt;

use reeve_core::redact::MASK;

/// A key or password. `Debug` and `Display` print a mask, and there is no `Serialize`.
///
/// White space around it is dropped: Secrets made from files end with a newline more often than not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value.
    pub fn new(value: impl AsRef<str>) -> Secret {
        Secret(value.as_ref().trim().to_owned())
    }

    /// The value itself: for the header it belongs into, and for the redactor that hides it everywhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
