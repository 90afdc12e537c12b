//! Unpacking a gzipped tar that nobody here made.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use reeve_core::limits::MAX_WORKSPACE_BYTES;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tar::EntryType;

use crate::refusal::Refusal;

/// Files and directories. More than the largest repositories that fit the size.
const MAX_ENTRIES: u64 = 200_000;
/// The stream with its headers: each entry adds at most three blocks of 512 bytes to its content.
const MAX_STREAM_BYTES: u64 = MAX_WORKSPACE_BYTES + MAX_ENTRIES * 3 * 512;

/// Unpacks plain files and directories below `root` and answers the number of files. Modes become 0644 or 0755.
///
/// # Errors
/// INVALID for anything else in it: links, devices, absolute names, `..`, `.git`, names twice, too much. Part of it may be unpacked then.
pub(super) fn unpack(packed: File, strip_components: u32, root: &OwnedFd) -> Result<u64, Refusal> {
    let stream = MultiGzDecoder::new(BufReader::new(packed)).take(MAX_STREAM_BYTES);
    let mut archive = tar::Archive::new(stream);
    let mut unpacking = Unpacking { root, made: BTreeSet::new(), entries: 0, files: 0, bytes: 0 };
    let broken = |error: std::io::Error| Refusal::invalid(format!("expected a gzipped tar of at most {MAX_STREAM_BYTES} bytes: {error}"));
    for entry in archive.entries().map_err(broken)? {
        unpacking.entry(entry.map_err(broken)?, strip_components as usize)?;
    }
    Ok(unpacking.files)
}

struct Unpacking<'a> {
    root: &'a OwnedFd,
    /// Directories that are there.
    made: BTreeSet<String>,
    entries: u64,
    files: u64,
    bytes: u64,
}

impl Unpacking<'_> {
    fn entry(&mut self, mut entry: tar::Entry<'_, impl Read>, strip: usize) -> Result<(), Refusal> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(Refusal::invalid(format!("expected at most {MAX_ENTRIES} entries")));
        }
        let kind = entry.header().entry_type();
        // `git archive` writes one of these in front; it names no file.
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = entry.path().map_err(|error| Refusal::invalid(format!("expected a file name: {error}")))?.into_owned();
        let names = names(&path)?;
        if !matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::Directory) {
            return Err(Refusal::invalid(format!("expected files and directories only, found a {kind:?} at {path:?}")));
        }
        let Some(names) = names.get(strip..).filter(|names| !names.is_empty()) else { return Ok(()) };
        if kind == EntryType::Directory {
            return self.directory(names);
        }
        if let Some((_, parents)) = names.split_last() {
            self.directory(parents)?;
        }
        self.bytes = self.bytes.saturating_add(entry.size());
        if self.bytes > MAX_WORKSPACE_BYTES {
            return Err(Refusal::invalid(format!("expected at most {MAX_WORKSPACE_BYTES} bytes of files")));
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        let mut file = self.create(&names.join("/"), if executable { 0o755 } else { 0o644 })?;
        std::io::copy(&mut entry, &mut file).map_err(Refusal::failed(format!("unpacking {path:?}")))?;
        self.files += 1;
        Ok(())
    }

    /// Makes a directory and those above it.
    fn directory(&mut self, names: &[String]) -> Result<(), Refusal> {
        for depth in 1..=names.len() {
            let (parent, name) = (names[..depth - 1].join("/"), &names[depth - 1]);
            if !self.made.insert(names[..depth].join("/")) {
                continue;
            }
            let parent = self.open(&parent, OFlags::PATH | OFlags::DIRECTORY, 0)?;
            match rustix::fs::mkdirat(&parent, name.as_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::EXIST) => return Err(Refusal::invalid(format!("{:?} is a file and a directory", names[..depth].join("/")))),
                Err(error) => return Err(Refusal::failed(format!("making the directory {name:?}"))(error)),
            }
        }
        Ok(())
    }

    fn create(&self, path: &str, mode: u32) -> Result<File, Refusal> {
        self.open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode).map(File::from)
    }

    fn open(&self, path: &str, flags: OFlags, mode: u32) -> Result<OwnedFd, Refusal> {
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode), resolve).map_err(|error| match error {
            Errno::EXIST => Refusal::invalid(format!("{path:?} stands in the archive twice")),
            Errno::NOTDIR | Errno::ISDIR => Refusal::invalid(format!("{path:?} passes a file as if it were a directory")),
            other => Refusal::failed(format!("unpacking {path:?}"))(other),
        })
    }
}

/// The path's names, each an ordinary one.
fn names(path: &Path) -> Result<Vec<String>, Refusal> {
    let refused = |why: &str| Refusal::invalid(format!("expected a relative file name, found {path:?}: {why}"));
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| refused("it is not UTF-8"))?;
                if name.eq_ignore_ascii_case(".git") {
                    return Err(refused("`.git` is the sandbox's own; pack the files, or a git bundle"));
                }
                names.push(name.to_owned());
            }
            Component::ParentDir => return Err(refused("it has `..`")),
            Component::RootDir | Component::Prefix(_) => return Err(refused("it is absolute")),
        }
    }
    Ok(names)
}
