//! Removing an artifact from a bucket, which has no lock.
//!
//! S3 can remove an object on the condition that its ETag is another's, and equal bytes have an equal ETag: it cannot be told to spare what
//! was put again. So whoever removes leaves a mark first, and whoever puts looks for marks afterwards:
//!
//! | a removal | a put |
//! |---|---|
//! | 1. writes `doomed/DIGEST/NONCE` | 1. writes the bytes: they are young from here on |
//! | 2. looks how old the artifact is: one that is young stays | 2. lists `doomed/DIGEST/`, and waits until there is no mark |
//! | 3. removes it, by one request that is never sent again | 3. looks whether the artifact is there; if not, once more from 1 |
//! | 4. removes its mark, once 3 was answered | |
//!
//! A put answers only after it has seen no mark and then the artifact. A removal whose mark was written later looks at an artifact that is
//! young, and spares it. One whose mark was gone by then had its answer before, so it removes nothing any more. There is no third.
//!
//! Where 3 is not answered, the mark stays, and puts of that digest fail until it is [`MARK_LIVES`] old by the store's clock: far longer
//! than a request can be under way, or its signature be valid (15 minutes). A mark's name is nobody else's, so none comes to life again, and
//! nobody removes a mark of another that could still count.
//!
//! Architecture invariant: what `put` or `renew` has answered for is not removed by a collection that was told to spare what is younger, in
//! whatever order their requests arrive, and wherever the collection is killed. (`tests/store/race.rs` plays every order.)

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use reeve_core::Digest;

use super::answer::{Miss, is_refused, said};
use super::{ALLOWED, Bucket, LOOKING, POINTERS};
use crate::StoreError;
use crate::artifacts::{MIN_COLLECTED_AGE, OldArtifact};

const LISTING: &str = "listing the artifacts";
const REMOVING: &str = "removing an artifact";
const TRYING: &str = "trying to write, list, read and remove";
const MARKS: &str = "doomed";

/// What a put waits for a removal that is under way, which takes five requests.
const WAITS: Duration = Duration::from_secs(10);
/// How often it looks whether that is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// From here on, by the store's clock, a mark says nothing any more.
const MARK_LIVES: Duration = Duration::from_hours(1);
/// A removal that has come no further in this time does not go on.
const REMOVES_WITHIN: Duration = Duration::from_secs(60);
/// A mark of which nothing can be left but itself.
const SWEPT_AGE: Duration = Duration::from_hours(24);
/// The most by which the clocks of this machine and of the store may differ: as S3 has it for signatures.
const MAX_SKEW: Duration = Duration::from_mins(15);
/// Names that are read at once.
const READ_AT_ONCE: usize = 16;

impl Bucket {
    /// After it was made young: waits until nobody is removing it, and says whether it is there then.
    pub(super) async fn stands(&self, digest: &Digest) -> Result<bool, StoreError> {
        let began = Instant::now();
        loop {
            let marks = self.marks_of(digest).await?;
            let Some(found) = self.head(LOOKING, &self.key_of(digest)).await? else { return Ok(false) };
            let counts = |mark: &ObjectMeta| age(mark, &found) < MARK_LIVES;
            let Some(mark) = marks.iter().find(|mark| counts(mark)) else { return Ok(true) };
            if began.elapsed() > WAITS {
                let why = format!(
                    "{}: a collection that was cut off was about to remove {digest}, and may do so yet. It can be put again an hour after \
                     {}, when {} was written",
                    self.0.place, mark.last_modified, mark.location
                );
                return Err(StoreError::Unavailable { doing: super::PUTTING, why });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) async fn marks_of(&self, digest: &Digest) -> Result<Vec<ObjectMeta>, StoreError> {
        self.marks_below(&digest.hex()).await
    }

    pub(super) async fn marks_below(&self, of: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.list(&self.key(&format!("{MARKS}/{of}"))).await
    }

    async fn list(&self, below: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed = self.ask(LISTING, ALLOWED, self.0.quick.list(Some(below)).try_collect::<Vec<_>>()).await;
        listed.map_err(|miss| self.no_bucket(LISTING, miss))
    }

    /// Artifacts older than that, to which no name points, by digest.
    pub(in crate::artifacts) async fn old(&self, before: SystemTime) -> Result<Vec<OldArtifact>, StoreError> {
        let (mut found, mut names) = (Vec::new(), Vec::new());
        let below = Some(self.0.prefix.as_str()).filter(|prefix| !prefix.is_empty()).map(Path::from);
        let mut listed = self.0.quick.list(below.as_ref());
        // No bound on the whole: each of its requests has one.
        while let Some(object) = listed.try_next().await.map_err(|error| self.unlisted(&error))? {
            match self.kind_of(&object.location) {
                Kept::Artifact(digest) if SystemTime::from(object.last_modified) < before => {
                    found.push(OldArtifact { digest, bytes: object.size });
                }
                Kept::Name => names.push(object.location),
                Kept::Artifact(_) | Kept::Else => {}
            }
        }
        let pointed: Vec<Option<Digest>> =
            futures::stream::iter(&names).map(|name| self.pointed_at(name)).buffer_unordered(READ_AT_ONCE).try_collect().await?;
        let pointed: BTreeSet<Digest> = pointed.into_iter().flatten().collect();
        found.retain(|old| !pointed.contains(&old.digest));
        found.sort_by_key(|old| old.digest);
        Ok(found)
    }

    fn unlisted(&self, error: &object_store::Error) -> StoreError {
        StoreError::Unavailable { doing: LISTING, why: format!("{}: {}", self.0.place, said(error)) }
    }

    fn kind_of(&self, key: &Path) -> Kept {
        let key = key.as_ref();
        let relative = match self.0.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
        };
        match relative.and_then(|relative| relative.split_once('/')) {
            Some((POINTERS, _)) => Kept::Name,
            // What bears no digest as its name was not put there by us, and is not ours to remove.
            Some((shelf, name)) if shelf.len() == 2 => format!("sha256:{shelf}{name}").parse().map_or(Kept::Else, Kept::Artifact),
            Some(_) | None => Kept::Else,
        }
    }

    /// Removes an artifact if it is still that old. Whether it was.
    pub(in crate::artifacts) async fn remove_old(&self, digest: &Digest, before: SystemTime) -> Result<bool, StoreError> {
        let began = Instant::now();
        let mark = self.key(&format!("{MARKS}/{}/{}", digest.hex(), nonce()));
        let text = format!("{digest} is about to be removed, by `reeve artifacts gc`\n");
        let marked = self.ask(REMOVING, ALLOWED, self.0.quick.put(&mark, text.into())).await;
        let decided = match marked.map_err(|miss| self.no_bucket(REMOVING, miss)) {
            Ok(_) => self.may_go(digest, &mark, before).await,
            Err(error) => Err(error),
        };
        if decided == Ok(true) && began.elapsed() <= REMOVES_WITHIN {
            return self.remove(digest, &mark).await;
        }
        // Nothing was removed, and nothing will be.
        self.unmark(&mark).await;
        if decided == Ok(true) {
            let why = format!("{} took longer than {} s to answer: try again", self.0.place, REMOVES_WITHIN.as_secs());
            return Err(StoreError::Unavailable { doing: REMOVING, why });
        }
        decided
    }

    /// By the store's clock, which also dated the mark. The clock of this machine can only make fewer go.
    async fn may_go(&self, digest: &Digest, mark: &Path, before: SystemTime) -> Result<bool, StoreError> {
        let Some(mark) = self.head(REMOVING, mark).await? else {
            let why = format!("{} does not show what was just written: it does not keep what is asked of it", self.0.place);
            return Err(StoreError::Unavailable { doing: REMOVING, why });
        };
        let Some(found) = self.head(REMOVING, &self.key_of(digest)).await? else { return Ok(false) };
        Ok(SystemTime::from(found.last_modified) < before && age(&found, &mark) >= MIN_COLLECTED_AGE)
    }

    async fn remove(&self, digest: &Digest, mark: &Path) -> Result<bool, StoreError> {
        let key = self.key_of(digest);
        let why = match tokio::time::timeout(ALLOWED, self.0.once.delete(&key)).await {
            Ok(Ok(())) => {
                self.unmark(mark).await;
                return Ok(true);
            }
            Ok(Err(error)) if is_refused(&error) => {
                self.unmark(mark).await;
                let why = format!("{}: {}", self.0.place, said(&error));
                return Err(StoreError::Unavailable { doing: REMOVING, why });
            }
            Ok(Err(error)) => said(&error),
            Err(_) => format!("it did not answer within {} s", ALLOWED.as_secs()),
        };
        let why = format!(
            "{}: {why}. Whether {digest} is removed is not known, so it cannot be put again before {mark} is an hour old; collect again then",
            self.0.place
        );
        Err(StoreError::Unavailable { doing: REMOVING, why })
    }

    /// One that stays keeps its artifact from being put for an hour, and nothing else.
    async fn unmark(&self, mark: &Path) {
        match self.ask(REMOVING, ALLOWED, self.0.quick.delete(mark)).await {
            Ok(()) | Err(Miss::Absent) => {}
            Err(Miss::Failed(error)) => tracing::warn!(%error, %mark, "the mark of a removal that is over stays for an hour"),
        }
    }

    pub(super) async fn try_out(&self) -> Result<(), StoreError> {
        let refused = |why: String| Err(StoreError::Unavailable { doing: TRYING, why });
        let mark = self.key(&format!("{MARKS}/of-nothing/{}", nonce()));
        let written = self.ask(TRYING, ALLOWED, self.0.quick.put(&mark, "tried at a start\n".into())).await;
        written.map_err(|miss| self.no_bucket(TRYING, miss))?;
        let marks = self.list(&self.key(MARKS)).await?;
        let Some(own) = marks.iter().find(|found| found.location == mark) else {
            return refused("a list does not show what was just written. Expected a store that is consistent, as S3 is".to_owned());
        };
        let now = SystemTime::now();
        let written = SystemTime::from(own.last_modified);
        let skew = now.duration_since(written).or_else(|_| written.duration_since(now)).unwrap_or_default();
        if skew > MAX_SKEW {
            return refused(format!("the clocks of this machine and of the store differ by {} s: set them", skew.as_secs()));
        }
        match self.ask(TRYING, ALLOWED, self.0.quick.get(&mark)).await {
            Ok(_) => {}
            Err(Miss::Absent) => return refused("what was just written cannot be read".to_owned()),
            Err(Miss::Failed(error)) => return Err(error),
        }
        for left in marks.iter().filter(|left| age(left, own) >= SWEPT_AGE).map(|left| &left.location).chain([&mark]) {
            match self.ask(TRYING, ALLOWED, self.0.quick.delete(left)).await {
                Ok(()) | Err(Miss::Absent) => {}
                Err(Miss::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a key stands for.
enum Kept {
    Artifact(Digest),
    Name,
    Else,
}

/// How old the one was when the other was written, by the store's clock.
fn age(one: &ObjectMeta, other: &ObjectMeta) -> Duration {
    (other.last_modified - one.last_modified).to_std().unwrap_or_default()
}

/// A name that nobody else takes.
fn nonce() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:032x}", now.as_nanos(), fastrand::u128(..))
}
