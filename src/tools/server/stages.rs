//! The server's side of starting a process: it asks the launcher, and hears from the stage how it went.

use std::fs::File;
use std::io::{IoSlice, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::MemfdFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use crate::confine::Access;
use crate::instructions::{Instructions, Report};
use crate::launcher::{MAX_REQUEST_FDS, request};
use crate::refusal::Refusal;

/// The line to the launcher.
#[derive(Debug)]
pub(crate) struct Stages(Mutex<Line>);

#[derive(Debug)]
struct Line {
    launcher: OwnedFd,
    /// Between a halt's request and the word that everything may start again: no stage is asked for.
    halting: bool,
}

/// A process to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) program: BorrowedFd<'a>,
    pub(crate) script: Option<String>,
    pub(crate) cwd: BorrowedFd<'a>,
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    pub(crate) grants: Vec<(BorrowedFd<'a>, Access)>,
    pub(crate) timeout_ms: u64,
}

/// A process that was started. Dropping it ends the process and all that came of it.
#[derive(Debug)]
pub(crate) struct Running(UnixStream);

impl Stages {
    pub(crate) fn new(launcher: OwnedFd) -> Stages {
        Stages(Mutex::new(Line { launcher, halting: false }))
    }

    /// Starts a process.
    ///
    /// # Errors
    /// INTERNAL when the launcher cannot be asked, and while a halt is under way.
    pub(crate) fn start(&self, start: Start<'_>) -> Result<Running, Refusal> {
        let failed = || Refusal::failed::<rustix::io::Errno>("asking the launcher for a process");
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(Refusal::failed("making a socket"))?;
        let instructions = Instructions {
            argv: start.argv,
            env: start.env,
            script: start.script,
            timeout_ms: start.timeout_ms,
            grants: start.grants.iter().map(|(_, access)| *access).collect(),
        };
        let text = serde_json::to_vec(&instructions).map_err(Refusal::failed("writing instructions"))?;
        let instructions = in_memory(&text)?;
        let [stdin, stdout, stderr] = start.stdio;
        let mut fds = vec![instructions.as_fd(), theirs.as_fd(), start.program, start.cwd, stdin, stdout, stderr];
        fds.extend(start.grants.iter().map(|(fd, _)| *fd));
        if fds.len() > MAX_REQUEST_FDS {
            return Err(Refusal::internal(format!("{} descriptors for one process; at most {MAX_REQUEST_FDS}", fds.len())));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_REQUEST_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let line = self.line();
        if line.halting {
            return Err(Refusal::internal("nothing starts while everything is being killed"));
        }
        rustix::net::sendmsg(&line.launcher, &[IoSlice::new(&[request::START])], &mut ancillary, SendFlags::NOSIGNAL).map_err(failed())?;
        drop(line);
        ours.set_nonblocking(true).map_err(Refusal::failed("making a socket"))?;
        UnixStream::from_std(ours).map(Running).map_err(Refusal::failed("making a socket"))
    }

    /// Has every process killed that was ever started, and returns when the last is dead. None starts until [`Stages::resume`].
    ///
    /// # Errors
    /// INTERNAL when there is no descriptor to ask with, or when the launcher is gone; then nothing starts any more.
    pub(crate) async fn halt(&self) -> Result<(), Refusal> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(Refusal::failed("making a socket"))?;
        ours.set_nonblocking(true).map_err(Refusal::failed("making a socket"))?;
        let mut answer = UnixStream::from_std(ours).map_err(Refusal::failed("making a socket"))?;
        {
            let fds = [theirs.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            // Requests are taken in order: what was asked for before is killed, and nothing is asked for after.
            let mut line = self.line();
            rustix::net::sendmsg(&line.launcher, &[IoSlice::new(&[request::HALT])], &mut ancillary, SendFlags::NOSIGNAL)
                .map_err(Refusal::failed("asking the launcher to halt"))?;
            line.halting = true;
        }
        drop(theirs);
        answer.read_u8().await.map(drop).map_err(Refusal::failed("waiting until every process is dead"))
    }

    /// Lets processes start again.
    pub(crate) fn resume(&self) {
        self.line().halting = false;
    }

    /// Tells the launcher to end everything, this process included.
    pub(crate) fn shut_down(&self) -> Result<(), Refusal> {
        let line = self.line();
        rustix::net::send(&line.launcher, &[request::SHUTDOWN], SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(Refusal::failed("asking for the end"))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Waits until the process and everything that came of it is dead. None when its supervisor died without a word.
    pub(crate) async fn report(mut self) -> Option<Report> {
        let mut text = Vec::new();
        self.0.read_to_end(&mut text).await.ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// A file in memory that reads `bytes` from its start.
pub(crate) fn in_memory(bytes: &[u8]) -> Result<OwnedFd, Refusal> {
    let write = || -> std::io::Result<OwnedFd> {
        let mut file = File::from(rustix::fs::memfd_create("reeve", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file.into())
    };
    write().map_err(Refusal::failed("making a file in memory"))
}
