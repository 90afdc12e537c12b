//! Whether a journal may live at a path, and that nobody else writes it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// What every SQLite file starts with: https://www.sqlite.org/fileformat.html#magic_header_string
const SQLITE_HEADER: &[u8; 16] = b"SQLite format 3\0";

/// This process is the only writer for as long as the value lives; the kernel lets go of the lock when the process dies.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

/// Makes sure of the place, then of being alone there.
pub(super) fn claim(path: &Path) -> Result<WriterLock, StoreError> {
    let directory = directory_of(path);
    let unusable = |why: String| StoreError::Unusable { place: directory.display().to_string(), why };
    let meta = std::fs::metadata(&directory).map_err(|error| unusable(error.to_string()))?;
    if !meta.is_dir() {
        return Err(unusable("it is not a directory".to_owned()));
    }
    let stat = rustix::fs::statfs(&directory).map_err(|error| unusable(error.to_string()))?;
    if let Some(kind) = network_file_system(stat.f_type as u64) {
        return Err(StoreError::NetworkFileSystem { path: directory, kind });
    }
    lock(path)
}

fn lock(path: &Path) -> Result<WriterLock, StoreError> {
    let lock_path = beside(path, ".lock");
    let unusable = |error: &std::io::Error| StoreError::Unusable { place: lock_path.display().to_string(), why: error.to_string() };
    // Not truncated: until the lock is ours, what it says is another's.
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(|error| unusable(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(200).read_to_string(&mut holder);
            return Err(StoreError::InUse { path: path.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&error)),
    }
    let owner = format!("process {} of {}\n", std::process::id(), rustix::system::uname().nodename().to_string_lossy());
    file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).map_err(|error| unusable(&error))?;
    Ok(WriterLock { _file: file })
}

/// Refuses a file that SQLite would have to refuse, with a message that says so. A file that is absent or empty is a journal to be.
pub(super) fn looks_like_a_database(path: &Path) -> Result<(), StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::Unusable { place: path.display().to_string(), why: error.to_string() }),
    };
    let mut header = Vec::with_capacity(SQLITE_HEADER.len());
    let read = file.take(SQLITE_HEADER.len() as u64).read_to_end(&mut header);
    read.map_err(|error| StoreError::Unusable { place: path.display().to_string(), why: error.to_string() })?;
    if header.is_empty() || header == SQLITE_HEADER {
        return Ok(());
    }
    Err(StoreError::NotAJournal { place: path.display().to_string(), why: "it is no SQLite database".to_owned() })
}

/// The log that SQLite keeps beside the file while a writer lives.
pub(super) fn has_log(path: &Path) -> bool {
    beside(path, "-wal").exists()
}

/// Makes the directory's entry of the file durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::of_io("making the journal's directory durable", &error))
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The name of a file system whose locks or shared memory do not hold, by the magic number of `statfs(2)`.
///
/// FUSE stands for whatever a process behind it makes of it (s3fs, glusterfs, virtiofs); 9p is how virtual machines share a directory.
const fn network_file_system(magic: u64) -> Option<&'static str> {
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0xfe53_4d42 => Some("SMB2"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE"),
        0x00c3_6400 => Some("CephFS"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636f => Some("OCFS2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_by_name_and_local_ones_are_not() {
        let table: [(u64, Option<&str>); 12] = [
            (0x6969, Some("NFS")),
            (0x517b, Some("SMB")),
            (0xff53_4d42, Some("CIFS")),
            // As a 32-bit signed word, widened.
            (0xffff_ffff_ff53_4d42, Some("CIFS")),
            (0xfe53_4d42, Some("SMB2")),
            (0x0102_1997, Some("9p")),
            (0x6573_5546, Some("FUSE")),
            (0xef53, None),      // ext4
            (0x5846_5342, None), // xfs
            (0x9123_683e, None), // btrfs
            (0x794c_7630, None), // overlayfs
            (0x0102_1994, None), // tmpfs
        ];
        for (magic, expected) in table {
            assert_eq!(network_file_system(magic), expected, "{magic:#x}");
        }
    }
}
