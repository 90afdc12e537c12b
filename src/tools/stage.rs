//! The stage between the launcher and a tool's program: `reeve tools exec`.
//!
//! The stage is the supervisor of one call. It enters a Landlock domain that only limits signals, forks, and the child confines itself
//! further and becomes the program. Whatever the program starts, however it detaches, stays in the domain: when the program ends, at the
//! timeout, or when the server goes, one `kill(-1)` ends all of it and nothing else. Being a subreaper, the supervisor then waits for
//! every one of them before it reports.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::Error;
use crate::confine;
use crate::instructions::{Instructions, Report, slot};
use crate::kernel::{self, Forked, Image};

/// What the launcher handed over.
struct Inherited {
    instructions: Instructions,
    report: UnixStream,
    program: OwnedFd,
    cwd: OwnedFd,
    stdio: Vec<OwnedFd>,
    grants: Vec<OwnedFd>,
}

/// Runs the program that the inherited instructions name, confined, and reports how it ended. `reeve tools exec`; started by the launcher
/// of [`crate::serve`] only.
///
/// # Errors
/// When it was not started by the launcher: its descriptors are missing. Everything later is reported on the inherited socket.
pub fn exec_confined() -> Result<(), Error> {
    let inherited = Inherited::take()?;
    let mut out = inherited.report.try_clone().map_err(Error::io("sharing the report socket"))?;
    let report = supervise(inherited).unwrap_or_else(|error| Report::NotStarted(error.to_string()));
    let text = serde_json::to_vec(&report).map_err(|e| Error::io("writing the report")(e.into()))?;
    // The server may be gone; then nobody wants the report.
    let _ = out.write_all(&text);
    Ok(())
}

impl Inherited {
    fn take() -> Result<Inherited, Error> {
        let take = |number| kernel::inherited(number).map_err(Error::io("taking an inherited descriptor: started by hand?"));
        let mut text = String::new();
        File::from(take(slot::INSTRUCTIONS)?).read_to_string(&mut text).map_err(Error::io("reading the instructions"))?;
        let instructions: Instructions = serde_json::from_str(&text).map_err(|e| Error::io("reading the instructions")(e.into()))?;
        Ok(Inherited {
            report: UnixStream::from(take(slot::REPORT)?),
            program: take(slot::PROGRAM)?,
            cwd: take(slot::CWD)?,
            stdio: slot::STDIO.into_iter().map(take).collect::<Result<_, _>>()?,
            grants: (slot::GRANTS..).zip(&instructions.grants).map(|(number, _)| take(number)).collect::<Result<_, _>>()?,
            instructions,
        })
    }

    /// Keeps the line to the server and closes all else: an end of the output pipe held open would keep the server reading.
    fn into_report(self) -> UnixStream {
        self.report
    }
}

fn supervise(inherited: Inherited) -> Result<Report, Error> {
    let deadline = Instant::now() + Duration::from_millis(inherited.instructions.timeout_ms);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Error::errno("tying the supervisor to the launcher"))?;
    // A supervisor in the launcher's session would get a terminal's signals; in a container there is none, and EPERM is for a leader.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(Error::errno("becoming a subreaper"))?;
    let signals = kernel::signals_as_fd(&[libc::SIGCHLD, libc::SIGTERM]).map_err(Error::io("listening for signals"))?;
    confine::enter_kill_scope()?;
    let (mut refusal, refused) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map(|(read, write)| (File::from(read), File::from(write)))
        .map_err(Error::errno("making a pipe"))?;
    let supervisor = rustix::process::getpid();
    let report = match kernel::fork().map_err(Error::io("forking the tool process"))? {
        Forked::Child => {
            drop(refusal);
            become_program(supervisor, &inherited, refused);
            kernel::exit_now(127)
        }
        Forked::Parent(main) => {
            drop(refused);
            let report = inherited.into_report();
            let mut why = String::new();
            let _ = refusal.read_to_string(&mut why);
            if why.is_empty() { watch(main, &signals, &report, deadline) } else { Report::NotStarted(why) }
        }
    };
    kernel::kill_all_in_reach();
    while let Ok(Some(_)) | Err(rustix::io::Errno::INTR) = rustix::process::wait(WaitOptions::empty()) {}
    Ok(report)
}

/// Waits for the first of: the program's end, the deadline, the server's word or its absence.
fn watch(main: Pid, signals: &OwnedFd, server: &UnixStream, deadline: Instant) -> Report {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Report::TimedOut;
        }
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(server, PollFlags::IN | PollFlags::RDHUP)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Report::NotStarted(format!("waiting for the program: {error}")),
        }
        let server_spoke = !fds[1].revents().is_empty();
        let terminated = kernel::pending_signals(signals).contains(&libc::SIGTERM);
        if let Some(report) = reap(main) {
            return report;
        }
        if server_spoke || terminated {
            return Report::Ended;
        }
    }
}

/// Collects every process that ended; the program's own end is the answer.
fn reap(main: Pid) -> Option<Report> {
    let mut answer = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == main {
            answer = Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Report::Exited(code),
                (None, Some(signal)) => Report::Signaled(signal),
                (None, None) => continue,
            });
        }
    }
    answer
}

/// The child's way: confine, then exec. What goes wrong is written to `refused`, which closes at exec.
fn become_program(supervisor: Pid, inherited: &Inherited, mut refused: File) {
    let error = match prepare(supervisor, inherited) {
        Ok(()) => {
            let Instructions { argv, env, script, .. } = &inherited.instructions;
            let image = script.as_deref().map_or(Image::Fd(inherited.program.as_fd()), Image::Path);
            let error = kernel::exec(image, argv, env);
            match error.raw_os_error() {
                Some(libc::ENOEXEC) => "not a program: neither a binary for this machine nor a script that starts with #!".to_owned(),
                _ => error.to_string(),
            }
        }
        Err(error) => error.to_string(),
    };
    let _ = refused.write_all(error.as_bytes());
}

fn prepare(supervisor: Pid, inherited: &Inherited) -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Error::errno("tying the tool to its supervisor"))?;
    if rustix::process::getppid() != Some(supervisor) {
        kernel::exit_now(127);
    }
    rustix::process::setsid().map_err(Error::errno("starting a session"))?;
    kernel::fresh_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::fchdir(&inherited.cwd).map_err(Error::errno("entering the working directory"))?;
    for (number, fd) in (0..).zip(&inherited.stdio) {
        kernel::become_stdio(fd.as_fd(), number).map_err(Error::io("placing standard input and output"))?;
    }
    if let Some(script) = &inherited.instructions.script {
        same_file(script, inherited.program.as_fd())?;
    }
    confine::restrict_resources()?;
    let grants = inherited.grants.iter().map(|fd| fd.as_fd()).zip(inherited.instructions.grants.iter().copied());
    confine::restrict_tool(grants)?;
    confine::filter_tool()?;
    kernel::close_at_exec_from(slot::FIRST).map_err(Error::io("closing descriptors"))
}

/// A script is executed by path; the path must still name the file that was judged.
fn same_file(script: &str, judged: BorrowedFd<'_>) -> Result<(), Error> {
    let named = rustix::fs::stat(script).map_err(Error::errno("looking at the script"))?;
    let judged = rustix::fs::fstat(judged).map_err(Error::errno("looking at the judged script"))?;
    if (named.st_dev, named.st_ino) == (judged.st_dev, judged.st_ino) {
        Ok(())
    } else {
        Err(Error::confinement("checking the script")("its path names another file than the one that was judged".to_owned()))
    }
}
