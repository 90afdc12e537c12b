//! `reeve`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::artifacts::ArtifactsCommand;
use crate::backtest::Backtest;
use crate::completion::Completion;
use crate::crds::Crds;
use crate::exit;
use crate::generate::Generate;
use crate::journal::JournalCommand;
use crate::operator::Operator;
use crate::tools::Tools;

/// Human-governed autonomy on Kubernetes
#[derive(Parser, Debug)]
#[command(name = "reeve", version, arg_required_else_help = true, propagate_version = true, after_help = EXIT_CODES)]
struct Reeve {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the answer is no (a journal that does not verify, a file that differs, a refusal); \
                          2 it could not be tried (a bad argument, a file that cannot be read).";

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the operator
    Operator(Box<Operator>),
    /// What runs inside a sandbox
    Tools(Tools),
    /// Verifies, shows and exports the journal
    Journal(JournalCommand),
    /// Looks after the artifact store
    Artifacts(ArtifactsCommand),
    /// Runs a strategy against recorded markets
    Backtest(Backtest),
    /// Prints the CustomResourceDefinitions, or brings a cluster's up to date
    Crds(Crds),
    /// Writes what is generated in this repository
    Generate(Generate),
    /// Prints the completion script of a shell
    #[command(after_help = "Example:\n  source <(reeve completion bash)")]
    Completion(Completion),
}

/// Runs `reeve` with the arguments of this process.
pub fn main() -> ExitCode {
    exit::end(match exit::arguments::<Reeve>().command {
        Command::Tools(tools) => tools.run(),
        Command::Operator(operator) => operator.run(),
        Command::Journal(journal) => exit::block_on(journal.run()),
        Command::Artifacts(artifacts) => exit::block_on(artifacts.run()),
        Command::Backtest(backtest) => backtest.run(),
        Command::Crds(crds) => crds.run(),
        Command::Generate(generate) => generate.run(),
        Command::Completion(completion) => completion.run(Reeve::command(), "reeve"),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_words_of_reeve_do_not_contradict_each_other() {
        super::Reeve::command().debug_assert();
    }
}
