//! `fs.list`.

use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, Mode, OFlags};

use super::Answer;

/// Entries in one answer: far more than an output limit lets through, so it only bounds memory.
const MAX_ENTRIES: usize = 20_000;

/// What a directory holds, sorted, `depth` levels down. Directories end with a slash, links show where they point.
pub(crate) fn list(directory: &OwnedFd, depth: u32) -> Answer {
    let mut lines = Vec::new();
    walk(directory, "", depth, &mut lines)?;
    if lines.is_empty() {
        return Ok("(the directory is empty)".to_owned());
    }
    lines.sort_unstable();
    let mut text = lines.join("\n");
    if lines.len() >= MAX_ENTRIES {
        text.push_str("\n(more entries are not shown: list a smaller part)");
    }
    text.push('\n');
    Ok(text)
}

fn walk(directory: &OwnedFd, prefix: &str, depth: u32, lines: &mut Vec<String>) -> Result<(), String> {
    for entry in entries(directory)? {
        if lines.len() >= MAX_ENTRIES {
            return Ok(());
        }
        let Entry { name, kind } = entry;
        match kind {
            FileType::Directory => {
                lines.push(format!("{prefix}{name}/"));
                if depth > 1
                    && let Ok(below) = open_directory(directory, &name)
                {
                    walk(&below, &format!("{prefix}{name}/"), depth - 1, lines)?;
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name.as_str(), Vec::new());
                let target = target.map_or_else(|_| "?".to_owned(), |target| target.to_string_lossy().into_owned());
                lines.push(format!("{prefix}{name} -> {target}"));
            }
            FileType::RegularFile
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => lines.push(format!("{prefix}{name}")),
        }
    }
    Ok(())
}

/// One name in a directory.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: FileType,
}

/// The entries of a directory, sorted by name, without itself and its parent. Names that are not UTF-8 are shown with replacements.
pub(super) fn entries(directory: &OwnedFd) -> Result<Vec<Entry>, String> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory).map_err(|error| format!("listing a directory: {error}"))? {
        let entry = entry.map_err(|error| format!("listing a directory: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            found.push(Entry { name, kind: entry.file_type() });
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Opens a directory's directory, not through a link.
pub(super) fn open_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
