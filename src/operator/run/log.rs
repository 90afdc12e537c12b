//! A run's rows and what they add up to.
//!
//! Architecture invariant: an outcome may wait in memory for the next intent, with which it shares a commit; an intent is durable before
//! its effect. What is lost with a crash is at most outcomes whose effects are found again (by the ledger's key, or by asking anew).

use std::sync::Arc;

use jiff::Timestamp;
use reeve_core::class::Class;
use reeve_core::journal::{Actor, Event, Head, RowDraft, Seq, Stream};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_core::run::RunState;

use super::crash;
use crate::context::Context;
use crate::error::Error;
use crate::telemetry::{Event as _, JournalFailed};

/// Rows read at once when a run is taken up again.
const PAGE: u32 = 500;

/// A run's stream of the journal, folded.
pub(crate) struct RunLog {
    context: Arc<Context>,
    namespace: String,
    stream: Stream,
    head: Option<Head>,
    state: RunState,
    staged: Vec<(&'static str, RowDraft)>,
}

impl RunLog {
    /// Reads and folds what is there.
    pub(crate) async fn open(context: Arc<Context>, namespace: &str, uid: &str) -> Result<RunLog, Error> {
        let stream = Stream::run(uid);
        let mut log =
            RunLog { namespace: namespace.to_owned(), state: RunState::new(uid), context, stream, head: None, staged: Vec::new() };
        loop {
            let from = log.head.map_or(Seq(1), |head| head.seq.next());
            let rows = log.context.journal.read(&log.stream, from, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(log) };
            let head = last.head();
            for row in &rows {
                let at: Timestamp = row.time.parse().map_err(|error| Error::bug(format!("row {} has no time: {error}", row.gseq)))?;
                let event = row.event().map_err(|error| Error::bug(error.to_string()))?;
                log.state.apply(row.seq, at, &event).map_err(|error| Error::bug(error.to_string()))?;
            }
            log.head = Some(head);
        }
    }

    /// What a run's rows add up to, to look at.
    pub(crate) async fn fold(context: &Arc<Context>, uid: &str) -> Result<RunState, Error> {
        // Nothing is written, so nothing is redacted: the namespace does not matter.
        Ok(RunLog::open(Arc::clone(context), "", uid).await?.state)
    }

    /// What the rows add up to, staged ones included.
    pub(crate) fn state(&self) -> &RunState {
        &self.state
    }

    /// The last durable row.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes an event in. It is durable after the next [`RunLog::commit`].
    ///
    /// # Errors
    /// [`Error::TooLarge`], before anything was taken in: the caller journals something smaller instead.
    pub(crate) fn stage(&mut self, actor: &Actor, event: Event) -> Result<(), Error> {
        let event = self.context.secrets.redacted(&self.namespace, event);
        let at = Timestamp::now();
        let seq = Seq(self.head.map_or(0, |head| head.seq.0) + self.staged.len() as u64 + 1);
        let draft = RowDraft::of(&event, actor, at).map_err(|error| Error::bug(error.to_string()))?;
        if draft.body.len() > MAX_EVENT_BODY_BYTES {
            return Err(Error::TooLarge { kind: event.kind(), bytes: draft.body.len() });
        }
        self.state.apply(seq, at, &event).map_err(|error| Error::bug(error.to_string()))?;
        self.staged.push((event.kind(), draft));
        Ok(())
    }

    /// Makes everything staged durable. After an error this log is not to be used: whether the rows are there is known only by reading.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let (kinds, drafts): (Vec<_>, Vec<_>) = std::mem::take(&mut self.staged).into_iter().unzip();
        for kind in &kinds {
            crash::point(&format!("journal.{kind}.before"));
        }
        let after = self.head.map(|head| head.seq);
        let written = self.context.journal.append(self.context.epoch, &self.stream, after, drafts).await;
        match &written {
            Ok(_) => self.context.readiness.ready(),
            Err(error) => {
                JournalFailed { stream: self.stream.as_str(), class: error.class(), error: &error.to_string() }.emit();
                // One run's trouble with its own rows is not the process's.
                if error.class() == Class::Transient {
                    self.context.readiness.not_ready(format!("the journal cannot be written, so nothing is done: {error}"));
                }
            }
        }
        let rows = written?;
        self.head = rows.last().map(|row| row.head());
        for kind in &kinds {
            crash::point(&format!("journal.{kind}.after"));
        }
        Ok(())
    }
}
