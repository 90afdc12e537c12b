//! `kubectl reeve`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use reeve_api::VoteVerdict;

use crate::artifact::GetArtifact;
use crate::cluster::Connection;
use crate::completion::Completion;
use crate::exit;
use crate::fork::{EXAMPLES as EXAMPLES_FORK, Fork};
use crate::govern::{Approvals, Ballot, Budget, Doctor, EXAMPLES_APPROVE, EXAMPLES_DENY, Kill, Release};
use crate::recorded::{EXAMPLES_REPLAY, EXAMPLES_WHAT_IF, ReplayRun, WhatIfRun};
use crate::trace::Trace;

/// Reeve from kubectl: what waits for you, what may be spent, what a run did, and what a Goal left
#[derive(Parser, Debug)]
#[command(name = "kubectl-reeve", bin_name = "kubectl reeve", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct KubectlReeve {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the answer is no (a refusal, a vote that does not count, a wait that ran out, a FAIL); \
                          2 it could not be tried (a bad argument, no cluster).";

#[derive(Subcommand, Debug)]
enum Command {
    /// Lists what waits for people
    Approvals(Approvals),
    /// Votes that something may be done, after showing it
    #[command(after_help = EXAMPLES_APPROVE)]
    Approve(Ballot),
    /// Votes that something may not be done
    #[command(after_help = EXAMPLES_DENY)]
    Deny(Ballot),
    /// Shows what may be spent, or raises it
    Budget(Box<Budget>),
    /// Stops every run of a namespace, or every run there is
    Kill(Kill),
    /// Lets what was stopped go on
    Release(Release),
    /// Says who may do what, and whether what keeps Reeve's promises is in force
    Doctor(Doctor),
    /// Shows a run's journal as a timeline
    Trace(Trace),
    /// Folds a recorded run through this version's code: the same commands come out, or the first divergence is shown
    #[command(after_help = EXAMPLES_REPLAY)]
    Replay(ReplayRun),
    /// Judges a run's tool calls again, under another PolicySet: what would change
    #[command(after_help = EXAMPLES_WHAT_IF)]
    WhatIf(WhatIfRun),
    /// Begins another run that goes on from a row of a run's journal
    #[command(after_help = EXAMPLES_FORK)]
    Fork(Fork),
    /// Fetches what a Goal left, and verifies its digest
    Artifact(GetArtifact),
    /// Prints the completion script of a shell
    #[command(after_help = "Example:\n  source <(kubectl reeve completion bash)")]
    Completion(Completion),
}

/// Runs `kubectl-reeve` with the arguments of this process.
pub fn main() -> ExitCode {
    let KubectlReeve { connection, command } = exit::arguments();
    exit::end(match command {
        Command::Approvals(approvals) => exit::block_on(approvals.run(&connection)),
        Command::Approve(ballot) => exit::block_on(ballot.run(&connection, VoteVerdict::Approve)),
        Command::Deny(ballot) => exit::block_on(ballot.run(&connection, VoteVerdict::Deny)),
        Command::Budget(budget) => exit::block_on(budget.run(&connection)),
        Command::Kill(kill) => exit::block_on(kill.run(&connection)),
        Command::Release(release) => exit::block_on(release.run(&connection)),
        Command::Doctor(doctor) => exit::block_on(doctor.run(&connection)),
        Command::Trace(trace) => exit::block_on(trace.run(&connection)),
        Command::Replay(replay) => exit::block_on(replay.run(&connection)),
        Command::WhatIf(what_if) => exit::block_on(what_if.run(&connection)),
        Command::Fork(fork) => exit::block_on(fork.run(&connection)),
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
