//! `reeve/call`: doing what was resolved and judged.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reeve_core::limits::CEILING_TOOL_TIMEOUT_MS;
use reeve_core::tool::wire::{Confinement, Outcome, Status};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Sandbox;
use super::handles::Prepared;
use super::scratch::Scratch;
use super::stages::{Running, Start, in_memory};
use crate::confine::Access;
use crate::files::{self, Answer};
use crate::instructions::Report;
use crate::output::{Kept, Output, bounded};
use crate::program::{self, Found};
use crate::refusal::Refusal;

/// What the kernel may buffer between a tool and the server, bytes: the most that an ordinary user may ask for.
const PIPE_BYTES: usize = 1024 * 1024;

/// What the model reads of a call that was halted.
const HALTED: &str = "killed, with everything it started: everything was to stop. What it had done so far stays";

/// How a call ended, before its wall time is known.
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) kept: Kept,
    pub(super) exit_code: Option<i32>,
    pub(super) commit: Option<String>,
}

/// A program and what it is given.
struct Run {
    program: Box<Found>,
    cwd: OwnedFd,
    argv: Vec<String>,
    stdin: Option<String>,
    timeout_ms: u64,
}

impl Sandbox {
    /// Does it. What goes wrong in the sandbox itself is an outcome too: the call has started, so it must have one.
    pub(crate) async fn perform(self: Arc<Sandbox>, prepared: Prepared, confinement: Confinement) -> Outcome {
        let started = Instant::now();
        let ended = self.clone().end_of(prepared, &confinement, started).await.unwrap_or_else(|refusal| {
            if self.halts.under_way() {
                return Ended { status: Status::Halted, ..said(Err(HALTED.to_owned()), &confinement) };
            }
            said(Err(format!("the sandbox failed: {}", refusal.message)), &confinement)
        });
        Outcome {
            status: ended.status,
            content: ended.kept.content,
            output_bytes: ended.kept.total_bytes,
            truncated: ended.kept.truncated,
            exit_code: ended.exit_code,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            commit: ended.commit,
        }
    }

    async fn end_of(self: Arc<Sandbox>, prepared: Prepared, confinement: &Confinement, started: Instant) -> Result<Ended, Refusal> {
        let deadline = started + Duration::from_millis(confinement.timeout_ms.min(CEILING_TOOL_TIMEOUT_MS));
        let answer = match prepared {
            Prepared::Run { program, cwd, argv, stdin, timeout_ms } => {
                return self.run(Run { program, cwd, argv, stdin, timeout_ms }, confinement).await;
            }
            Prepared::Diff => return self.diff(confinement).await,
            Prepared::Commit { message } => return self.commit(&message, confinement).await,
            Prepared::Search { start, is_dir, pattern } => {
                let sandbox = self.clone();
                let late = move || Instant::now() >= deadline || sandbox.halts.under_way();
                let search = move || files::search(&start.fd, &start.path, is_dir, &pattern, &late);
                match blocking(search).await? {
                    Some(answer) => answer,
                    None if self.halts.under_way() => return Err(Refusal::internal("the search was halted")),
                    None => return Ok(Ended { status: Status::Timeout, ..said(Err("the search took too long".into()), confinement) }),
                }
            }
            Prepared::Read { file, arguments } => blocking(move || files::read(&file, &arguments)).await?,
            Prepared::Write { place, content } => blocking(move || files::write(&place, &content)).await?,
            Prepared::Edit { place, file, old, new } => blocking(move || files::edit(&place, &file, &old, &new)).await?,
            Prepared::List { directory, depth } => blocking(move || files::list(&directory.fd, depth)).await?,
        };
        Ok(said(answer, confinement))
    }

    async fn run(&self, run: Run, confinement: &Confinement) -> Result<Ended, Refusal> {
        if !run.program.is_unchanged() {
            let text = format!("{} was changed since this call was judged; it was not run", run.program.path);
            return Ok(said(Err(text), confinement));
        }
        let scratch = Scratch::below(&self.options.scratch).map_err(Refusal::failed("making a scratch directory"))?;
        let stdin = match &run.stdin {
            Some(text) => in_memory(text.as_bytes())?,
            None => null()?,
        };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(Refusal::failed("making a pipe"))?;
        // A smaller pipe is only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
        let workspace = if confinement.workspace_writable { Access::Full } else { Access::ReadExecute };
        let timeout_ms = confinement.timeout_ms.min(run.timeout_ms).min(CEILING_TOOL_TIMEOUT_MS);
        let running = self.stages.start(Start {
            argv: run.argv,
            env: self.environment(scratch.path()),
            program: run.program.fd.as_fd(),
            script: run.program.script.then(|| run.program.path.clone()),
            cwd: run.cwd.as_fd(),
            stdio: [stdin.as_fd(), write.as_fd(), write.as_fd()],
            grants: vec![
                (self.workspace.root().as_fd(), workspace),
                (scratch.fd().as_fd(), Access::Full),
                (self.git_dir.as_fd(), Access::Read),
            ],
            timeout_ms,
        })?;
        drop(write);
        let mut output = Output::new(confinement);
        let report = drain(read, running, &mut output).await?;
        tokio::task::spawn_blocking(move || drop(scratch));
        Ok(told(report, output, timeout_ms, self.halts.under_way()))
    }

    /// The whole environment of a tool process. A fixed hash seed makes a test that depends on set order fail each time or never, so that
    /// what a replay shows is what happened; no bytecode files, so that running a test changes nothing in the workspace.
    fn environment(&self, scratch: &Path) -> Vec<(String, String)> {
        let scratch = scratch.to_string_lossy().into_owned();
        [
            ("PATH", program::PATH.to_owned()),
            ("HOME", scratch.clone()),
            ("TMPDIR", scratch),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONHASHSEED", "0".to_owned()),
            ("GIT_DIR", self.options.git_dir.to_string_lossy().into_owned()),
            ("GIT_WORK_TREE", self.workspace.path().to_owned()),
            ("GIT_OPTIONAL_LOCKS", "0".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Reads until the process tree is dead. Not until the pipe closes: a process of another call may hold a copy of its end.
async fn drain(read: OwnedFd, running: Running, output: &mut Output) -> Result<Option<Report>, Refusal> {
    use tokio::io::AsyncReadExt as _;
    let mut pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(read).map_err(Refusal::failed("reading a pipe"))?;
    let mut buffer = vec![0u8; 64 * 1024];
    let mut open = true;
    let report = running.report();
    tokio::pin!(report);
    let report = loop {
        tokio::select! {
            biased;
            read = pipe.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(read) => output.push(&buffer[..read]),
            },
            report = &mut report => break report,
        }
    };
    while let Ok(read @ 1..) = pipe.try_read(&mut buffer) {
        output.push(&buffer[..read]);
    }
    Ok(report)
}

fn told(report: Option<Report>, output: Output, timeout_ms: u64, halting: bool) -> Ended {
    let mut kept = output.finish();
    let (status, exit_code, suffix) = match report {
        Some(Report::Exited(code)) => (if code == 0 { Status::Ok } else { Status::Error }, Some(code), format!("exit code {code}")),
        Some(Report::Signaled(signal)) => (Status::Killed, None, format!("ended by signal {signal}")),
        Some(Report::TimedOut) => (Status::Timeout, None, format!("killed after {timeout_ms} ms, with everything it started")),
        // A halt takes supervisor and program in one stroke; one that still said how its program ended was not its victim.
        None if halting => (Status::Halted, None, HALTED.to_owned()),
        Some(Report::Ended) => (Status::Killed, None, "ended because the sandbox ends".to_owned()),
        Some(Report::NotStarted(why)) => (Status::Error, None, format!("not started: {why}")),
        None => (Status::Killed, None, "ended, and its supervisor with it: out of memory or processes?".to_owned()),
    };
    if !kept.content.is_empty() && !kept.content.ends_with('\n') {
        kept.content.push('\n');
    }
    kept.content.push_str(&suffix);
    Ended { status, kept, exit_code, commit: None }
}

pub(super) fn said(answer: Answer, confinement: &Confinement) -> Ended {
    let (status, text) = match answer {
        Ok(text) => (Status::Ok, text),
        Err(text) => (Status::Error, text),
    };
    Ended { status, kept: bounded(&text, confinement), exit_code: None, commit: None }
}

pub(super) fn null() -> Result<OwnedFd, Refusal> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(Refusal::failed("opening /dev/null"))
}

/// Runs file work off the threads that answer requests.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(Refusal::failed("a worker thread"))
}
