//! What the server tells the stage that starts one process: JSON in a memory file, with the descriptors beside it at fixed numbers.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use crate::confine::Access;

/// Where the stage finds what it inherits. Descriptors of [`Instructions::grants`] follow in their order.
pub(crate) mod slot {
    use super::RawFd;

    /// The first number that is not standard input or output.
    pub(crate) const FIRST: RawFd = INSTRUCTIONS;
    /// The memory file with the instructions.
    pub(crate) const INSTRUCTIONS: RawFd = 3;
    /// The socket to the server: the report goes out on it; that it closes, or anything coming in, means "end it".
    pub(crate) const REPORT: RawFd = 4;
    /// The program.
    pub(crate) const PROGRAM: RawFd = 5;
    /// The directory to run in.
    pub(crate) const CWD: RawFd = 6;
    /// Standard input, output and error.
    pub(crate) const STDIO: [RawFd; 3] = [7, 8, 9];
    /// The first granted directory or file.
    pub(crate) const GRANTS: RawFd = 10;
}

/// One process to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Instructions {
    /// Argument vector.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// For a script: its path. An interpreter opens its script by name, so a script cannot be executed by descriptor.
    pub(crate) script: Option<String>,
    /// After this everything is killed.
    pub(crate) timeout_ms: u64,
    /// What the process may do below each granted descriptor.
    pub(crate) grants: Vec<Access>,
}

/// How the process ended. Sent when its whole tree is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// With this exit code.
    Exited(i32),
    /// By this signal, which was not ours.
    Signaled(i32),
    /// We killed it at its timeout.
    TimedOut,
    /// We killed it because the server asked, or went.
    Ended,
    /// It never ran; why.
    NotStarted(String),
}
