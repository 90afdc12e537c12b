//! Runs that go on from a place in another run.
//!
//! ```text
//! parent   1 … 17 │ 18 … 40
//!                 └─ fork at 17: run.started {forkedFrom: {uid, seq: 17, hash, …}} …
//! ```
//!
//! A fork's state is the fold of its parent's rows up to that place and of its own. The conversation, the step and the counters that bound
//! it go on; the sandbox, the budget, the clock and every approval are its own. A call that the parent had not begun is made by the fork,
//! under a key of its own: it is resolved, judged and, if need be, approved anew.
//!
//! Where a run can be forked: nothing is in flight, and the workspace is known to be what was kept of it. [`Trunk`] says of every other row
//! why not.
//!
//! Architecture invariant: a fork takes in no row of its parent whose content does not hash to what the row says, and its last one must be
//! the very row that the fork names. (`a_row_that_was_edited_is_named`)

use jiff::Timestamp;

use super::{InFlight, RunState};
use crate::journal::{Event, ForkedFrom, Head, Observation, PackedWorkspace, Row, RunStarted, Seq, WorkspaceLoaded};
use crate::limits::MAX_FORKS_DEEP;
use crate::tool::{ToolName, wire};

/// What of a run's counters is its ancestors'. A run that was not forked has none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Ancestors.
    pub forks_deep: u32,
    /// Model answers.
    pub answers: u32,
    /// Tool calls.
    pub tool_calls: u32,
    /// Tool calls that policy denied.
    pub denied: u32,
    /// Bytes of the conversation.
    pub output_bytes: u64,
}

/// All that a fork takes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// The place, as the fork's first row names it.
    pub from: ForkedFrom,
    /// The workspace as it was there, in the artifact store.
    pub workspace: PackedWorkspace,
    state: Box<RunState>,
}

/// Why a run cannot be forked after a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFork {
    /// Nothing is loaded yet.
    #[error("its workspace is not loaded there: it has done nothing yet")]
    NotBegun,
    /// An acceptance run or a merge.
    #[error("a run of role {0} asks no model, so that it could go no other way")]
    AsksNoModel(&'static str),
    /// It has ended.
    #[error("it has ended there")]
    Ended,
    /// An intent without its outcome.
    #[error("{0}")]
    InFlight(&'static str),
    /// The workspace is not what was kept of it.
    #[error("its workspace was last kept in row {kept_at} and changed since, in row {changed_at}")]
    Changed {
        /// Row in which it was kept.
        kept_at: u64,
        /// Row after which it is not known to be the same.
        changed_at: u64,
    },
    /// A fork of a fork of a fork.
    #[error("it is {MAX_FORKS_DEEP} forks deep, which is the most")]
    TooDeep,
}

/// Why a run's rows cannot be what a fork goes on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withered {
    /// A row was edited.
    #[error("row {seq} of run {uid} was changed: its hash is {stored}, its content hashes to {computed}")]
    Changed {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// Hash in the row.
        stored: crate::Digest,
        /// Hash of its content.
        computed: crate::Digest,
    },
    /// A row was written anew, with its own hash, but not the row after it.
    #[error("row {seq} of run {uid} was written anew: the row after it was written after a row of hash {named}, it has {found}")]
    Rewritten {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// What the next row names.
        named: crate::Digest,
        /// What it is.
        found: crate::Digest,
    },
    /// A row that cannot be read, or cannot follow.
    #[error("row {seq} of run {uid}: {why}")]
    Unreadable {
        /// The run.
        uid: String,
        /// The row.
        seq: u64,
        /// Why.
        why: String,
    },
}

/// A place at which a run can be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkPoint {
    /// Its row.
    pub seq: u64,
    /// The step that the run had reached.
    pub step: u32,
    /// The row in which the workspace was kept.
    pub kept_at: u64,
}

/// A run whose rows go by, and whether it can be forked after each.
#[derive(Clone, Debug)]
pub struct Trunk {
    state: RunState,
    name: String,
    head: Option<Head>,
    /// Position in the database of the row before, to see whether its successor follows at once.
    gseq: u64,
    /// A call was asked for and has no result, not even that it could not be resolved.
    asked: bool,
    workspace: Workspace,
}

/// What is known of the workspace.
#[derive(Clone, Debug)]
enum Workspace {
    None,
    Kept(Kept),
    Changed { kept_at: Seq, changed_at: Seq },
}

#[derive(Clone, Debug)]
struct Kept {
    at: Seq,
    packed: PackedWorkspace,
    base_commit: String,
    head_commit: String,
}

impl Trunk {
    /// A run of this UID, before its first row; with what it was itself forked from, if it was.
    pub fn new(uid: &str, branch: Option<Branch>) -> Trunk {
        let state = RunState::with(uid, branch);
        Trunk { state, name: String::new(), head: None, gseq: 0, asked: false, workspace: Workspace::None }
    }

    /// Takes in the next row of the run.
    ///
    /// # Errors
    /// [`Withered`]; it is then not to be used.
    pub fn row(&mut self, row: &Row) -> Result<(), Withered> {
        self.row_with_body(row, row)
    }

    /// As [`Trunk::row`]; `whole` is the row with its body, where that is kept in the artifact store.
    ///
    /// # Errors
    /// [`Withered`]; it is then not to be used.
    pub fn row_with_body(&mut self, row: &Row, whole: &Row) -> Result<(), Withered> {
        let (uid, seq) = (self.state.uid.clone(), row.seq.0);
        let unreadable = |why: String| Withered::Unreadable { uid: uid.clone(), seq, why };
        let expected = self.head.map_or(1, |head| head.seq.0 + 1);
        if row.stream.as_str() != uid || seq != expected {
            return Err(unreadable(format!("expected row {expected} of it, found row {seq} of {}: rows are missing", row.stream.as_str())));
        }
        let computed = row.computed_hash().map_err(|error| unreadable(error.to_string()))?;
        if computed != row.hash {
            return Err(Withered::Changed { uid, seq, stored: row.hash, computed });
        }
        if let Some(before) = self.head.filter(|before| row.gseq == self.gseq + 1 && row.prev != before.hash) {
            return Err(Withered::Rewritten { uid, seq: before.seq.0, named: row.prev, found: before.hash });
        }
        let event = whole.event().map_err(|error| unreadable(error.to_string()))?;
        let at: Timestamp = row.time.parse().map_err(|error: jiff::Error| unreadable(format!("its time {:?}: {error}", row.time)))?;
        self.watch(row.seq, &event);
        self.state.apply(row.seq, at, &event).map_err(|error| unreadable(error.to_string()))?;
        (self.head, self.gseq) = (Some(row.head()), row.gseq);
        Ok(())
    }

    /// What the row, about to be taken in, does to the workspace.
    fn watch(&mut self, seq: Seq, event: &Event) {
        self.asked = matches!(event, Event::ToolRequested(_));
        match event {
            Event::RunStarted(started) => self.name.clone_from(&started.name),
            Event::WorkspaceLoaded(loaded) => {
                let Some(started) = &self.state.started else { return };
                let WorkspaceLoaded { base_commit, head_commit, .. } = loaded.clone();
                self.workspace = Workspace::Kept(Kept { at: seq, packed: started.spec.workspace.clone(), base_commit, head_commit });
            }
            Event::Checkpoint(taken) => {
                let wire::Checkpointed { base_commit, head_commit, uncommitted, bundle, .. } = taken.workspace.clone();
                let packed = PackedWorkspace { digest: bundle.digest, packing: wire::Packing::GitBundle, strip_components: 0 };
                self.workspace = if uncommitted.is_empty() {
                    Workspace::Kept(Kept { at: seq, packed, base_commit, head_commit })
                } else {
                    Workspace::Changed { kept_at: seq, changed_at: seq }
                };
            }
            Event::ToolResult(ended) => {
                let ran = matches!(ended.observation, Observation::Ran { .. } | Observation::Unknown);
                if let Workspace::Kept(Kept { at, .. }) = self.workspace
                    && ran
                    && self.may_write()
                {
                    self.workspace = Workspace::Changed { kept_at: at, changed_at: seq };
                }
            }
            Event::SandboxRequested(_)
            | Event::SandboxReady(_)
            | Event::WorkspaceRequested { .. }
            | Event::ModelRequest(_)
            | Event::ModelResponse(_)
            | Event::ThoughtSummary { .. }
            | Event::ToolRequested(_)
            | Event::PolicyDecision(_)
            | Event::Reflect(_)
            | Event::CheckpointRequested { .. }
            | Event::ApprovalRequested(_)
            | Event::ApprovalCreated(_)
            | Event::ApprovalVote(_)
            | Event::ApprovalSettled(_)
            | Event::ApprovalConsumed(_)
            | Event::RunArchived(_)
            | Event::BudgetReserved(_)
            | Event::BudgetSettled(_)
            | Event::RunSuspended(_)
            | Event::RunResumed(_)
            | Event::RunFinished(_)
            | Event::PolicyActivated(_)
            | Event::BudgetLimited(_)
            | Event::Kill(_)
            | Event::KeyIntroduced(_)
            | Event::KeyRotated(_)
            | Event::JournalAnchored(_)
            | Event::LeaseTaken { .. } => {}
        }
    }

    /// Whether the call in hand may have written the workspace. Which paths it named does not count: a program writes what it likes.
    fn may_write(&self) -> bool {
        let tool = self.state.pending.front().and_then(|call| ToolName::parse(&call.call.name));
        tool.is_none_or(|tool| !tool.annotations().read_only)
    }

    /// Position and hash of the last row taken in.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Body of the first row.
    pub fn started(&self) -> Option<&RunStarted> {
        self.state.started.as_ref()
    }

    /// The place after the last row taken in.
    ///
    /// # Errors
    /// [`NoFork`] when the run cannot be forked there.
    pub fn point(&self) -> Result<ForkPoint, NoFork> {
        let (head, kept) = self.stands()?;
        Ok(ForkPoint { seq: head.seq.0, step: self.state.step, kept_at: kept.at.0 })
    }

    /// What a fork takes with it from after the last row taken in.
    ///
    /// # Errors
    /// [`NoFork`] when the run cannot be forked there.
    pub fn branch(&self) -> Result<Branch, NoFork> {
        let (head, kept) = self.stands()?;
        let Kept { at, packed, base_commit, head_commit } = kept.clone();
        let (name, uid) = (self.name.clone(), self.state.uid.clone());
        let from = ForkedFrom { name, uid, seq: head.seq, hash: head.hash, kept_at: at, base_commit, head_commit };
        Ok(Branch { from, workspace: packed, state: Box::new(self.state.clone()) })
    }

    fn stands(&self) -> Result<(Head, &Kept), NoFork> {
        let state = &self.state;
        let (Some(started), Some(head)) = (&state.started, self.head) else { return Err(NoFork::NotBegun) };
        if started.spec.role.asks_no_model() {
            return Err(NoFork::AsksNoModel(started.spec.role.as_str()));
        }
        if state.inherited.forks_deep >= MAX_FORKS_DEEP {
            return Err(NoFork::TooDeep);
        }
        if state.finished.is_some() {
            return Err(NoFork::Ended);
        }
        match state.in_flight {
            Some(InFlight::Model) => return Err(NoFork::InFlight("a model was asked there, and had not answered")),
            Some(InFlight::Checkpoint) => return Err(NoFork::InFlight("its workspace is being kept there")),
            None => {}
        }
        if state.to_keep {
            return Err(NoFork::InFlight("a commit was made there that is not kept yet"));
        }
        if state.gates.reserved.is_some() {
            return Err(NoFork::InFlight("something is reserved there that is not settled"));
        }
        if state.model_failure.is_some() {
            return Err(NoFork::InFlight("a model did not answer there, and is asked again, or another is"));
        }
        if self.asked || state.pending.front().is_some_and(|call| !matches!(call.stage, super::CallStage::Wanted)) {
            return Err(NoFork::InFlight("a tool call is in hand there"));
        }
        match &self.workspace {
            Workspace::None => Err(NoFork::NotBegun),
            Workspace::Changed { kept_at, changed_at } => Err(NoFork::Changed { kept_at: kept_at.0, changed_at: changed_at.0 }),
            Workspace::Kept(kept) => Ok((head, kept)),
        }
    }
}

impl Branch {
    /// Body of its parent's first row.
    pub fn parent(&self) -> Option<&RunStarted> {
        self.state.started.as_ref()
    }
}

impl RunState {
    /// A run without rows, and what it goes on from if it was forked: its first row must then say so, and say the same.
    pub fn with(uid: &str, branch: Option<Branch>) -> RunState {
        RunState { branch: branch.map(Box::new), ..RunState::new(uid) }
    }

    /// Takes in what the run goes on from, at its first row.
    pub(super) fn grow(&mut self, started: &RunStarted) -> Result<(), &'static str> {
        let (from, branch) = match (&started.forked_from, self.branch.take()) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err("it was not forked from another run"),
            (Some(_), None) => return Err("it goes on from another run, whose rows were not read before it"),
            (Some(from), Some(branch)) => (from, *branch),
        };
        let same = branch.parent().is_some_and(|parent| {
            parent.namespace == started.namespace && parent.spec.role == started.spec.role && branch.workspace == started.spec.workspace
        });
        if branch.from != *from || !same {
            return Err("it goes on from another place than the rows of its parent that were read before it");
        }
        self.inherit(*branch.state);
        Ok(())
    }

    /// What goes on is the conversation; what was held, asked, spent or approved is the parent's.
    fn inherit(&mut self, parent: RunState) {
        let inherited = Inherited {
            forks_deep: parent.inherited.forks_deep + 1,
            answers: parent.answers,
            tool_calls: parent.tool_calls,
            denied: parent.denied,
            output_bytes: parent.output_bytes,
        };
        let uid = std::mem::take(&mut self.uid);
        *self = RunState {
            inherited,
            messages: parent.messages,
            step: parent.step,
            answers: parent.answers,
            pending: parent.pending,
            to_reflect: parent.to_reflect,
            tool_calls: parent.tool_calls,
            denied: parent.denied,
            output_bytes: parent.output_bytes,
            same_call: parent.same_call,
            useless_in_a_row: parent.useless_in_a_row,
            tally: parent.tally,
            tests: parent.tests,
            advice: parent.advice,
            steps: parent.steps,
            ..RunState::new(&uid)
        };
        for at in 0..self.pending.len() {
            let key = self.key(self.step, self.pending[at].index);
            let call = &mut self.pending[at];
            (call.key, call.approval) = (key, None);
        }
    }

    /// Whether this is the workspace that the run goes on from, if it was forked.
    pub fn is_what_was_forked(&self, loaded: &WorkspaceLoaded) -> bool {
        let from = self.started.as_ref().and_then(|started| started.forked_from.as_ref());
        from.is_none_or(|from| (&from.base_commit, &from.head_commit) == (&loaded.base_commit, &loaded.head_commit))
    }
}
