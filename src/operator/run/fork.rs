//! What a run takes over from the one that it was forked from.

use reeve_api::ForkOf;
use reeve_core::Digest;
use reeve_core::digest::InvalidDigest;
use reeve_core::journal::{Event, Head, Row, Seq, Stream};
use reeve_core::run::{Branch, NotReady};
use reeve_store::{ForkError, ForkPlace, StoreError};

use crate::context::Context;

/// The rows that the run goes on from, verified, and its workspace, which the artifact store has.
///
/// Guarantees: the parent is a run of this namespace. Whoever may create runs in one namespace reads no conversation of another by it.
pub(super) async fn branch_of(context: &Context, namespace: &str, of: &ForkOf) -> Result<Branch, NotReady> {
    let invalid =
        |why: String| NotReady::new("ForkInvalid", format!("spec.forkOf: {why}. Create another run: kubectl reeve fork {}.", of.name));
    let hash: Digest = of.hash.parse().map_err(|error: InvalidDigest| invalid(format!("hash: {error}")))?;
    let unreadable = |error: StoreError| {
        NotReady::unanswered("ForkUnreadable", format!("The journal of AgentRun {:?} could not be read: {error}.", of.name))
    };
    // Before anything is said of its rows: they may be of a namespace that this user must not see.
    let first = context.journal.read(&Stream::run(&of.uid), Seq(1), 1).await.map_err(unreadable)?.pop();
    if !first.is_some_and(|row| begins(&row, namespace, &of.name)) {
        return Err(invalid(format!("the journal has no AgentRun {:?} with UID {} in namespace {namespace:?}", of.name, of.uid)));
    }
    let seq = Seq(u64::try_from(of.seq).unwrap_or(0));
    let place = ForkPlace { uid: of.uid.clone(), head: Head { seq, hash } };
    let branch = context.journal.verified_branch(Some(&context.artifacts), &place).await.map_err(|error| match error {
        ForkError::Store(error @ (StoreError::Unavailable { .. } | StoreError::Closed)) => unreadable(error),
        ForkError::Store(_)
        | ForkError::NoRun { .. }
        | ForkError::NoRow { .. }
        | ForkError::Other { .. }
        | ForkError::Withered(_)
        | ForkError::Chain(_)
        | ForkError::NoFork { .. } => invalid(error.to_string()),
    })?;
    match context.artifacts.has(&branch.workspace.digest).await {
        Ok(true) => Ok(branch),
        Ok(false) => Err(NotReady::new(
            "ArtifactNotFound",
            format!(
                "spec.forkOf: the workspace of AgentRun {:?} as of row {} is not in the artifact store any more: put artifact {} back, or \
                 create another run that begins with the workspace of another row: kubectl reeve fork {}.",
                of.name, branch.from.kept_at.0, branch.workspace.digest, of.name
            ),
        )),
        Err(error) => Err(NotReady::unanswered("ArtifactUnreadable", error.to_string())),
    }
}

/// Whether this row begins the run of that name.
fn begins(first: &Row, namespace: &str, name: &str) -> bool {
    let Ok(Event::RunStarted(started)) = first.event() else { return false };
    (started.namespace.as_str(), started.name.as_str()) == (namespace, name)
}
