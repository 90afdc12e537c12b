//! Watches, as seen from outside.

use reeve_core::class::Class;

use super::{Event, count};

/// A list or a watch failed. It is tried again, with backoff; until then, nothing new is heard of its kind.
pub struct WatchFailed<'a> {
    /// What is watched.
    pub kind: &'a str,
    /// What kind of trouble.
    pub class: Class,
    /// The error.
    pub error: &'a str,
}

impl Event for WatchFailed<'_> {
    fn emit(self) {
        let WatchFailed { kind, class, error } = self;
        match class {
            // A watch that is too old begins anew with a list: that happens to each, now and then.
            Class::Conflict => tracing::debug!(kind, %class, error, "the watch was cut"),
            Class::Bug | Class::Invalid | Class::Throttled | Class::Transient => tracing::warn!(kind, %class, error, "the watch was cut"),
        }
        count(|metrics| metrics.watch_errors.with_label_values(&[kind, class.as_str()]).inc());
    }
}
