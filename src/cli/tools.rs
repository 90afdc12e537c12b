//! `reeve tools`: what runs inside a sandbox. Thin over `reeve-tools`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reeve_tools::ServeOptions;

use crate::exit::Failure;

/// What runs inside a sandbox.
#[derive(Args, Debug)]
pub(crate) struct Tools {
    #[command(subcommand)]
    command: ToolsCommand,
}

#[derive(Subcommand, Debug)]
enum ToolsCommand {
    /// PID 1 of a sandbox: serves the tools of one run
    Serve(Serve),
    /// Joins standard input and output to the server
    #[command(after_help = "Example:\n  kubectl exec -i POD -- /reeve/bin/reeve tools attach")]
    Attach {
        /// Names the server's socket
        #[arg(long, value_name = "PATH", default_value = "/reeve/run/tools.sock")]
        socket: PathBuf,
    },
    /// Copies this binary to PATH: what the init container of a sandbox does
    Install {
        /// The file to write
        path: PathBuf,
    },
    /// Confines itself, then becomes a tool's program; started by the server only
    #[command(hide = true)]
    Exec,
}

#[derive(Args, Debug)]
struct Serve {
    /// UID of the one AgentRun that is served
    #[arg(long, env = "REEVE_RUN_UID", value_name = "UID")]
    run_uid: String,
    /// The work tree; the only volume besides scratch that a tool may write
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// The git directory; a tool may read it
    #[arg(long, value_name = "DIR")]
    git_dir: Option<PathBuf>,
    /// Ledger, staged imports and blobs; no tool sees it
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// Names the socket that `attach` joins
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Each call gets a fresh directory below it
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl Serve {
    /// The layout of a sandbox Pod, but where a flag says otherwise.
    fn options(self) -> ServeOptions {
        let Serve { run_uid, workspace, git_dir, ledger, socket, scratch } = self;
        let pod = ServeOptions::in_pod(run_uid);
        ServeOptions {
            run_uid: pod.run_uid,
            workspace: workspace.unwrap_or(pod.workspace),
            git_dir: git_dir.unwrap_or(pod.git_dir),
            ledger: ledger.unwrap_or(pod.ledger),
            socket: socket.unwrap_or(pod.socket),
            scratch: scratch.unwrap_or(pod.scratch),
        }
    }
}

impl Tools {
    /// Runs it on the caller's thread, which is the only one.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let done = match self.command {
            ToolsCommand::Serve(serve) => reeve_tools::serve(serve.options()),
            ToolsCommand::Attach { socket } => reeve_tools::attach(&socket),
            ToolsCommand::Install { path } => reeve_tools::install(&path),
            ToolsCommand::Exec => reeve_tools::exec_confined(),
        };
        done.map_err(Failure::no)
    }
}
