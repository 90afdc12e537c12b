//! What of a folder nobody names any more.
//!
//! Bytes are written before the row that names them, so an artifact without a row may be one whose row is yet to come. Two things keep it:
//! its age (whoever puts an artifact, or says that it will be named, makes it young), and a lock: an artifact is removed only while nobody
//! puts one, and only if it is still old then. (`what_is_put_again_while_a_collection_looks_stays`)

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reeve_core::Digest;

use super::folder::{Folder, POINTERS, TEMPORARY, blocking, path_of, sync_directory};
use crate::StoreError;

const LISTING: &str = "listing the artifacts";
const REMOVING: &str = "removing an artifact";

/// The least age of an artifact that may be removed: hours more than anything takes between its bytes and its row.
pub const MIN_COLLECTED_AGE: Duration = Duration::from_hours(24);

/// An artifact that was put, or named anew, before a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldArtifact {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

impl Folder {
    /// Artifacts older than that, to which no name points, by digest.
    pub(super) async fn old(&self, before: SystemTime) -> Result<Vec<OldArtifact>, StoreError> {
        let root = self.root();
        blocking(move || {
            let failed = |error: std::io::Error| StoreError::of_io(LISTING, &error);
            let mut found = Vec::new();
            for shelf in std::fs::read_dir(&root).map_err(failed)? {
                let shelf = shelf.map_err(failed)?;
                let name = shelf.file_name();
                if name == TEMPORARY || name == POINTERS || !shelf.file_type().map_err(failed)?.is_dir() {
                    continue;
                }
                for file in std::fs::read_dir(shelf.path()).map_err(failed)? {
                    let file = file.map_err(failed)?;
                    let text = format!("sha256:{}{}", name.to_string_lossy(), file.file_name().to_string_lossy());
                    // What bears no digest as its name was not put there by us, and is not ours to remove.
                    let Ok(digest) = text.parse::<Digest>() else { continue };
                    let meta = file.metadata().map_err(failed)?;
                    if meta.is_file() && meta.modified().map_err(failed)? < before {
                        found.push(OldArtifact { digest, bytes: meta.len() });
                    }
                }
            }
            let mut pointed = BTreeSet::new();
            pointers(&root.join(POINTERS), &mut pointed)?;
            found.retain(|old| !pointed.contains(&old.digest));
            found.sort_by_key(|old| old.digest);
            Ok(found)
        })
        .await
    }

    /// Removes an artifact if it is still that old. Whether it was.
    pub(super) async fn remove_old(&self, digest: &Digest, before: SystemTime) -> Result<bool, StoreError> {
        let (root, path) = (self.root(), path_of(&self.root(), digest));
        blocking(move || {
            let remove = || {
                let _alone = lock(&root)?.alone()?;
                match std::fs::metadata(&path) {
                    Ok(meta) if meta.modified()? < before => {}
                    Ok(_) => return Ok(false),
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(error),
                }
                std::fs::remove_file(&path)?;
                sync_directory(path.parent().unwrap_or(&root))?;
                Ok(true)
            };
            remove().map_err(|error| StoreError::of_io(REMOVING, &error))
        })
        .await
    }
}

/// Every digest that a name points at.
fn pointers(folder: &Path, pointed: &mut BTreeSet<Digest>) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::of_io(LISTING, &error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            pointers(&entry.path(), pointed)?;
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).map_err(failed)?;
        let digest = text.parse().map_err(|error| StoreError::Malformed { why: format!("{}: {error}", entry.path().display()) })?;
        pointed.insert(digest);
    }
    Ok(())
}

/// The file whose lock those who put artifacts share, and who removes one has alone. The kernel lets go of it when its holder ends.
pub(super) struct Lock(File);

/// Held until dropped.
#[must_use]
pub(super) struct Held {
    _file: File,
}

pub(super) fn lock(root: &Path) -> std::io::Result<Lock> {
    File::options().read(true).write(true).create(true).truncate(false).open(root.join("lock")).map(Lock)
}

impl Lock {
    /// Nobody removes anything meanwhile.
    pub(super) fn shared(self) -> std::io::Result<Held> {
        self.0.lock_shared()?;
        Ok(Held { _file: self.0 })
    }

    /// Nobody puts anything meanwhile.
    fn alone(self) -> std::io::Result<Held> {
        self.0.lock()?;
        Ok(Held { _file: self.0 })
    }
}
