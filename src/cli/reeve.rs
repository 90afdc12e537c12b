//! `reeve`: the operator, what runs in its sandboxes, and what a person needs beside a journal.

fn main() -> std::process::ExitCode {
    reeve_cli::reeve()
}
