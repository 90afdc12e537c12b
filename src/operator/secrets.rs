//! Which values must never be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use reeve_core::journal::Event;
use reeve_core::redact::Redactor;
use serde_json::Value;

/// The values of every Secret that this process has read, by namespace: who may make a Secret in one namespace must not be able to blank
/// words out of another's runs. A value stays masked after its Secret is gone.
#[derive(Default)]
pub(crate) struct Secrets {
    known: Mutex<BTreeMap<String, Known>>,
    /// Namespaces whose providers' Secrets were read.
    read: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    redactor: Arc<Redactor>,
}

/// What log lines never show: the process has one log for all namespaces.
static EVERYWHERE: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// What the operator itself was given: no namespace's runs may show it.
static OWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

impl Known {
    /// Whether it was not known before.
    fn add<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> bool {
        let before = self.values.len();
        self.values.extend(values.into_iter().map(str::to_owned));
        let is_new = self.values.len() > before;
        if is_new {
            self.redactor = Arc::new(Redactor::new(self.values.iter().cloned()));
        }
        is_new
    }
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on, these values of the operator's own (the database's password, what signs the journal, what proves it to a witness) are
/// masked in the log and in the runs of every namespace.
pub(crate) fn learn_own<'a>(values: impl IntoIterator<Item = &'a str> + Clone) {
    lock(&OWN).add(values.clone());
    lock(&EVERYWHERE).add(values);
}

/// The text as the log would have it: for what this process says by another door.
#[must_use]
pub fn masked(text: &str) -> String {
    let redactor = Arc::clone(&lock(&EVERYWHERE).redactor);
    redactor.text(text)
}

/// A log to which each write is one line or more, whole, and from which secrets are taken before it is written.
#[derive(Clone, Copy, Debug)]
pub struct MaskedLog<W>(pub W);

impl<W: Write> Write for MaskedLog<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(masked(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Secrets {
    /// From here on, this value is masked in the runs of its namespace.
    pub(crate) fn learn(&self, namespace: &str, value: &str) {
        let own = lock(&OWN).values.clone();
        let mut known = lock(&self.known);
        let known = known.entry(namespace.to_owned()).or_default();
        if known.add(own.iter().map(String::as_str).chain([value])) {
            lock(&EVERYWHERE).add([value]);
        }
    }

    /// Whether the Secrets of this namespace are to be read before anything of it is journaled: this process has not, so far.
    pub(crate) fn are_unread(&self, namespace: &str) -> bool {
        !lock(&self.read).contains(namespace)
    }

    /// They were read.
    pub(crate) fn were_read(&self, namespace: &str) {
        lock(&self.read).insert(namespace.to_owned());
    }

    /// The event without secrets: what is journaled is also what the run goes on with.
    pub(crate) fn redacted(&self, namespace: &str, event: Event) -> Event {
        self.redactor(namespace).event(event)
    }

    /// The text without secrets.
    pub(crate) fn redacted_text(&self, namespace: &str, text: &str) -> String {
        self.redactor(namespace).text(text)
    }

    /// The status without secrets in the messages of its conditions. All else in it is names and numbers, or came from a journal.
    pub(crate) fn redacted_messages(&self, namespace: &str, mut status: Value) -> Value {
        let redactor = self.redactor(namespace);
        for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::String(message)) = condition.get_mut("message") {
                *message = redactor.text(message);
            }
        }
        status
    }

    fn redactor(&self, namespace: &str) -> Arc<Redactor> {
        let known = lock(&self.known).get(namespace).map(|known| Arc::clone(&known.redactor));
        known.unwrap_or_else(|| Arc::clone(&lock(&OWN).redactor))
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

    #[test]
    fn what_the_operator_itself_was_given_is_masked_in_every_namespace() {
        let secrets = Secrets::default();
        secrets.learn("before", "canary-of-a-team-0017");
        learn_own(["canary-of-the-operator-5530"]);
        secrets.learn("after", "canary-of-a-team-0018");
        for namespace in ["after", "never-seen"] {
            assert_eq!(secrets.redacted_text(namespace, "canary-of-the-operator-5530"), "[redacted]");
        }
        assert_eq!(masked("canary-of-the-operator-5530, canary-of-a-team-0018"), "[redacted], [redacted]");
        assert_eq!(
            secrets.redacted_text("before", "canary-of-a-team-0018"),
            "canary-of-a-team-0018",
            "another team's word is no secret here"
        );
    }
}
