//! The crate's commands as a program of their own, for its tests and for trying a sandbox by hand:
//! `tools serve ROOT RUN_UID`, `tools attach ROOT`, `tools exec`, `tools install PATH`, where ROOT holds the volumes.

use std::path::Path;
use std::process::ExitCode;

use reeve_tools::{Error, ServeOptions, attach, exec_confined, install, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // The launcher starts the stage as `reeve tools exec`.
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).filter(|word| *word != "tools").collect();
    match run(&words) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("expected: serve ROOT RUN_UID | attach ROOT | exec | install PATH, found: {words:?}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Option<Result<(), Error>> {
    match words {
        ["serve", root, run_uid] => Some(serve(below(Path::new(root), run_uid))),
        ["attach", root] => Some(attach(&below(Path::new(root), "").socket)),
        ["exec"] => Some(exec_confined()),
        ["install", path] => Some(install(Path::new(path))),
        _ => None,
    }
}

fn below(root: &Path, run_uid: &str) -> ServeOptions {
    ServeOptions {
        run_uid: run_uid.to_owned(),
        workspace: root.join("workspace"),
        git_dir: root.join("git"),
        ledger: root.join("ledger"),
        socket: root.join("run/tools.sock"),
        scratch: root.join("tmp"),
    }
}
