//! Why a run ended.

use serde::{Deserialize, Serialize};

/// Why a run ended: the reason of its `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndReason {
    /// The agent called `finish`, or every acceptance command passed.
    Finished,
    /// An acceptance command failed.
    AcceptanceFailed,
    /// It took as many steps as it may.
    StepLimitReached,
    /// It took as long as it may.
    DeadlineExceeded,
    /// It called as many tools as it may.
    ToolCallLimitReached,
    /// Its tools gave back as many bytes as they may.
    OutputLimitReached,
    /// It made the same call with the same arguments three times in a row.
    RepeatedCall,
    /// The model answered three times in a row without a tool call that could be understood.
    ModelUseless,
    /// The transcript holds no answer for the request.
    TranscriptMiss,
    /// No provider on the route answered; the message holds the last one's words.
    ModelFailed,
    /// The sandbox could not be started: its image, its Pod, the quota of its namespace.
    SandboxUnavailable,
    /// The sandbox's Pod ended before the run: deleted, evicted, out of memory.
    SandboxLost,
    /// The sandbox lacks what confinement needs (a kernel without Landlock).
    SandboxDegraded,
    /// The workspace could not be loaded.
    WorkspaceInvalid,
    /// Its journal has fewer rows than its status says: the journal was restored or lost. Nothing is done twice, so nothing is done.
    JournalLost,
    /// The merge was not done: denied, expired, or no longer what was approved; the message says which.
    MergeRefused,
    /// A bug of Reeve, contained: the message says where.
    InternalError,
}

impl EndReason {
    /// As it stands in a condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::Finished => "Finished",
            EndReason::AcceptanceFailed => "AcceptanceFailed",
            EndReason::StepLimitReached => "StepLimitReached",
            EndReason::DeadlineExceeded => "DeadlineExceeded",
            EndReason::ToolCallLimitReached => "ToolCallLimitReached",
            EndReason::OutputLimitReached => "OutputLimitReached",
            EndReason::RepeatedCall => "RepeatedCall",
            EndReason::ModelUseless => "ModelUseless",
            EndReason::TranscriptMiss => "TranscriptMiss",
            EndReason::ModelFailed => "ModelFailed",
            EndReason::SandboxUnavailable => "SandboxUnavailable",
            EndReason::SandboxLost => "SandboxLost",
            EndReason::SandboxDegraded => "SandboxDegraded",
            EndReason::WorkspaceInvalid => "WorkspaceInvalid",
            EndReason::JournalLost => "JournalLost",
            EndReason::MergeRefused => "MergeRefused",
            EndReason::InternalError => "InternalError",
        }
    }
}
