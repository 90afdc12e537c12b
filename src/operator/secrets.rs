//! Which values must never be seen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use reeve_core::journal::Event;
use reeve_core::redact::Redactor;

use crate::error::Error;

/// The values of every Secret that this process has read. A value stays masked after its Secret is gone.
#[derive(Default)]
pub(crate) struct Secrets {
    values: Mutex<BTreeSet<String>>,
    redactor: RwLock<Arc<Redactor>>,
}

impl Secrets {
    /// From here on, this value is masked everywhere.
    pub(crate) fn learn(&self, value: &str) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.insert(value.to_owned()) {
            let redactor = Arc::new(Redactor::new(values.iter().cloned()));
            *self.redactor.write().unwrap_or_else(PoisonError::into_inner) = redactor;
        }
    }

    /// The redactor of now.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The event without secrets: what is journaled is also what the run goes on with.
    pub(crate) fn redacted(&self, event: Event) -> Result<Event, Error> {
        let value = serde_json::to_value(&event).map_err(|error| Error::bug(error.to_string()))?;
        let clean = self.redactor().value(&value);
        if clean == value {
            return Ok(event);
        }
        serde_json::from_value(clean)
            .map_err(|error| Error::bug(format!("an event of kind {} does not survive redaction: {error}", event.kind())))
    }
}
