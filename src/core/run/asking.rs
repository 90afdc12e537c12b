//! What people are asked when policy wants their keys.

use jiff::Timestamp;

use super::{CallStage, PendingCall, RunState};
use crate::approval;
use crate::journal::ApprovalAsked;

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum CannotAsk {
    /// A bug: no call of a run that has begun was judged.
    #[error("an approval of a call that was not judged")]
    NotJudged,
    /// An argument is a number without a canonical form.
    #[error("{0}")]
    Digest(#[from] serde_json::Error),
    /// It would expire after the end of time.
    #[error("{0}")]
    Expiry(#[from] jiff::Error),
}

/// The body of `approval.requested` for this call. `delta` is what a person is shown: of a merge it holds the patch, which is no row.
///
/// # Errors
/// [`CannotAsk`].
pub fn approval_asked(
    state: &RunState,
    call: &PendingCall,
    quorum: u32,
    attempt: u32,
    delta: String,
    now: Timestamp,
) -> Result<ApprovalAsked, CannotAsk> {
    let (Some(started), CallStage::Judged(canonical, _)) = (&state.started, &call.stage) else { return Err(CannotAsk::NotJudged) };
    let terms = &started.spec.approval;
    let expires = now.as_second().saturating_add(i64::from(terms.timeout_seconds));
    Ok(ApprovalAsked {
        key: call.key.clone(),
        attempt,
        name: approval::name(&started.name, state.step, call.index, attempt),
        action: canonical.tool.as_str().to_owned(),
        digest: approval::digest(&call.key, canonical)?,
        delta,
        quorum,
        groups: terms.groups.clone(),
        requested_by: started.requested_by.clone(),
        expires_at: Timestamp::from_second(expires)?,
    })
}
