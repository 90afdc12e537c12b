//! Whether the journal takes rows, as readiness and metrics show it. Nothing here decides: without its event, nothing happens anyway.

use std::sync::Arc;
use std::time::Duration;

use reeve_core::journal::{Actor, Event, RowDraft, Stream};
use reeve_store::StoreError;

use crate::context::Context;
use crate::error::Error;
use crate::telemetry::{Event as _, JournalFailed, JournalWorks};
use crate::web::Readiness;

/// How often a journal is looked at. Two probes of a kubelet's usual ten seconds see a fault, and its end.
const LOOK: Duration = Duration::from_secs(5);

/// Takes in what the journal answered to an append.
pub(crate) fn heard(readiness: &Readiness, stream: &Stream, error: Option<&StoreError>) {
    let Some(error) = error else {
        if readiness.journal_works() {
            JournalWorks(true).emit();
        }
        return;
    };
    // The answer to a question, and no trouble of the journal's.
    if matches!(error, StoreError::Exceeded(_)) {
        return;
    }
    JournalFailed { stream: stream.as_str(), class: error.class(), error: &error.to_string() }.emit();
    troubled(readiness, error);
}

/// One run's trouble with its own rows is not the process's; a disk or a file that fails is.
fn troubled(readiness: &Readiness, error: &StoreError) {
    let is_the_journals = matches!(
        error,
        StoreError::Unavailable { .. }
            | StoreError::Unusable { .. }
            | StoreError::Damaged { .. }
            | StoreError::BadRow { .. }
            | StoreError::Closed
    );
    if is_the_journals && readiness.journal_fails(error.to_string()) {
        JournalWorks(false).emit();
    }
}

/// Looks at the journal again and again: reads while it works, so that damage is seen before a run meets it, and tries to write while it
/// does not, so that it is seen when the cause is gone, with or without a run that tries.
pub(crate) async fn watch(context: Arc<Context>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if context.stop.is_cancelled() {
            return;
        }
        look(&context).await;
    }
}

async fn look(context: &Context) {
    if !context.readiness.journal_is_failing() {
        if let Err(error) = context.journal.highest_epoch().await {
            troubled(&context.readiness, &error);
        }
        return;
    }
    let event = Event::LeaseTaken { identity: context.config.identity.clone() };
    let again = match RowDraft::of(&event, &Actor::Operator, context.now()) {
        Ok(draft) => context.append_own(draft).await,
        Err(error) => Err(Error::bug(error.to_string())),
    };
    // Counted and logged where it was heard, unless it is fenced: then this process has no business here any more.
    if again.is_err_and(|error| error.is_fenced()) {
        context.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn trouble_of_the_journal_shows_and_ends_and_trouble_of_one_run_does_not_show() {
        let (readiness, stream) = (Readiness::new("starts"), Stream::run("r"));
        readiness.ready();
        let own = StoreError::StaleHead { stream: "r".to_owned(), expected: None, found: None };
        heard(&readiness, &stream, Some(&own));
        assert!(!readiness.journal_is_failing());
        for trouble in [
            StoreError::Unavailable { doing: "appending to the journal", why: "database or disk is full".to_owned() },
            StoreError::Damaged { why: "malformed".to_owned() },
        ] {
            heard(&readiness, &stream, Some(&trouble));
            assert!(readiness.journal_is_failing(), "{trouble}");
            heard(&readiness, &stream, Some(&own));
            assert!(readiness.journal_is_failing(), "what one run meets says nothing about it");
            heard(&readiness, &stream, None);
            assert!(!readiness.journal_is_failing(), "{trouble}");
        }
    }
}
