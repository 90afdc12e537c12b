//! A bucket of S3, or of what speaks its protocol.
//!
//! Layout, below the prefix: `ab/cdef…` and `refs/…` as in a folder, so that one can be copied to the other; and `doomed/`, what a
//! collection writes before it removes anything ([`collect`]).
//!
//! What is asked of the store: a request that was answered is seen by all that come after it, lists too. S3 has kept that since 2020
//! (https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel). [`Bucket::open`] tries it once.

mod answer;
mod collect;
mod connect;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetResult, ObjectMeta, ObjectStoreExt as _, PutPayload};
use reeve_core::Digest;

use super::folder::{POINTERS, blocking};
use super::place::S3Place;
use super::{MAX_ARTIFACT_BYTES, Name, verified};
use crate::StoreError;
use answer::Miss;

const PUTTING: &str = "keeping an artifact";
const READING: &str = "reading an artifact";
const LOOKING: &str = "looking for an artifact";
const POINTING: &str = "pointing a name at an artifact";
const POINTED: &str = "reading what a name points at";

/// What a request without a large body may take with its retries.
const ALLOWED: Duration = Duration::from_secs(30);
/// What it may take besides for each MiB of a body.
const ALLOWED_PER_MIB: Duration = Duration::from_secs(1);
/// An artifact this young need not be written again to be young: of the 24 hours that a collection spares it, 18 are left to name it in.
const STILL_YOUNG: Duration = Duration::from_hours(6);
/// More than a digest's text.
const MAX_POINTER_BYTES: u64 = 256;

/// Clones share its connections.
#[derive(Clone)]
pub(super) struct Bucket(Arc<Shared>);

struct Shared {
    /// As it is shown.
    place: String,
    prefix: String,
    /// For what has no large body.
    quick: AmazonS3,
    /// For artifacts.
    bulk: AmazonS3,
    /// Never sends a request twice.
    once: AmazonS3,
}

/// It holds keys.
impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Bucket").field(&self.0.place).finish()
    }
}

impl Bucket {
    /// Tries what it will have to do: it writes, lists, reads and removes a mark of a collection, and sweeps those that a crash left.
    pub(super) async fn open(place: &S3Place) -> Result<Bucket, StoreError> {
        let bucket = Bucket::of(place)?;
        bucket.try_out().await.map_err(|error| bucket.unusable(error))?;
        Ok(bucket)
    }

    /// Tries that it may list and read, and changes nothing.
    pub(super) async fn open_read_only(place: &S3Place) -> Result<Bucket, StoreError> {
        let bucket = Bucket::of(place)?;
        let tried = async {
            bucket.marks_below("of-nothing").await?;
            bucket.head(LOOKING, &bucket.key("doomed/of-nothing/none")).await
        };
        tried.await.map_err(|error| bucket.unusable(error))?;
        Ok(bucket)
    }

    fn unusable(&self, error: StoreError) -> StoreError {
        // Which place it is stands at the beginning.
        let why = error.to_string().replace(&format!("{}: ", self.0.place), "");
        StoreError::Unusable { place: self.0.place.clone(), why }
    }

    fn key(&self, relative: &str) -> Path {
        let prefix = &self.0.prefix;
        if prefix.is_empty() { Path::from(relative) } else { Path::from(format!("{prefix}/{relative}")) }
    }

    fn key_of(&self, digest: &Digest) -> Path {
        let hex = digest.hex();
        let (shelf, name) = hex.split_at(2);
        self.key(&format!("{shelf}/{name}"))
    }

    /// Bytes that are there already are written again: that makes them young, and heals what was damaged.
    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let (digest, bytes) = blocking(move || Ok((Digest::of(&bytes), bytes))).await?;
        let (key, size) = (self.key_of(&digest), bytes.len() as u64);
        let payload = PutPayload::from(bytes);
        let began = Instant::now();
        loop {
            let written = self.ask(PUTTING, allowed(size), self.0.bulk.put(&key, payload.clone())).await;
            written.map_err(|miss| self.no_bucket(PUTTING, miss))?;
            if self.stands(&digest).await? {
                return Ok(digest);
            }
            if began.elapsed() > allowed(size) {
                let why = format!("it was removed from {} as often as it was written: what else removes there?", self.0.place);
                return Err(StoreError::Unavailable { doing: PUTTING, why });
            }
        }
    }

    pub(super) async fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let got = match self.ask(READING, ALLOWED, self.0.bulk.get(&self.key_of(digest))).await {
            Ok(got) => got,
            Err(Miss::Absent) => return Err(StoreError::Missing { digest: *digest }),
            Err(Miss::Failed(error)) => return Err(error),
        };
        let size = got.meta.size;
        if size > MAX_ARTIFACT_BYTES {
            return Err(StoreError::Corrupt { digest: *digest, why: format!("it is longer than {MAX_ARTIFACT_BYTES} bytes") });
        }
        let bytes = self.ask(READING, allowed(size), body(got, size)).await.map_err(|miss| self.no_bucket(READING, miss))?;
        let digest = *digest;
        blocking(move || verified(&digest, bytes)).await
    }

    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.head(LOOKING, &self.key_of(digest)).await?.is_some())
    }

    /// Whether there is such an artifact; if so, it is as young as if it were put. One that is not whole is not there: whoever asks puts it.
    pub(super) async fn renew(&self, digest: &Digest) -> Result<bool, StoreError> {
        let Some(found) = self.head(LOOKING, &self.key_of(digest)).await? else { return Ok(false) };
        let age = SystemTime::now().duration_since(SystemTime::from(found.last_modified)).unwrap_or_default();
        // In this order: it was young, then nobody was removing it, and then it was there.
        if age < STILL_YOUNG && self.marks_of(digest).await?.is_empty() {
            return self.has(digest).await;
        }
        match self.get(digest).await {
            Ok(bytes) => self.put(bytes).await.map(|_| true),
            Err(StoreError::Missing { .. }) => Ok(false),
            Err(StoreError::Corrupt { why, .. }) => {
                tracing::warn!(%digest, why, "an artifact is corrupt, and taken as one that is not there");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn point(&self, name: Name<'_>, digest: &Digest) -> Result<(), StoreError> {
        let (key, text) = (self.key(&format!("{POINTERS}/{}", name.0)), digest.to_string());
        let written = self.ask(POINTING, ALLOWED, self.0.quick.put(&key, text.into())).await;
        written.map(drop).map_err(|miss| self.no_bucket(POINTING, miss))
    }

    pub(super) async fn pointed(&self, name: Name<'_>) -> Result<Option<Digest>, StoreError> {
        self.pointed_at(&self.key(&format!("{POINTERS}/{}", name.0))).await
    }

    async fn pointed_at(&self, key: &Path) -> Result<Option<Digest>, StoreError> {
        let malformed = |why: &dyn fmt::Display| StoreError::Malformed { why: format!("{key} in {}: {why}", self.0.place) };
        let got = match self.ask(POINTED, ALLOWED, self.0.quick.get(key)).await {
            Ok(got) => got,
            Err(Miss::Absent) => return Ok(None),
            Err(Miss::Failed(error)) => return Err(error),
        };
        let size = got.meta.size;
        if size > MAX_POINTER_BYTES {
            return Err(malformed(&"expected a digest, found something longer"));
        }
        let bytes = self.ask(POINTED, ALLOWED, body(got, size)).await.map_err(|miss| self.no_bucket(POINTED, miss))?;
        String::from_utf8_lossy(&bytes).parse().map(Some).map_err(|error| malformed(&error))
    }

    async fn head(&self, doing: &'static str, key: &Path) -> Result<Option<ObjectMeta>, StoreError> {
        match self.ask(doing, ALLOWED, self.0.quick.head(key)).await {
            Ok(meta) => Ok(Some(meta)),
            Err(Miss::Absent) => Ok(None),
            Err(Miss::Failed(error)) => Err(error),
        }
    }

    /// The answer, or what came instead of it in this time.
    async fn ask<T>(
        &self,
        doing: &'static str,
        allowed: Duration,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Miss> {
        match tokio::time::timeout(allowed, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(answer::miss(&self.0.place, doing, &error)),
            Err(_) => {
                let why =
                    format!("{} did not answer within {} s: look at the network and at the endpoint", self.0.place, allowed.as_secs());
                Err(Miss::Failed(StoreError::Unavailable { doing, why }))
            }
        }
    }

    /// Where nothing can be absent but the bucket.
    fn no_bucket(&self, doing: &'static str, miss: Miss) -> StoreError {
        match miss {
            Miss::Failed(error) => error,
            Miss::Absent => StoreError::Unavailable { doing, why: format!("{} answered 404: is there such a bucket?", self.0.place) },
        }
    }
}

/// The whole body, at most as many bytes as were announced.
async fn body(got: GetResult, size: u64) -> object_store::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut stream = got.into_stream();
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What a request with so large a body may take with its retries.
fn allowed(bytes: u64) -> Duration {
    ALLOWED + ALLOWED_PER_MIB * u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}
