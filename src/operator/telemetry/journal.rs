//! What is to be seen of the journal: rows that are refused, heads that are signed.

use reeve_core::class::Class;

use super::{Event, count};

/// The journal could not be written: the effect that was to follow does not happen.
pub struct JournalFailed<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What kind of trouble.
    pub class: Class,
    /// The error.
    pub error: &'a str,
}

impl Event for JournalFailed<'_> {
    fn emit(self) {
        let JournalFailed { stream, class, error } = self;
        tracing::error!(stream, %class, error, "journal append failed");
        count(|metrics| metrics.journal_errors.with_label_values(&[class.as_str()]).inc());
    }
}

/// Heads were signed, and are in the journal. This line of the log is one of the places that keep their root.
pub struct JournalAnchored<'a> {
    /// Names the log.
    pub log: &'a str,
    /// Heads in the tree.
    pub size: u64,
    /// Its root.
    pub root: &'a str,
    /// The key that signed.
    pub key_id: &'a str,
    /// Its signature.
    pub signature: &'a str,
}

impl Event for JournalAnchored<'_> {
    fn emit(self) {
        let JournalAnchored { log, size, root, key_id, signature } = self;
        tracing::info!(log, size, root, key_id, signature, "journal anchored");
        count(|metrics| metrics.anchored_heads.set(i64::try_from(size).unwrap_or(i64::MAX)));
    }
}

/// Signed heads could not be written somewhere. Work goes on; all but the witness are tried again.
pub struct AnchorFailed<'a> {
    /// `journal`, `configmap` or `witness`.
    pub to: &'static str,
    /// The error.
    pub error: &'a str,
}

impl Event for AnchorFailed<'_> {
    fn emit(self) {
        tracing::warn!(to = self.to, error = self.error, "journal heads could not be anchored");
        count(|metrics| metrics.anchor_errors.with_label_values(&[self.to]).inc());
    }
}

/// The journal takes rows again, or takes none.
pub struct JournalWorks(pub bool);

impl Event for JournalWorks {
    fn emit(self) {
        let JournalWorks(works) = self;
        if works {
            tracing::info!("the journal takes rows again");
        } else {
            tracing::error!("the journal takes no rows: nothing is done until it does");
        }
        count(|metrics| metrics.journal_works.set(i64::from(works)));
    }
}
