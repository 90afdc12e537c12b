//! Finding the program of a call, and its digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use reeve_core::Digest;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use sha2::{Digest as _, Sha256};

use crate::confine::SYSTEM_DIRS;
use crate::refusal::Refusal;
use crate::workspace::{Workspace, path_of};

/// Where programs without a slash are looked up, and `PATH` of every tool process. Fixed: an image's own `PATH` is not judged by anybody.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The largest program that is hashed, bytes. A compiler driver or a node binary stays far below.
const MAX_PROGRAM_BYTES: i64 = 512 * 1024 * 1024;
/// Digests remembered: a run uses a handful of programs.
const MAX_REMEMBERED: usize = 256;

/// A program, held open.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) fd: OwnedFd,
    /// Absolute, after links.
    pub(crate) path: String,
    pub(crate) digest: Digest,
    /// Whether it starts with `#!`.
    pub(crate) script: bool,
    /// Path in the workspace, if it lies there.
    pub(crate) in_workspace: Option<String>,
    version: Version,
}

/// What changes when a file's bytes do: the kernel sets the change time at every write, and no user can set it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    dev: u64,
    ino: u64,
    size: i64,
    changed_s: i64,
    changed_ns: u64,
    modified_s: i64,
    modified_ns: u64,
}

/// Digests of programs by version.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    digests: Mutex<BTreeMap<Version, Digest>>,
}

impl Programs {
    /// Finds `name` as a process in `cwd` would: through the fixed path, absolute in a system directory, or by a slash below the workspace.
    ///
    /// # Errors
    /// INVALID when there is no such program or it cannot be executed, ESCAPE when it lies elsewhere.
    pub(crate) fn find(&self, workspace: &Workspace, cwd: &str, name: &str) -> Result<Found, Refusal> {
        if name.is_empty() || name.contains('\0') {
            return Err(Refusal::invalid(format!("expected a program's name, found {name:?}")));
        }
        let below = name.strip_prefix(workspace.path()).and_then(|rest| rest.strip_prefix('/'));
        if let Some(below) = below {
            return self.in_workspace(workspace, below);
        }
        if name.starts_with('/') {
            return self.in_system(name, name);
        }
        if name.contains('/') {
            return self.in_workspace(workspace, &format!("{cwd}/{name}"));
        }
        let candidate = PATH.split(':').map(|dir| format!("{dir}/{name}")).find(|path| {
            // A directory or a file without the bit is passed over, as `execvp` does.
            rustix::fs::stat(path.as_str()).is_ok_and(|stat| executable(&stat))
        });
        let path = candidate.ok_or_else(|| {
            Refusal::invalid(format!("expected a program, found no {name:?} in {PATH}; for one of the workspace write ./{name}"))
        })?;
        self.in_system(name, &path)
    }

    fn in_workspace(&self, workspace: &Workspace, path: &str) -> Result<Found, Refusal> {
        let opened = workspace.file(path)?;
        let absolute = format!("{}/{}", workspace.path(), opened.path);
        self.hold(opened.fd, &opened.stat, absolute, Some(opened.path))
    }

    fn in_system(&self, name: &str, path: &str) -> Result<Found, Refusal> {
        let no_program = |error: rustix::io::Errno| Refusal::invalid(format!("expected a program at {path:?}: {error}"));
        // Without reading first: opening a device could do something.
        let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(no_program)?;
        let stat = rustix::fs::fstat(&place).map_err(no_program)?;
        let absolute = path_of(&place).ok_or_else(|| Refusal::invalid(format!("the name behind {path:?} is not UTF-8")))?;
        let allowed = SYSTEM_DIRS.iter().any(|dir| absolute.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')));
        if !allowed {
            let mut refusal = Refusal::escape(name);
            refusal.message = format!("expected a program of the workspace or of {}, found {absolute:?}", SYSTEM_DIRS.join(" "));
            return Err(refusal);
        }
        if !executable(&stat) {
            return Err(Refusal::invalid(format!("{absolute:?} is not executable")));
        }
        let link = format!("/proc/self/fd/{}", place.as_raw_fd());
        let fd = rustix::fs::open(link.as_str(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).map_err(no_program)?;
        self.hold(fd, &stat, absolute, None)
    }

    fn hold(&self, fd: OwnedFd, stat: &Stat, path: String, in_workspace: Option<String>) -> Result<Found, Refusal> {
        if !executable(stat) {
            return Err(Refusal::invalid(format!("{path:?} is not executable; run its interpreter with it, or set its mode")));
        }
        if stat.st_size > MAX_PROGRAM_BYTES {
            return Err(Refusal::invalid(format!("{path:?} has {} bytes; at most {MAX_PROGRAM_BYTES} are hashed", stat.st_size)));
        }
        let unreadable = Refusal::failed(format!("reading {path:?}"));
        let (digest, script) = self.digest(&fd, Version::of(stat)).map_err(unreadable)?;
        Ok(Found { fd, path, digest, script, in_workspace, version: Version::of(stat) })
    }

    fn digest(&self, fd: &OwnedFd, version: Version) -> std::io::Result<(Digest, bool)> {
        let mut file = File::from(fd.try_clone()?);
        let mut start = [0u8; 2];
        let script = rustix::io::pread(&file, &mut start, 0)? == 2 && &start == b"#!";
        if let Some(digest) = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(&version) {
            return Ok((*digest, script));
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0u8; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        let digest = Digest::finish(hasher);
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= MAX_REMEMBERED {
            digests.clear();
        }
        digests.insert(version, digest);
        Ok((digest, script))
    }
}

impl Found {
    /// Whether its bytes are still those that were hashed.
    pub(crate) fn is_unchanged(&self) -> bool {
        rustix::fs::fstat(&self.fd).is_ok_and(|stat| Version::of(&stat) == self.version)
    }
}

impl Version {
    fn of(stat: &Stat) -> Version {
        Version {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size,
            changed_s: stat.st_ctime,
            changed_ns: stat.st_ctime_nsec,
            modified_s: stat.st_mtime,
            modified_ns: stat.st_mtime_nsec,
        }
    }
}

fn executable(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o111 != 0
}
