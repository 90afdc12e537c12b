//! A run's rows and what they add up to.
//!
//! Architecture invariant: an outcome may wait in memory for the next intent, with which it shares a commit; an intent is durable before
//! its effect. What is lost with a crash is at most outcomes whose effects are found again (by the ledger's key, or by asking anew).

use std::sync::Arc;

use jiff::Timestamp;
use reeve_core::journal::{Actor, BudgetReserved, BudgetSettled, Event, ForkedFrom, Head, Row, RowDraft, Seq, Stream, phase_of_kept};
use reeve_core::limits::{MAX_EVENT_BODY_BYTES, MAX_KEPT_BODY_BYTES};
use reeve_core::run::{Branch, RunState, Sandbox};
use reeve_store::{ForkError, ForkPlace, StoreError};

use super::crash;
use crate::context::Context;
use crate::error::Error;

/// Rows read at once when a run is taken up again.
const PAGE: u32 = 500;

/// Kind of the row that the store may refuse.
const RESERVED: &str = "budget.reserved";

/// Where the run was forked from that begins with this row, if it was.
fn forked_from(first: &Row) -> Result<Option<ForkedFrom>, Error> {
    let event = first.event().map_err(|error| Error::bug(error.to_string()))?;
    Ok(if let Event::RunStarted(started) = event { started.forked_from } else { None })
}

/// The rows that a run goes on from were read when it began. If they are others by now, somebody wrote to the database.
fn damaged(error: ForkError) -> Error {
    match error {
        ForkError::Store(error) => error.into(),
        ForkError::NoRun { .. }
        | ForkError::NoRow { .. }
        | ForkError::Other { .. }
        | ForkError::Withered(_)
        | ForkError::Chain(_)
        | ForkError::NoFork { .. } => {
            StoreError::Damaged { why: format!("what the run was forked from is not what it was: {error}") }.into()
        }
    }
}

/// A run's stream of the journal, folded.
pub(crate) struct RunLog {
    context: Arc<Context>,
    namespace: String,
    stream: Stream,
    head: Option<Head>,
    state: RunState,
    staged: Vec<Staged>,
    /// How far the durable rows go.
    reached: Progress,
}

/// What can be seen to move on: answers, tool calls, the workspace, the end. An intent that is journaled again and again is no progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    answers: u32,
    tool_calls: u32,
    loaded: bool,
    finished: bool,
}

impl Progress {
    fn of(state: &RunState) -> Progress {
        let (loaded, finished) = (state.workspace.is_some(), state.finished.is_some());
        Progress { answers: state.answers, tool_calls: state.tool_calls, loaded, finished }
    }
}

/// A row to be.
#[derive(Clone)]
struct Staged {
    kind: &'static str,
    draft: RowDraft,
    /// Its body, where that is too large for a row: it goes into the artifact store before the row that names it.
    body: Option<Vec<u8>>,
}

impl RunLog {
    /// Reads and folds what is there.
    pub(crate) async fn open(context: Arc<Context>, namespace: &str, uid: &str) -> Result<RunLog, Error> {
        let stream = Stream::run(uid);
        let (namespace, state) = (namespace.to_owned(), RunState::new(uid));
        let mut log = RunLog { namespace, state, context, stream, head: None, staged: Vec::new(), reached: Progress::default() };
        loop {
            let from = log.head.map_or(Seq(1), |head| head.seq.next());
            let rows = log.context.journal.read(&log.stream, from, PAGE).await?;
            let Some(last) = rows.last() else {
                log.reached = Progress::of(&log.state);
                return Ok(log);
            };
            let head = last.head();
            if let Some(from) = rows.first().filter(|row| row.seq == Seq(1)).map(forked_from).transpose()?.flatten() {
                let branch = log.context.journal.branch(Some(&log.context.artifacts), &ForkPlace::from(&from)).await.map_err(damaged)?;
                log.begin(Some(branch));
            }
            for row in rows {
                let row = log.context.artifacts.with_body(row).await?;
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

    /// Ends what a run left whose object is gone, after its driver has ended: its Pod, and what it had reserved, in full, since it may have
    /// been spent.
    pub(crate) async fn settle_gone(context: &Arc<Context>, uid: &str) -> Result<(), Error> {
        let mut log = RunLog::open(Arc::clone(context), "", uid).await?;
        if let (Sandbox::Ready(ready), Some(started), None) = (&log.state.sandbox, &log.state.started, &log.state.finished) {
            // Whoever deleted the run may have left its Job an orphan.
            super::sandbox::delete_job_by_uid(context, &started.namespace, &started.name, &ready.job_uid).await?;
        }
        let Some(BudgetReserved { account, key, amounts }) = log.state.gates.reserved.clone() else { return Ok(()) };
        if log.state.finished.is_some() {
            return Ok(());
        }
        log.stage(&Actor::Operator, Event::BudgetSettled(BudgetSettled { account, key, used: amounts, in_full: true }))?;
        log.commit().await
    }

    /// Before the first row: what the run goes on from, if it was forked.
    pub(crate) fn begin(&mut self, branch: Option<Branch>) -> &mut RunLog {
        self.state = RunState::with(&self.state.uid, branch);
        self
    }

    /// What the rows add up to, staged ones included.
    pub(crate) fn state(&self) -> &RunState {
        &self.state
    }

    /// The last durable row.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// The most bytes that the body of such an event may have.
    pub(crate) fn most_bytes(kind: &str) -> usize {
        if phase_of_kept(kind).is_some() { MAX_KEPT_BODY_BYTES } else { MAX_EVENT_BODY_BYTES }
    }

    /// Takes an event in. It is durable after the next [`RunLog::commit`].
    ///
    /// # Errors
    /// [`Error::TooLarge`], before anything was taken in: the caller journals something smaller instead.
    pub(crate) fn stage(&mut self, actor: &Actor, event: Event) -> Result<(), Error> {
        let event = self.context.secrets.redacted(&self.namespace, event);
        let at = self.context.now();
        let seq = Seq(self.head.map_or(0, |head| head.seq.0) + self.staged.len() as u64 + 1);
        let mut draft = RowDraft::of(&event, actor, at).map_err(|error| Error::bug(error.to_string()))?;
        let body = draft.take_large_body().map_err(|error| Error::bug(error.to_string()))?;
        if draft.body.len() > MAX_EVENT_BODY_BYTES {
            return Err(Error::TooLarge { kind: event.kind(), bytes: draft.body.len(), most: Self::most_bytes(event.kind()) });
        }
        self.state.apply(seq, at, &event).map_err(|error| Error::bug(error.to_string()))?;
        self.staged.push(Staged { kind: event.kind(), draft, body });
        Ok(())
    }

    /// Makes everything staged durable. After an error this log is not to be used: whether the rows are there is known only by reading.
    ///
    /// # Errors
    /// [`Error::Exceeded`] when a reservation does not fit its budget: what was staged before it is durable, it and what was staged after it
    /// are forgotten, and the log can be used.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        let staged = std::mem::take(&mut self.staged);
        match self.append(staged.clone()).await {
            Err(Error::Store(StoreError::Exceeded(exceeded))) => {
                let outcomes = staged.into_iter().take_while(|staged| staged.kind != RESERVED).collect();
                self.append(outcomes).await?;
                // What was folded of the rest is only undone by folding anew. Rare: another run was faster.
                *self = RunLog::open(Arc::clone(&self.context), &self.namespace, &self.state.uid.clone()).await?;
                Err(Error::Exceeded(exceeded))
            }
            Ok(()) => {
                self.reached = Progress::of(&self.state);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// How far the durable rows go. What is only staged is not counted: whoever fails before its commit has to find it again.
    pub(crate) fn reached(&self) -> Progress {
        self.reached
    }

    async fn append(&mut self, staged: Vec<Staged>) -> Result<(), Error> {
        if staged.is_empty() {
            return Ok(());
        }
        let moves_budgets = staged.iter().any(|staged| staged.kind.starts_with("budget."));
        let (mut kinds, mut drafts) = (Vec::with_capacity(staged.len()), Vec::with_capacity(staged.len()));
        for Staged { kind, draft, body } in staged {
            if let Some(body) = body {
                self.context.artifacts.put(body).await?;
                crash::point(&format!("journal.{kind}.kept"));
            }
            kinds.push(kind);
            drafts.push(draft);
        }
        for kind in &kinds {
            crash::point(&format!("journal.{kind}.before"));
        }
        let after = self.head.map(|head| head.seq);
        let rows = self.context.append(&self.stream, after, drafts).await?;
        self.head = rows.last().map(|row| row.head());
        if moves_budgets {
            self.context.budgets.send_modify(|n| *n += 1);
        }
        for kind in &kinds {
            crash::point(&format!("journal.{kind}.after"));
        }
        Ok(())
    }
}
