//! Errors at the crate's outer edge: what `reeve tools ...` prints before it exits.

use std::io;
use std::path::PathBuf;

/// Why one of the crate's commands ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel cannot confine tools.
    #[error(
        "expected Landlock ABI {wanted} or newer, found {found} (0 is none: gVisor and old kernels have no Landlock). Tools cannot be \
         confined here, so none will run. Use a node with Linux 6.12 or newer, or accept this runtime by name in the profile (SandboxDegraded)"
    )]
    Degraded {
        /// What confinement needs.
        wanted: u32,
        /// What the kernel has.
        found: u32,
    },
    /// Started as root.
    #[error("expected a user other than root, found uid 0. Root passes file permissions and process limits; run the sandbox as uid 65532")]
    Root,
    /// Called too late.
    #[error(
        "expected one thread when the launcher starts, found {found}: a fork would copy the locks of the others. Call `serve` before any runtime"
    )]
    Threads {
        /// How many there are.
        found: usize,
    },
    /// The MCP server ended without being asked to.
    #[error("the tool server ended unexpectedly ({how}); every process was ended")]
    ServerDied {
        /// Its exit code or signal.
        how: String,
    },
    /// SIGTERM or SIGINT arrived.
    #[error("ended by signal {signal}; every process was ended")]
    Terminated {
        /// Which.
        signal: i32,
    },
    /// Nobody listens.
    #[error("no tool server answers for {socket} after {waited_ms} ms: is `reeve tools serve` running in this container?")]
    NoServer {
        /// Path that names the socket.
        socket: PathBuf,
        /// How long was tried.
        waited_ms: u64,
    },
    /// Confinement could not be put on.
    #[error("confinement failed while {doing}: {what}")]
    Confinement {
        /// The step.
        doing: &'static str,
        /// The error.
        what: String,
    },
    /// A system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// The step.
        doing: String,
        /// The error.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source }
    }

    pub(crate) fn errno(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source: source.into() }
    }

    pub(crate) fn confinement(doing: &'static str) -> impl FnOnce(String) -> Error {
        move |what| Error::Confinement { doing, what }
    }
}
