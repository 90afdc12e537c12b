//! What the operator's own stream says was so when the last operator ended: read once, at the start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reeve_core::journal::{Event, KillSeen, PolicyActivated};

use crate::context::Context;
use crate::error::Error;

/// The latest word on each.
#[derive(Default)]
pub(crate) struct Past {
    /// Policy sets by namespace and name, whether they are there still or not.
    pub(super) activations: BTreeMap<(String, String), PolicyActivated>,
    /// Kill switches that are engaged, by UID, and since when.
    pub(super) engaged: BTreeMap<String, (KillSeen, Timestamp)>,
}

impl Past {
    /// # Errors
    /// The journal's.
    pub(crate) async fn read(context: &Context) -> Result<Past, Error> {
        let mut past = Past::default();
        context.each_own(&["policy.activated", "kill"], |event, at| past.take(event, at)).await?;
        Ok(past)
    }

    fn take(&mut self, event: Event, at: Timestamp) {
        if let Event::PolicyActivated(activated) = event {
            self.activations.insert((activated.namespace.clone(), activated.name.clone()), activated);
        } else if let Event::Kill(seen) = event {
            if seen.engaged {
                self.engaged.insert(seen.uid.clone(), (seen, at));
            } else {
                self.engaged.remove(&seen.uid);
            }
        }
    }
}
