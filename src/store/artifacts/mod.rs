//! Artifacts: bytes kept under their SHA-256 digest, and names that point at them.
//!
//! Architecture invariant: whatever keeps them, bytes are handed out only when they hash to the digest that was asked for.
//! (`bytes_that_changed_are_never_handed_out`)

mod collect;
mod credentials;
mod folder;
mod memory;
mod place;
mod s3;

use std::path::Path;
use std::time::SystemTime;

use reeve_core::Digest;
use reeve_core::journal::{ChainError, Row};

use crate::StoreError;
pub use collect::{MIN_COLLECTED_AGE, OldArtifact};
use folder::Folder;
use memory::Memory;
pub use place::{ArtifactsPlace, InvalidArtifactsPlace, S3Options, S3Place};
use s3::Bucket;

/// The largest artifact, bytes: a packed workspace.
pub const MAX_ARTIFACT_BYTES: u64 = reeve_core::limits::MAX_WORKSPACE_BYTES;

/// The content store; clones share it.
#[derive(Clone, Debug)]
pub struct Artifacts(Place);

/// What keeps the bytes.
#[derive(Clone, Debug)]
enum Place {
    Folder(Folder),
    S3(Bucket),
    Memory(Memory),
}

impl Artifacts {
    /// Opens the store that this process writes, makes its directory if need be, and sweeps what a crash left.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub async fn open(directory: &Path) -> Result<Artifacts, StoreError> {
        Ok(Artifacts(Place::Folder(Folder::open(directory).await?)))
    }

    /// Opens a store to read it, and changes nothing: another process may be writing it.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub fn open_read_only(directory: &Path) -> Result<Artifacts, StoreError> {
        Ok(Artifacts(Place::Folder(Folder::open_read_only(directory)?)))
    }

    /// Opens the store that this process writes, wherever it is, as [`Artifacts::open`] does. A bucket must be there, and is tried: that it
    /// can be written, listed and read, that a list shows what was just written, and that its clock and this machine's agree. rustls'
    /// `CryptoProvider` must be installed in the process.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub async fn open_at(place: &ArtifactsPlace) -> Result<Artifacts, StoreError> {
        match place {
            ArtifactsPlace::Folder(directory) => Artifacts::open(directory).await,
            ArtifactsPlace::S3(place) => Ok(Artifacts(Place::S3(Bucket::open(place).await?))),
        }
    }

    /// Opens a store to read it, wherever it is, and changes nothing. A bucket must be there, and is listed.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub async fn open_read_only_at(place: &ArtifactsPlace) -> Result<Artifacts, StoreError> {
        match place {
            ArtifactsPlace::Folder(directory) => Artifacts::open_read_only(directory),
            ArtifactsPlace::S3(place) => Ok(Artifacts(Place::S3(Bucket::open_read_only(place).await?))),
        }
    }

    /// A store that ends with its last clone. Starts no thread and never waits: the same calls in the same order find the same.
    pub fn in_memory() -> Artifacts {
        Artifacts(Place::Memory(Memory::default()))
    }

    /// Keeps these bytes. They are durable when this returns, and no collection that spares what is a day old has taken them or will.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]; [`StoreError::Unavailable`], also where a removal of the same bytes is under way in a bucket and does not
    /// end: then in an hour at most they can be put.
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        if bytes.len() as u64 > MAX_ARTIFACT_BYTES {
            return Err(StoreError::TooLarge { what: "an artifact".to_owned(), bytes: bytes.len() as u64, limit: MAX_ARTIFACT_BYTES });
        }
        match &self.0 {
            Place::Folder(folder) => folder.put(bytes).await,
            Place::S3(bucket) => bucket.put(bytes).await,
            Place::Memory(memory) => Ok(memory.put(bytes)),
        }
    }

    /// The bytes of this digest, verified.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Corrupt`] when what is kept is not what its name says, [`StoreError::Unavailable`].
    pub async fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        match &self.0 {
            Place::Folder(folder) => folder.get(digest).await,
            Place::S3(bucket) => bucket.get(digest).await,
            Place::Memory(memory) => memory.get(digest),
        }
    }

    /// The row with its body, which is read from here if the row names one that is kept: [`Row::event`] can be asked then.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Corrupt`], [`StoreError::Unavailable`]; [`StoreError::BadRow`] where the body is no event.
    pub async fn with_body(&self, row: Row) -> Result<Row, StoreError> {
        let bad =
            |gseq: u64, error: &ChainError| StoreError::BadRow { gseq: i64::try_from(gseq).unwrap_or(i64::MAX), why: error.to_string() };
        let Some(kept) = row.kept().map_err(|error| bad(row.gseq, &error))? else { return Ok(row) };
        let (gseq, body) = (row.gseq, self.get(&kept.digest).await?);
        row.with_kept_body(body).map_err(|error| bad(gseq, &error))
    }

    /// Points a name at an artifact: what was merged, for example. The name is durable when this returns; doing it again changes nothing.
    ///
    /// A name is one or more parts of letters, digits and `-`, with `/` between them.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] for another name, [`StoreError::Missing`] when there is no such artifact, [`StoreError::Unavailable`].
    pub async fn point(&self, name: &str, digest: &Digest) -> Result<(), StoreError> {
        let name = Name::parse(name)?;
        if !self.has(digest).await? {
            return Err(StoreError::Missing { digest: *digest });
        }
        match &self.0 {
            Place::Folder(folder) => folder.point(name, digest).await,
            Place::S3(bucket) => bucket.point(name, digest).await,
            Place::Memory(memory) => {
                memory.point(name, *digest);
                Ok(())
            }
        }
    }

    /// What a name points at; None where nobody pointed it at anything.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] for what is no name, or no digest, [`StoreError::Unavailable`].
    pub async fn pointed(&self, name: &str) -> Result<Option<Digest>, StoreError> {
        let name = Name::parse(name)?;
        match &self.0 {
            Place::Folder(folder) => folder.pointed(name).await,
            Place::S3(bucket) => bucket.pointed(name).await,
            Place::Memory(memory) => Ok(memory.pointed(name)),
        }
    }

    /// Whether there is an artifact of this digest; if so, it is as if it had just been put: no collection takes it before a row can name it.
    /// To be asked instead of [`Artifacts::has`] by who is about to journal the digest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn renew(&self, digest: &Digest) -> Result<bool, StoreError> {
        match &self.0 {
            Place::Folder(folder) => folder.renew(digest).await,
            Place::S3(bucket) => bucket.renew(digest).await,
            Place::Memory(memory) => Ok(memory.has(digest)),
        }
    }

    /// Artifacts that were put, or named anew, before that time, and to which no name points. In memory there are none: they end with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Malformed`] for a name that points at no digest: then nothing is known to be unnamed.
    pub async fn old(&self, before: SystemTime) -> Result<Vec<OldArtifact>, StoreError> {
        match &self.0 {
            Place::Folder(folder) => folder.old(before).await,
            Place::S3(bucket) => bucket.old(before).await,
            Place::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Removes an artifact that no row names, if it is still older than that. Whether it was removed: one that was put again stays. From a
    /// bucket nothing goes that is younger than [`MIN_COLLECTED_AGE`] by the bucket's clock, whatever `before` says.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: of a bucket it may not be known whether it was removed, and the message says so.
    pub async fn remove_old(&self, digest: &Digest, before: SystemTime) -> Result<bool, StoreError> {
        match &self.0 {
            Place::Folder(folder) => folder.remove_old(digest, before).await,
            Place::S3(bucket) => bucket.remove_old(digest, before).await,
            Place::Memory(_) => Ok(false),
        }
    }

    /// Whether there is an artifact of this digest. Only [`Artifacts::get`] says whether it is whole.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        match &self.0 {
            Place::Folder(folder) => folder.has(digest).await,
            Place::S3(bucket) => bucket.has(digest).await,
            Place::Memory(memory) => Ok(memory.has(digest)),
        }
    }
}

/// A name that leads to no place outside the store.
#[derive(Clone, Copy, Debug)]
struct Name<'a>(&'a str);

impl Name<'_> {
    fn parse(name: &str) -> Result<Name<'_>, StoreError> {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if name.split('/').all(part) {
            return Ok(Name(name));
        }
        let why = format!("expected a name of letters, digits and `-`, with `/` between its parts, found {name:?}");
        Err(StoreError::Malformed { why })
    }
}

/// Hands out bytes that are what their name says, and no others.
fn verified(digest: &Digest, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if bytes.len() as u64 > MAX_ARTIFACT_BYTES {
        return Err(StoreError::Corrupt { digest: *digest, why: format!("it is longer than {MAX_ARTIFACT_BYTES} bytes") });
    }
    let found = Digest::of(&bytes);
    if found == *digest {
        return Ok(bytes);
    }
    Err(StoreError::Corrupt { digest: *digest, why: format!("its {} bytes hash to {found}", bytes.len()) })
}
