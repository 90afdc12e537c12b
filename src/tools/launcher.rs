//! PID 1 of the sandbox. It starts the server, then starts each tool process that the server asks for, and ends everything at the end.
//!
//! It stays small, has one thread and takes no input but the server's requests, so it can fork safely and carries no seccomp filter: a
//! tool's network profile is then a choice of the launcher's child, not bounded by the server's own filter.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::instructions::slot;
use crate::kernel::{self, Forked, Image};
use crate::{Error, ServeOptions, confine, server};

/// The server's requests, one byte each.
pub(crate) mod request {
    /// Start the stage with the descriptors sent along.
    pub(crate) const START: u8 = b's';
    /// End everything and exit with 0.
    pub(crate) const SHUTDOWN: u8 = b'q';
}

/// The most descriptors that one request carries: the fixed ones and a few grants.
pub(crate) const MAX_REQUEST_FDS: usize = 32;

/// Serves one run until it is told to stop. `reeve tools serve`, PID 1 of the container; call it before any thread exists.
///
/// Returns when the operator asked for the end (`reeve/shutdown`); by then every process is dead.
///
/// # Errors
/// [`Error::Degraded`], [`Error::Root`] and [`Error::Threads`] before anything starts; [`Error::ServerDied`] and [`Error::Terminated`] when it did not end by
/// the operator's word, with every process dead too.
pub fn serve(options: ServeOptions) -> Result<(), Error> {
    let abi = kernel::landlock_abi();
    if abi < confine::MIN_ABI {
        return Err(Error::Degraded { wanted: confine::MIN_ABI, found: abi });
    }
    if rustix::process::geteuid().is_root() {
        return Err(Error::Root);
    }
    let threads = std::fs::read_dir("/proc/self/task").map_err(Error::io("counting threads"))?.count();
    if threads != 1 {
        return Err(Error::Threads { found: threads });
    }
    let own_program = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::errno("opening /proc/self/exe"))?;
    // Only matters where it is not PID 1: there orphans would go to the machine's init.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(Error::errno("becoming a subreaper"))?;
    let signals = kernel::signals_as_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT]).map_err(Error::io("listening for signals"))?;
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(Error::errno("making the launcher's socket"))?;
    let launcher_pid = rustix::process::getpid();
    let server = match kernel::fork().map_err(Error::io("forking the server"))? {
        Forked::Child => {
            drop((ours, signals, own_program));
            server::run_and_exit(options, launcher_pid, theirs)
        }
        Forked::Parent(pid) => pid,
    };
    drop(theirs);
    let mut launcher = Launcher { own_program, signals, requests: ours, server, stages: Vec::new() };
    let end = launcher.work();
    launcher.end_everything();
    end
}

struct Launcher {
    own_program: OwnedFd,
    signals: OwnedFd,
    requests: OwnedFd,
    server: Pid,
    /// Supervisors that run.
    stages: Vec<Pid>,
}

impl Launcher {
    /// Works until the end, and says why it came.
    fn work(&mut self) -> Result<(), Error> {
        loop {
            let mut fds = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.requests, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Error::errno("waiting for work")(error)),
            }
            let asked = fds[1].revents().contains(PollFlags::IN);
            if asked && self.take_request() == Some(request::SHUTDOWN) {
                return Ok(());
            }
            let signal = kernel::pending_signals(&self.signals).into_iter().find(|signal| *signal != libc::SIGCHLD);
            self.reap()?;
            if let Some(signal) = signal {
                return Err(Error::Terminated { signal });
            }
        }
    }

    /// Reads one request and starts a stage if that is what it asks for. A server that is gone sends nothing; SIGCHLD tells of that.
    fn take_request(&mut self) -> Option<u8> {
        let mut byte = [0u8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_REQUEST_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            rustix::net::recvmsg(&self.requests, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
        let fds: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return None;
        }
        if byte[0] == request::START {
            // A fork that fails closes the report socket, and the server says so.
            if let Ok(pid) = self.start(&fds) {
                self.stages.push(pid);
            }
        }
        Some(byte[0])
    }

    fn start(&self, fds: &[OwnedFd]) -> std::io::Result<Pid> {
        match kernel::fork()? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                let mut layout: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
                layout.push(self.own_program.as_fd());
                if kernel::lay_out(&layout, slot::FIRST).is_ok() {
                    kernel::fresh_signals();
                    let own = slot::FIRST + i32::try_from(fds.len()).unwrap_or(0);
                    let argv = ["reeve", "tools", "exec"].map(str::to_owned);
                    if let Ok(program) = kernel::inherited(own) {
                        let _ = kernel::exec(Image::Fd(program.as_fd()), &argv, &[]);
                    }
                }
                kernel::exit_now(127)
            }
        }
    }

    /// Collects what ended. The server's end is the end of all.
    fn reap(&mut self) -> Result<(), Error> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.server {
                return Err(Error::ServerDied { how: how(status) });
            }
            let Some(place) = self.stages.iter().position(|stage| *stage == pid) else { continue };
            self.stages.swap_remove(place);
            if status.exit_status() != Some(0) {
                self.kill_strays();
            }
        }
        Ok(())
    }

    /// A supervisor that died (out of memory, say) leaves its tool's processes to us: every child that we did not start is one.
    fn kill_strays(&self) {
        loop {
            let strays: Vec<Pid> = children().into_iter().filter(|pid| *pid != self.server && !self.stages.contains(pid)).collect();
            if strays.is_empty() {
                return;
            }
            for pid in strays {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            }
        }
    }

    /// Ends every process and waits for the last. PID 1 reaches them all at once; elsewhere (tests) each supervisor ends its own tree.
    fn end_everything(&self) {
        if rustix::process::getpid().is_init() {
            kernel::kill_all_in_reach();
        } else {
            let _ = rustix::process::kill_process(self.server, Signal::KILL);
            for stage in &self.stages {
                let _ = rustix::process::kill_process(*stage, Signal::TERM);
            }
        }
        while let Ok(Some(_)) | Err(rustix::io::Errno::INTR) = rustix::process::wait(WaitOptions::empty()) {}
    }
}

fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => format!("{status:?}"),
    }
}

/// This process's children, zombies left out, from `/proc/<pid>/stat`: `pid (name) state ppid ...`, where the name may hold anything.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
            let state = fields.next();
            state != Some("Z") && fields.next().and_then(|parent| parent.parse().ok()) == Some(own)
        })
        .filter_map(Pid::from_raw)
        .collect()
}
