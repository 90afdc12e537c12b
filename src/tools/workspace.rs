//! Opening files of the workspace. Every path is walked by the kernel beneath a descriptor of the workspace; none is compared as text.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::refusal::Refusal;

/// The work tree, held open.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: OwnedFd,
    /// Its path as the kernel names it.
    path: String,
}

/// Something that exists in the workspace, held open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) fd: OwnedFd,
    /// Relative to the workspace, without `..` and links; `.` is the workspace.
    pub(crate) path: String,
    pub(crate) stat: Stat,
}

/// A place where a file can be put.
#[derive(Debug)]
pub(crate) struct Place {
    /// The deepest directory that exists.
    pub(crate) parent: OwnedFd,
    /// Its path.
    pub(crate) parent_path: String,
    /// Directories to make below it.
    pub(crate) missing: Vec<String>,
    /// The file's own name.
    pub(crate) name: String,
    /// The file that is there: device and inode.
    pub(crate) existing: Option<(u64, u64)>,
}

/// Links may be followed, as long as they stay beneath.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// An open of a path with `..` is answered EAGAIN when a rename happened meanwhile; openat2(2) says to try again.
const ATTEMPTS: usize = 8;

impl Workspace {
    pub(crate) fn open(path: &Path) -> Result<Workspace, Errno> {
        let root = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = path_of(&root).ok_or(Errno::INVAL)?;
        Ok(Workspace { root, path })
    }

    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Opens what exists at `path`.
    ///
    /// # Errors
    /// ESCAPE when the path leads outside; INVALID when nothing is there or it cannot be opened so.
    pub(crate) fn existing(&self, path: &str, flags: OFlags) -> Result<Opened, Refusal> {
        self.try_existing(path, flags)?.ok_or_else(|| Refusal::invalid(format!("expected an existing path, found none at {path:?}")))
    }

    fn try_existing(&self, path: &str, flags: OFlags) -> Result<Option<Opened>, Refusal> {
        let fd = match self.open_beneath(path, flags, BENEATH) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(refusal_for(path, error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(Refusal::failed("looking at an opened file"))?;
        let path = self.canonical(&fd, path)?;
        Ok(Some(Opened { fd, path, stat }))
    }

    /// Opens a regular file for reading. A pipe or a device does not block this, it is refused.
    pub(crate) fn file(&self, path: &str) -> Result<Opened, Refusal> {
        let opened = self.existing(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let found = FileType::from_raw_mode(opened.stat.st_mode);
        if found == FileType::RegularFile {
            Ok(opened)
        } else {
            Err(Refusal::invalid(format!("expected a file, found a {} at {path:?}", kind(found))))
        }
    }

    /// Opens a directory. With `OFlags::PATH` it may be entered, with `OFlags::RDONLY` listed.
    pub(crate) fn directory(&self, path: &str, flags: OFlags) -> Result<Opened, Refusal> {
        self.existing(path, flags | OFlags::DIRECTORY)
    }

    /// Finds where a file of this path is or would be.
    ///
    /// # Errors
    /// As [`Workspace::existing`]; INVALID also for a directory, a link to nothing, and names under `.git`.
    pub(crate) fn place(&self, path: &str) -> Result<Place, Refusal> {
        for _ in 0..ATTEMPTS {
            if let Some(place) = self.try_place(path)? {
                return Ok(place);
            }
        }
        Err(Refusal::invalid(format!("{path:?} changes while it is looked at")))
    }

    /// None when the tree changed between two looks.
    fn try_place(&self, path: &str) -> Result<Option<Place>, Refusal> {
        if path.ends_with('/') {
            return Err(Refusal::invalid(format!("expected a file's path, found {path:?}, which ends with a slash")));
        }
        let place = match self.try_existing(path, OFlags::PATH)? {
            Some(found) => {
                if FileType::from_raw_mode(found.stat.st_mode) != FileType::RegularFile {
                    let what = kind(FileType::from_raw_mode(found.stat.st_mode));
                    return Err(Refusal::invalid(format!("expected a file, found a {what} at {path:?}")));
                }
                let (parent_path, name) = found.path.rsplit_once('/').unwrap_or((".", &found.path));
                let Ok(parent) = self.open_beneath(parent_path, OFlags::PATH | OFlags::DIRECTORY, BENEATH | ResolveFlags::NO_SYMLINKS)
                else {
                    return Ok(None);
                };
                let identity = (found.stat.st_dev, found.stat.st_ino);
                let there = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino));
                if there != Ok(identity) {
                    return Ok(None);
                }
                let (parent_path, name) = (parent_path.to_owned(), name.to_owned());
                Place { parent, parent_path, missing: Vec::new(), name, existing: Some(identity) }
            }
            None => self.place_of_missing(path)?,
        };
        if place.path().split('/').any(|name| name.eq_ignore_ascii_case(".git")) {
            return Err(Refusal::invalid("expected a path of the project, found one under `.git`: use git.commit to commit"));
        }
        Ok(Some(place))
    }

    /// `path` does not exist: the deepest directory that does, and the names below it.
    fn place_of_missing(&self, path: &str) -> Result<Place, Refusal> {
        let parts: Vec<Component<'_>> = Path::new(path).components().collect();
        for split in (0..parts.len()).rev() {
            let prefix = parts[..split].iter().collect::<std::path::PathBuf>();
            let prefix = prefix.to_str().filter(|prefix| !prefix.is_empty()).unwrap_or(".");
            let Some(parent) = self.try_existing(prefix, OFlags::PATH)? else { continue };
            if FileType::from_raw_mode(parent.stat.st_mode) != FileType::Directory {
                return Err(Refusal::invalid(format!("expected a directory at {:?}, found a file", parent.path)));
            }
            let mut names = Vec::new();
            for part in &parts[split..] {
                match part {
                    Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
                    Component::CurDir => {}
                    Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Refusal::escape(path)),
                }
            }
            let Some(name) = names.pop() else { return Err(Refusal::invalid(format!("expected a file's path, found {path:?}"))) };
            let first = names.first().unwrap_or(&name);
            if rustix::fs::statat(&parent.fd, first.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(Refusal::invalid(format!("{path:?} passes a link that leads to nothing")));
            }
            return Ok(Place { parent: parent.fd, parent_path: parent.path, missing: names, name, existing: None });
        }
        Err(Refusal::invalid(format!("expected a file's path, found {path:?}")))
    }

    fn open_beneath(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The path by which the kernel knows an open file, relative to the workspace.
    fn canonical(&self, fd: &OwnedFd, asked: &str) -> Result<String, Refusal> {
        let absolute = path_of(fd).ok_or_else(|| Refusal::invalid(format!("the name behind {asked:?} is not UTF-8")))?;
        if absolute == self.path {
            return Ok(".".to_owned());
        }
        let below = absolute.strip_prefix(&self.path).and_then(|rest| rest.strip_prefix('/'));
        below.map(str::to_owned).ok_or_else(|| Refusal::escape(asked))
    }
}

impl Place {
    /// Relative to the workspace.
    pub(crate) fn path(&self) -> String {
        let parents = (self.parent_path != ".").then_some(self.parent_path.as_str());
        let parts: Vec<&str> = parents.into_iter().chain(self.missing.iter().map(String::as_str)).chain([self.name.as_str()]).collect();
        parts.join("/")
    }

    /// The directories that have to be made, relative to the workspace.
    pub(crate) fn new_directories(&self) -> Vec<String> {
        let mut path = if self.parent_path == "." { String::new() } else { format!("{}/", self.parent_path) };
        let mut made = Vec::new();
        for name in &self.missing {
            path.push_str(name);
            made.push(path.clone());
            path.push('/');
        }
        made
    }
}

/// The kernel's name for an open file.
pub(crate) fn path_of(fd: impl AsFd) -> Option<String> {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    std::fs::read_link(link).ok()?.into_os_string().into_string().ok()
}

/// What a thing that is no regular file is called.
pub(crate) fn kind(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "thing of unknown kind",
    }
}

fn refusal_for(path: &str, error: Errno) -> Refusal {
    match error {
        // XDEV: it leads out. LOOP: it passes a magic link, or links without end.
        Errno::XDEV | Errno::LOOP => Refusal::escape(path),
        Errno::NOTDIR => Refusal::invalid(format!("expected a directory, found a file on the way of {path:?}")),
        Errno::NXIO | Errno::ISDIR => Refusal::invalid(format!("expected a file at {path:?}")),
        Errno::INVAL | Errno::NAMETOOLONG => Refusal::invalid(format!("{path:?} cannot be a path: {error}")),
        Errno::ACCESS | Errno::PERM => Refusal::invalid(format!("no permission for {path:?}")),
        other => Refusal::internal(format!("opening {path:?}: {other}")),
    }
}
