//! The kernel calls that no crate in the tree wraps safely. All `unsafe` of the process side stands here, each with its reason.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

/// Which side of a [`fork`] this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The one that forked, with the child's id.
    Parent(Pid),
}

/// Forks. Only for a process with one thread: the child then may allocate and run any code.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: callers have one thread, so no lock can be held by a thread that the child lacks.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Pid::from_raw(pid).map(Forked::Parent).ok_or_else(|| io::Error::other("fork gave no pid")),
    }
}

/// Ends the process at once: no destructors, no buffers, so that a forked child leaves nothing of its parent's behind.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(code)
    }
}

/// Blocks these signals and delivers them through a descriptor instead.
pub(crate) fn signals_as_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by `sigemptyset` before use; the descriptor that `signalfd` gives is ours alone.
    #[allow(unsafe_code)]
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The signals that wait in a descriptor of [`signals_as_fd`].
pub(crate) fn pending_signals(fd: &OwnedFd) -> Vec<i32> {
    const RECORD: usize = std::mem::size_of::<libc::signalfd_siginfo>();
    let mut buffer = [0u8; RECORD * 16];
    let mut found = Vec::new();
    while let Ok(read) = rustix::io::read(fd, &mut buffer[..]) {
        // `ssi_signo` is the first field, a u32.
        found.extend(buffer[..read].chunks_exact(RECORD).map(|record| i32::from_ne_bytes([record[0], record[1], record[2], record[3]])));
        if read == 0 {
            break;
        }
    }
    found
}

/// Gives the process the signal state of a fresh one: nothing blocked, nothing ignored. Rust ignores SIGPIPE, and `exec` keeps that.
pub(crate) fn fresh_signals() {
    // SAFETY: plain system calls on initialised sets; a signal whose disposition cannot be changed answers an error that is of no interest.
    #[allow(unsafe_code)]
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// SIGKILL to every process that this one may signal, but for itself and PID 1 of its namespace. The kernel walks the list under one lock
/// that `fork` needs too, so a fork bomb does not get away.
///
/// The caller must be under Landlock's signal scope; anything else would reach too far.
pub(crate) fn kill_all_in_reach() {
    // SAFETY: `kill` has no memory preconditions.
    #[allow(unsafe_code)]
    unsafe {
        libc::kill(-1, libc::SIGKILL);
    }
}

/// The Landlock ABI of the running kernel; 0 where there is none.
pub(crate) fn landlock_abi() -> u32 {
    const CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with a null attribute and this flag the call reads no memory and answers the version.
    #[allow(unsafe_code)]
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, CREATE_RULESET_VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Takes over a descriptor that was inherited under this number.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD answers whether the number is open; it is by contract ours alone.
    #[allow(unsafe_code)]
    unsafe {
        if libc::fcntl(number, libc::F_GETFD) == -1 {
            return Err(io::Error::last_os_error());
        }
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Puts `fds` at the numbers `first..`, to be inherited by `exec`, and closes everything above them. What held those numbers is closed.
pub(crate) fn lay_out(fds: &[BorrowedFd<'_>], first: RawFd) -> io::Result<()> {
    const ABOVE_EVERY_TARGET: RawFd = 300;
    let mut high = Vec::with_capacity(fds.len());
    for fd in fds {
        // SAFETY: F_DUPFD_CLOEXEC makes a descriptor of our own at a number that no target uses.
        #[allow(unsafe_code)]
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE_EVERY_TARGET) };
        if copy == -1 {
            return Err(io::Error::last_os_error());
        }
        high.push(copy);
    }
    for (target, copy) in (first..).zip(&high) {
        // SAFETY: both are numbers of this process; the child that calls this uses no descriptor by its old number again.
        #[allow(unsafe_code)]
        if unsafe { libc::dup2(*copy, target) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    let after = first + RawFd::try_from(fds.len()).unwrap_or(0);
    close_range(after, 0)
}

/// Makes every descriptor from `first` on close at `exec`.
pub(crate) fn close_at_exec_from(first: RawFd) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: RawFd, flags: u32) -> io::Result<()> {
    // SAFETY: the caller gives up every descriptor from `first` on, or only marks them.
    #[allow(unsafe_code)]
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Replaces one of the standard descriptors.
pub(crate) fn become_stdio(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: 0, 1 and 2 are owned by nobody in a forked child; `dup2` clears close-on-exec, as wanted.
    #[allow(unsafe_code)]
    let done = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What is to be executed.
pub(crate) enum Image<'a> {
    /// The file behind this descriptor.
    Fd(BorrowedFd<'a>),
    /// The file at this path: scripts, whose interpreter opens them by name.
    Path(&'a str),
}

/// Becomes another program. Returns only on failure.
pub(crate) fn exec(image: Image<'_>, argv: &[String], env: &[(String, String)]) -> io::Error {
    let strings = || -> io::Result<(Vec<CString>, Vec<CString>)> {
        let argv = argv.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>()?;
        let env = env.iter().map(|(name, value)| CString::new(format!("{name}={value}"))).collect::<Result<_, _>>()?;
        Ok((argv, env))
    };
    let (argv, env) = match strings() {
        Ok(both) => both,
        Err(error) => return error,
    };
    let pointers = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (argv, env) = (pointers(&argv), pointers(&env));
    match image {
        // SAFETY: both arrays end with null and their strings live until `exec` has copied them or failed.
        #[allow(unsafe_code)]
        Image::Fd(fd) => unsafe {
            libc::syscall(libc::SYS_execveat, fd.as_raw_fd(), c"".as_ptr(), argv.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH);
        },
        Image::Path(path) => {
            let Ok(path) = CString::new(path) else { return io::Error::from(io::ErrorKind::InvalidInput) };
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe {
                libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
            }
        }
    }
    io::Error::last_os_error()
}
