//! How a program ends.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;
use reeve_operator::masked;

/// Why a command did not do what it was asked to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The answer is no: the journal does not verify, a file differs, the cluster refused. Exit code 1.
    No(String),
    /// It could not be tried: a bad argument, a file that cannot be read or written. Exit code 2.
    Unusable(String),
    /// Who read the output has closed it (`reeve journal show | head`): nothing went wrong. Exit code 0.
    OutputClosed,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(why: impl Display) -> Failure {
        Failure::No(why.to_string())
    }

    /// It could not be tried.
    pub(crate) fn unusable(why: impl Display) -> Failure {
        Failure::Unusable(why.to_string())
    }

    /// Writing `what` failed.
    pub(crate) fn writing(what: impl Display) -> impl FnOnce(std::io::Error) -> Failure {
        move |error| {
            let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
            if closed { Failure::OutputClosed } else { Failure::Unusable(format!("writing {what}: {error}")) }
        }
    }

    /// Reading `what` failed.
    pub(crate) fn reading(what: impl Display) -> impl FnOnce(std::io::Error) -> Failure {
        move |error| Failure::Unusable(format!("reading {what}: {error}"))
    }
}

/// Ends the program: the message on standard error, without what the log does not show either, and the code for the shell.
pub(crate) fn end(outcome: Result<(), Failure>) -> ExitCode {
    let (why, code) = match outcome {
        Ok(()) | Err(Failure::OutputClosed) => return ExitCode::SUCCESS,
        Err(Failure::No(why)) => (why, 1),
        Err(Failure::Unusable(why)) => (why, 2),
    };
    eprintln!("error: {}", masked(&why));
    ExitCode::from(code)
}

/// Reads the arguments of this process, or ends it. What is wrong with them is said without what looks like a secret: clap quotes an argument
/// that it does not take, and that could be a URL with a password.
pub(crate) fn arguments<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        eprint!("{}", masked(&error.render().to_string()));
        std::process::exit(error.exit_code())
    })
}

/// A runtime for commands that talk to a file or a cluster, and end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::unusable(format!("starting the runtime: {error}")))?.block_on(work)
}
