//! Resource limits of one tool process.
//!
//! None on memory. RLIMIT_AS counts addresses and RLIMIT_DATA writable mappings, and both refuse what node, the JVM, Go's race detector and
//! the sanitizers reserve by the tebibyte and never touch. The Pod's memory limit bounds memory, and the kernel is told to take tools first.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Error;

/// Processes and threads. The kernel counts them per user id on the whole node, so this must leave room for other sandboxes of the same
/// uid; parallel test runners and a JVM stay below it, a fork bomb does not. The Pod's own pids limit is the finer one.
const MAX_PROCESSES: u64 = 512;
/// Open files: the customary soft limit, which `select` needs.
const MAX_OPEN_FILES: u64 = 1024;
/// Size of one file, bytes: above any build product we have seen, below a usual workspace volume.
const MAX_FILE_SIZE_BYTES: u64 = 1024 * 1024 * 1024;

/// How far a tool stands behind the launcher and the server when processors are short. Among [`MAX_PROCESSES`] that never sleep, an equal
/// waits for seconds until it may kill them; like this, a few milliseconds. Inside the Pod only: its share of the node is its own.
const NICENESS: i32 = 10;

/// Puts the limits on the calling process, lets the sandbox's own processes go first, and offers it first to the out-of-memory killer.
///
/// # Errors
/// When the kernel refuses a limit. It never refuses to lower one.
pub(crate) fn restrict_resources() -> Result<(), Error> {
    let limits =
        [(Resource::Nproc, MAX_PROCESSES), (Resource::Nofile, MAX_OPEN_FILES), (Resource::Fsize, MAX_FILE_SIZE_BYTES), (Resource::Core, 0)];
    for (resource, most) in limits {
        let allowed = rustix::process::getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) }).map_err(Error::errno("setting a resource limit"))?;
    }
    // Needs no privilege. Where it fails nonetheless, the sandbox is slower to answer and as confined as ever.
    let _ = rustix::process::nice(NICENESS);
    // Raising one's own score needs no privilege. Where /proc forbids it the tool is merely not preferred.
    if let Ok(mut score) = std::fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj") {
        let _ = score.write_all(b"1000");
    }
    Ok(())
}
