//! Which values must never be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

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

impl Secrets {
    /// From here on, this value is masked in the runs of its namespace.
    pub(crate) fn learn(&self, namespace: &str, value: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(namespace.to_owned()).or_default();
        if known.values.insert(value.to_owned()) {
            known.redactor = Arc::new(Redactor::new(known.values.iter().cloned()));
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
