//! `completion`: the script that teaches a shell this program's words.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use crate::exit::Failure;
use crate::output;

/// The shells that people run Kubernetes tools from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

/// Prints a completion script.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell
    shell: For,
}

impl Completion {
    /// Prints the script for `program`, whose name is `name`.
    pub(crate) fn run(&self, mut program: Command, name: &str) -> Result<(), Failure> {
        let shell = match self.shell {
            For::Bash => Shell::Bash,
            For::Zsh => Shell::Zsh,
            For::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, &mut program, name, &mut script);
        output::write(&String::from_utf8_lossy(&script))
    }
}
