//! PID 1 of the sandbox. It starts the server, then starts each tool process that the server asks for, kills them all when it is told to,
//! and ends everything at the end.
//!
//! Between its two first forks it enters a Landlock domain that only limits signals. Every stage, and whatever comes of one, is born into
//! that domain; the server, `reeve tools attach` and the rest of the machine are not. So one `kill(-1)` reaches exactly the tool processes,
//! as PID 1 and elsewhere. (`everything_that_tools_started_is_dead_after_a_halt`, `outside_a_namespace_a_halt_reaches_no_bystander`)
//!
//! It stays small, has one thread and takes no input but the server's requests, so it can fork safely and carries no seccomp filter: a
//! tool's network profile is then a choice of the launcher's child, not bounded by the server's own filter.

use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read as _};
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
    /// Kill every tool process. The same byte comes back on the socket sent along, when the last one is dead.
    pub(crate) const HALT: u8 = b'h';
    /// End everything and exit with 0.
    pub(crate) const SHUTDOWN: u8 = b'q';
}

/// One look whether the server has ended, nanoseconds, and how many at most: half a second in all, of the two that a Pod has to end.
const SERVER_PATIENCE_NS: i64 = 50_000_000;
const SERVER_LOOKS: u32 = 10;

/// The most descriptors that one request carries: the fixed ones and a few grants.
pub(crate) const MAX_REQUEST_FDS: usize = 32;

/// Serves one run until it is told to stop. `reeve tools serve`, PID 1 of the container; call it before any thread exists.
///
/// Returns when the operator asked for the end (`reeve/shutdown`); by then every process that it started is dead. What the container's
/// runtime started beside it dies with PID 1.
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
    let server = match kernel::fork().map_err(Error::io("forking the server"))? {
        Forked::Child => {
            drop((ours, signals, own_program));
            server::run_and_exit(options, theirs)
        }
        Forked::Parent(pid) => pid,
    };
    drop(theirs);
    // After the server, which must stay out of its reach, and before the first stage. Should it fail, our end of the line goes, and with
    // it the server.
    confine::enter_kill_scope()?;
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
            if asked && self.take_request()? == Some(request::SHUTDOWN) {
                return Ok(());
            }
            let signal = kernel::pending_signals(&self.signals).into_iter().find(|signal| *signal != libc::SIGCHLD);
            self.reap()?;
            if let Some(signal) = signal {
                return Err(Error::Terminated { signal });
            }
        }
    }

    /// Reads one request and does what it asks for, but for the end. A server that is gone sends nothing; SIGCHLD tells of that.
    fn take_request(&mut self) -> Result<Option<u8>, Error> {
        let mut byte = [0u8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_REQUEST_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let Ok(received) = rustix::net::recvmsg(&self.requests, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC) else {
            return Ok(None);
        };
        let fds: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return Ok(None);
        }
        if byte[0] == request::START {
            // A fork that fails closes the report socket, and the server says so.
            if let Ok(pid) = self.start(&fds) {
                self.stages.push(pid);
            }
        }
        if byte[0] == request::HALT {
            self.halt()?;
            // A server that is gone needs no answer.
            let _ = fds.first().map(|answer| rustix::io::write(answer, &[request::HALT]));
        }
        Ok(Some(byte[0]))
    }

    /// Kills every tool process and returns when the last is dead and collected. Requests wait meanwhile, so none starts.
    ///
    /// Complete: the kernel marks everything in the domain under one lock that `fork` needs too, so what is not marked does not exist, and
    /// what is marked forks no more. Supervisors are in the domain like their tools, so none of them has to be alive or awake.
    fn halt(&mut self) -> Result<(), Error> {
        kernel::kill_all_in_reach();
        for stage in self.stages.drain(..) {
            let _ = rustix::process::waitpid(Some(stage), WaitOptions::empty());
        }
        self.kill_strays()
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
                self.kill_strays()?;
            }
        }
        Ok(())
    }

    /// A supervisor that died (out of memory, say) leaves its tool's processes to us: every child that we did not start is one.
    ///
    /// Once no child is left but what we started, no other process is: one of each's ancestors is our child until we collect it.
    ///
    /// # Errors
    /// When /proc cannot be read. What cannot be seen cannot be called dead, so that is the end of the sandbox.
    fn kill_strays(&self) -> Result<(), Error> {
        loop {
            let mut strays = children().map_err(Error::io("looking for processes in /proc"))?;
            strays.retain(|pid| *pid != self.server && !self.stages.contains(pid));
            // An orphan of somebody's `kubectl exec` comes to us too. It is out of our domain, so it stays, and is not waited for.
            strays.retain(|pid| rustix::process::kill_process(*pid, Signal::KILL).is_ok());
            if strays.is_empty() {
                return Ok(());
            }
            for pid in strays {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            }
        }
    }

    /// Ends every process that we started and waits for the last.
    ///
    /// The server first, so that it takes nobody's death for an outcome: what is cut off here is unknown. It is out of our reach; it ends itself
    /// when its line does.
    fn end_everything(mut self) {
        let _ = rustix::net::shutdown(&self.requests, rustix::net::Shutdown::Both);
        self.wait_for_server();
        // Should it fail, everything is killed all the same, only not waited for.
        let _ = self.halt();
        drop(self.requests);
        let _ = rustix::process::waitpid(Some(self.server), WaitOptions::empty());
    }

    /// Waits for the server's end, but not long: its processes are not to outlive it by much.
    fn wait_for_server(&self) {
        let patience = rustix::fs::Timespec { tv_sec: 0, tv_nsec: SERVER_PATIENCE_NS };
        for _ in 0..SERVER_LOOKS {
            if !matches!(rustix::process::waitpid(Some(self.server), WaitOptions::NOHANG), Ok(None)) {
                return;
            }
            let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&patience));
            let _ = kernel::pending_signals(&self.signals);
        }
    }
}

fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => format!("{status:?}"),
    }
}

/// This process's children, those included that are dead and not yet collected.
///
/// Not by their state: a process whose first thread has ended looks like a zombie while its other threads run on.
fn children() -> std::io::Result<Vec<Pid>> {
    let own = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        if parent_of(pid)? == Some(own) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The parent of a process; none when it is gone, or was started from outside of this namespace.
///
/// From `/proc/<pid>/stat`: `pid (name) state parent ...`, where the name is up to the process and may hold any byte.
fn parent_of(pid: Pid) -> std::io::Result<Option<Pid>> {
    // The name has 15 bytes at most, so the parent stands well within.
    let mut stat = [0u8; 256];
    let read = File::open(format!("/proc/{}/stat", pid.as_raw_nonzero())).and_then(|mut file| file.read(&mut stat));
    let length = match read {
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    let after_name = stat[..length].rsplit(|byte| *byte == b')').next().unwrap_or_default();
    let parent = after_name.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(1);
    Ok(parent.and_then(|parent| std::str::from_utf8(parent).ok()?.parse().ok()).and_then(Pid::from_raw))
}
