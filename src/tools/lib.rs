//! What runs inside the sandbox: PID 1, the MCP server, and the stage that confines each tool process.
//!
//! ```text
//! launcher (PID 1; signal scope after the server's fork) ──fork──► server: MCP, file tools, ledger (seccomp, Landlock, executes nothing)
//!        └────────fork, exec──► stage, one a call: supervisor (signal scope) ──fork──► the tool's program (Landlock, seccomp, limits)
//! ```
//!
//! Architecture invariant: no key runs twice; `started` is in the ledger before anything happens. (`a_key_never_runs_twice`)
//!
//! Architecture invariant: what was judged is what runs; a call works on the descriptors that its resolve opened.
//! (`a_file_swapped_for_a_link_between_resolve_and_call_does_not_escape`)
//!
//! Architecture invariant: no process outlives its call. (`a_daemon_that_left_its_session_is_dead_after_the_call`)
//!
//! Architecture invariant: a halt leaves no tool process, however it forks, and touches nothing else.
//! (`everything_that_tools_started_is_dead_after_a_halt`, `outside_a_namespace_a_halt_reaches_no_bystander`)
//!
//! Architecture invariant: a tool reaches neither the server nor the ledger nor the git directory, by file, signal, socket or limit.
//! (`a_tool_cannot_touch_the_server`, `a_tool_cannot_write_the_git_directory`)
//!
//! Architecture invariant: a confinement that cannot be put on whole means that nothing runs. (`confine`: hard requirement throughout)

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attach;
mod confine;
mod error;
mod files;
mod install;
mod instructions;
mod kernel;
mod launcher;
mod output;
mod program;
mod refusal;
mod schema;
mod server;
mod stage;
mod workspace;

use std::path::PathBuf;

pub use attach::attach;
pub use error::Error;
pub use install::install;
pub use launcher::serve;
pub use stage::exec_confined;

/// Where the server works and for whom. Each directory is a volume of its own in a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// UID of the one run that is served.
    pub run_uid: String,
    /// The work tree; the only volume besides scratch that a tool may write.
    pub workspace: PathBuf,
    /// The git directory; a tool may read it.
    pub git_dir: PathBuf,
    /// Ledger, epoch, staged imports and blobs; no tool sees it.
    pub ledger: PathBuf,
    /// Names the socket that `attach` joins. Nothing is created at this path: see [`attach`].
    pub socket: PathBuf,
    /// Each call gets a fresh directory below it.
    pub scratch: PathBuf,
}

impl ServeOptions {
    /// The layout of a sandbox Pod.
    pub fn in_pod(run_uid: impl Into<String>) -> ServeOptions {
        ServeOptions {
            run_uid: run_uid.into(),
            workspace: "/workspace".into(),
            git_dir: "/reeve/git".into(),
            ledger: "/reeve/ledger".into(),
            socket: "/reeve/run/tools.sock".into(),
            scratch: "/tmp".into(),
        }
    }
}
