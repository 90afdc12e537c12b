//! Which values must never be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use reeve_core::journal::Event;
use reeve_core::redact::Redactor;

/// The values of every Secret that this process has read, by namespace: who may make a Secret in one namespace must not be able to blank
/// words out of another's runs. A value stays masked after its Secret is gone.
#[derive(Default)]
pub(crate) struct Secrets {
    known: Mutex<BTreeMap<String, Known>>,
}

#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    redactor: Arc<Redactor>,
}

/// What log lines never show: the process has one log for all namespaces.
static EVERYWHERE: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// A log to which each write is one line or more, whole, and from which secrets are taken before it is written.
#[derive(Clone, Copy, Debug)]
pub struct MaskedLog<W>(pub W);

impl<W: Write> Write for MaskedLog<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let redactor = Arc::clone(&EVERYWHERE.lock().unwrap_or_else(PoisonError::into_inner).redactor);
        self.0.write_all(redactor.text(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Secrets {
    /// From here on, this value is masked in the runs of its namespace.
    pub(crate) fn learn(&self, namespace: &str, value: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(namespace.to_owned()).or_default();
        if known.values.insert(value.to_owned()) {
            known.redactor = Arc::new(Redactor::new(known.values.iter().cloned()));
            let mut everywhere = EVERYWHERE.lock().unwrap_or_else(PoisonError::into_inner);
            everywhere.values.insert(value.to_owned());
            everywhere.redactor = Arc::new(Redactor::new(everywhere.values.iter().cloned()));
        }
    }

    /// The event without secrets: what is journaled is also what the run goes on with.
    pub(crate) fn redacted(&self, namespace: &str, event: Event) -> Event {
        self.redactor(namespace).event(event)
    }

    /// The text without secrets.
    pub(crate) fn redacted_text(&self, namespace: &str, text: &str) -> String {
        self.redactor(namespace).text(text)
    }

    fn redactor(&self, namespace: &str) -> Arc<Redactor> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(namespace).map(|known| Arc::clone(&known.redactor)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn no_log_line_shows_a_secret_that_was_read_or_a_token() {
        let canary = "canary-of-the-log-7291";
        Secrets::default().learn("team", canary);
        let mut written = Vec::new();
        let line = format!("ERROR key {canary} of sk-{} at postgres://u:p@h/db\n", "x".repeat(30));
        MaskedLog(&mut written).write_all(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "ERROR key [redacted] of [redacted] at postgres://[redacted]@h/db\n");
    }
}
