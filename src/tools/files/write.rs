//! `fs.write` and `fs.edit`: a file is replaced as a whole or not at all.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Answer, content_of};
use crate::workspace::{Opened, Place};

/// Names of files on their way are counted, so that two writes at once do not meet.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// Puts `content` at `place`, making its directories.
pub(crate) fn write(place: &Place, content: &str) -> Answer {
    let path = place.path();
    let parent = make_directories(place).map_err(|error| format!("making the directories of {path}: {error}"))?;
    let mode = check_unchanged(&parent, place)?.unwrap_or(0o644);
    put(&parent, place, content.as_bytes(), mode)?;
    let what = if place.existing.is_some() { "replaced" } else { "made" };
    Ok(format!("{what} {path} ({} bytes)", content.len()))
}

/// Replaces the one occurrence of `old`.
pub(crate) fn edit(place: &Place, file: &Opened, old: &str, new: &str) -> Answer {
    let path = place.path();
    let bytes = content_of(file)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8 and cannot be edited as text"))?;
    // First and last place, not a count: "aa" stands twice in "aaa", though a count without overlaps says once.
    match (text.find(old), text.rfind(old)) {
        (Some(first), Some(last)) if first == last => {}
        (None, _) | (_, None) => {
            return Err(format!("`old` occurs 0 times in {path}: expected exactly once. Read the file and copy the piece as it stands"));
        }
        (Some(_), Some(_)) => {
            let count = text.matches(old).count().max(2);
            return Err(format!("`old` occurs {count} times in {path}: expected exactly once. Give more of the lines around it"));
        }
    }
    let mode = check_unchanged(&place.parent, place)?.unwrap_or(0o644);
    put(&place.parent, place, text.replacen(old, new, 1).as_bytes(), mode)?;
    Ok(format!("edited {path}: {} bytes became {}", old.len(), new.len()))
}

/// Makes what is missing, step by step, each below the descriptor of the last; a link put there meanwhile is not followed.
fn make_directories(place: &Place) -> Result<OwnedFd, Errno> {
    let mut parent = rustix::io::fcntl_dupfd_cloexec(&place.parent, 3)?;
    for name in &place.missing {
        match rustix::fs::mkdirat(&parent, name.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        parent = rustix::fs::openat2(&parent, name.as_str(), flags, Mode::empty(), resolve)?;
    }
    Ok(parent)
}

/// The mode of the file that is there, after making sure that it is the one that was judged (or that there is still none).
fn check_unchanged(parent: &OwnedFd, place: &Place) -> Result<Option<u32>, String> {
    let path = place.path();
    let found = match rustix::fs::statat(parent, place.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(format!("looking at {path}: {error}")),
    };
    let regular = found.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if !regular || found.map(|stat| (stat.st_dev, stat.st_ino)) != place.existing {
        return Err(format!("{path} was changed by something else since this call was judged; nothing was written. Look again"));
    }
    Ok(found.map(|stat| stat.st_mode & 0o777))
}

fn put(parent: &OwnedFd, place: &Place, content: &[u8], mode: u32) -> Result<(), String> {
    let path = place.path();
    let staged = format!(".reeve-{}-{}.tmp", std::process::id(), STAGED.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, staged.as_str(), flags, Mode::from_raw_mode(0o600));
    let mut file = File::from(file.map_err(|error| format!("writing beside {path}: {error}"))?);
    let written = file
        .write_all(content)
        .and_then(|()| rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(Into::into))
        .map_err(|error| format!("writing {path}: {error}"))
        .and_then(|()| {
            // Where there was nothing, a file that came meanwhile is not replaced.
            let flags = if place.existing.is_some() { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            rustix::fs::renameat_with(parent, staged.as_str(), parent, place.name.as_str(), flags)
                .map_err(|error| format!("putting {path} in place: {error}"))
        });
    if written.is_err() {
        let _ = rustix::fs::unlinkat(parent, staged.as_str(), AtFlags::empty());
    }
    written
}
