//! Folder as files of a folder.
//!
//! Layout: `ab/cdef…`, the digest's hex digits after the first two as the file's name. A file gets its name only when its bytes are on the
//! disk, so a name that exists is whole; what a crash leaves lies in `tmp/` and is swept at the next open. `refs/` holds names that point
//! at artifacts.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use reeve_core::Digest;

use super::collect::lock;
use super::{MAX_ARTIFACT_BYTES, Name, verified};
use crate::StoreError;

pub(super) const TEMPORARY: &str = "tmp";
pub(super) const POINTERS: &str = "refs";

/// Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: Arc<Path>,
    /// Names the next temporary file.
    next: Arc<AtomicU64>,
}

impl Folder {
    pub(super) async fn open(directory: &Path) -> Result<Folder, StoreError> {
        let root: Arc<Path> = directory.into();
        let swept = Arc::clone(&root);
        blocking(move || {
            let temporary = swept.join(TEMPORARY);
            let sweep = || {
                std::fs::create_dir_all(&temporary)?;
                for entry in std::fs::read_dir(&temporary)? {
                    std::fs::remove_file(entry?.path())?;
                }
                sync_directory(&swept)
            };
            sweep().map_err(|error| StoreError::Unusable { place: swept.display().to_string(), why: error.to_string() })
        })
        .await?;
        Ok(Folder { root, next: Arc::default() })
    }

    pub(super) fn open_read_only(directory: &Path) -> Result<Folder, StoreError> {
        match std::fs::metadata(directory) {
            Ok(meta) if meta.is_dir() => Ok(Folder { root: directory.into(), next: Arc::default() }),
            Ok(_) => Err(StoreError::Unusable { place: directory.display().to_string(), why: "it is not a directory".to_owned() }),
            Err(error) => Err(StoreError::Unusable { place: directory.display().to_string(), why: error.to_string() }),
        }
    }

    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let root = Arc::clone(&self.root);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        blocking(move || {
            let digest = Digest::of(&bytes);
            let temporary = root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
            let kept = lock(&root).and_then(super::collect::Lock::shared).and_then(|_held| keep(&root, &temporary, &digest, &bytes));
            kept.map_err(|error| {
                // What cannot be removed either is swept at the next open.
                let _ = std::fs::remove_file(&temporary);
                StoreError::of_io("keeping an artifact", &error)
            })?;
            Ok(digest)
        })
        .await
    }

    pub(super) async fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let (path, digest) = (path_of(&self.root, digest), *digest);
        blocking(move || {
            let failed = |error: std::io::Error| {
                let missing = error.kind() == ErrorKind::NotFound;
                if missing { StoreError::Missing { digest } } else { StoreError::of_io("reading an artifact", &error) }
            };
            let mut bytes = Vec::new();
            // One byte more than there may be, so that a file of any size takes no more memory than that.
            File::open(&path).and_then(|file| file.take(MAX_ARTIFACT_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
            verified(&digest, bytes)
        })
        .await
    }

    pub(super) async fn point(&self, name: Name<'_>, digest: &Digest) -> Result<(), StoreError> {
        let (path, digest) = (self.pointer(name), *digest);
        let root = Arc::clone(&self.root);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        blocking(move || {
            let folder = path.parent().unwrap_or(&root).to_owned();
            let temporary = root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
            let keep = || {
                std::fs::create_dir_all(&folder)?;
                let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
                file.write_all(digest.to_string().as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&temporary, &path)?;
                folder.ancestors().take_while(|folder| folder.starts_with(&root)).try_for_each(sync_directory)
            };
            keep().map_err(|error| {
                let _ = std::fs::remove_file(&temporary);
                StoreError::of_io("pointing a name at an artifact", &error)
            })
        })
        .await
    }

    pub(super) async fn pointed(&self, name: Name<'_>) -> Result<Option<Digest>, StoreError> {
        let path = self.pointer(name);
        blocking(move || match std::fs::read_to_string(&path) {
            Ok(text) => {
                let digest = text.parse().map_err(|error| StoreError::Malformed { why: format!("{}: {error}", path.display()) })?;
                Ok(Some(digest))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::of_io("reading what a name points at", &error)),
        })
        .await
    }

    fn pointer(&self, name: Name<'_>) -> PathBuf {
        self.root.join(POINTERS).join(name.0)
    }

    /// Whether there is such an artifact; if so, it is as young as if it were put.
    pub(super) async fn renew(&self, digest: &Digest) -> Result<bool, StoreError> {
        let (root, path) = (Arc::clone(&self.root), path_of(&self.root, digest));
        blocking(move || {
            let renewed = lock(&root).and_then(super::collect::Lock::shared).and_then(|_held| renew(&path));
            match renewed {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(StoreError::of_io("looking for an artifact", &error)),
            }
        })
        .await
    }

    pub(super) fn root(&self) -> Arc<Path> {
        Arc::clone(&self.root)
    }

    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = path_of(&self.root, digest);
        blocking(move || path.try_exists().map_err(|error| StoreError::of_io("looking for an artifact", &error))).await
    }
}

pub(super) fn path_of(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    let (shelf, name) = hex.split_at(2);
    root.join(shelf).join(name)
}

fn keep(root: &Path, temporary: &Path, digest: &Digest, bytes: &[u8]) -> std::io::Result<()> {
    let path = path_of(root, digest);
    let shelf = path.parent().unwrap_or(root);
    match std::fs::metadata(&path) {
        // Renamed by someone, but the name may not be durable yet.
        Ok(meta) if meta.is_file() && meta.len() == bytes.len() as u64 => {
            renew(&path)?;
            sync_directory(shelf)?;
            return sync_directory(root);
        }
        Ok(meta) => tracing::warn!(%digest, expected = bytes.len(), found = meta.len(), "an artifact of the wrong size is written anew"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match std::fs::create_dir(shelf) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(temporary, &path)?;
    sync_directory(shelf)?;
    sync_directory(root)
}

/// Makes it young, so that no collection takes it before its row is written. A crash that loses this loses that row too.
fn renew(path: &Path) -> std::io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

pub(super) fn sync_directory(directory: impl AsRef<Path>) -> std::io::Result<()> {
    File::open(directory.as_ref())?.sync_all()
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    let ended = |error: tokio::task::JoinError| StoreError::Unavailable { doing: "working on the artifacts", why: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
