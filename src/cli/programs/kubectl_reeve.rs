//! `kubectl reeve`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::artifact::GetArtifact;
use crate::cluster::Connection;
use crate::completion::Completion;
use crate::exit;
use crate::trace::Trace;

/// Reeve from kubectl: what a run did, and what a Goal left
#[derive(Parser, Debug)]
#[command(name = "kubectl-reeve", bin_name = "kubectl reeve", version, arg_required_else_help = true)]
struct KubectlReeve {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows a run's journal as a timeline
    Trace(Trace),
    /// Fetches what a Goal left, and verifies its digest
    Artifact(GetArtifact),
    /// Prints the completion script of a shell
    #[command(after_help = "Example:\n  source <(kubectl reeve completion bash)")]
    Completion(Completion),
}

/// Runs `kubectl-reeve` with the arguments of this process.
pub fn main() -> ExitCode {
    let KubectlReeve { connection, command } = KubectlReeve::parse();
    exit::end(match command {
        Command::Trace(trace) => exit::block_on(trace.run(&connection)),
        Command::Artifact(artifact) => exit::block_on(artifact.run(&connection)),
        Command::Completion(completion) => completion.run(KubectlReeve::command(), "kubectl-reeve"),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_words_of_the_plugin_do_not_contradict_each_other() {
        super::KubectlReeve::command().debug_assert();
    }
}
