//! What every store of artifacts promises.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use futures::FutureExt as _;
use futures::future::join_all;
use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_store::{Artifacts, MAX_ARTIFACT_BYTES, StoreError};

use crate::given;
use crate::shelf::{Shelf, name_of, on_every_shelf};

on_every_shelf!(
    bytes_are_read_back_by_their_digest,
    bytes_that_changed_are_never_handed_out,
    the_same_bytes_may_be_put_many_times_at_once,
    more_than_the_bound_is_refused_on_the_way_in_and_out,
    a_name_points_at_an_artifact_that_is_there,
    what_is_read_only_changes_nothing
);

async fn bytes_are_read_back_by_their_digest(shelf: Shelf) {
    let artifacts = shelf.open().await;
    for bytes in [b"".to_vec(), b"abc".to_vec(), vec![7; 3_000_000]] {
        let digest = artifacts.put(bytes.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert!(artifacts.has(&digest).await.unwrap());
        assert_eq!(shelf.bytes(&name_of(&digest)).unwrap(), bytes);
        assert_eq!(artifacts.get(&digest).await.unwrap(), bytes);
        assert_eq!(shelf.open_read_only().await.get(&digest).await.unwrap(), bytes);
    }
    let absent = Digest::of(b"absent");
    assert!(!artifacts.has(&absent).await.unwrap());
    assert!(!artifacts.renew(&absent).await.unwrap());
    assert_eq!(artifacts.get(&absent).await, Err(StoreError::Missing { digest: absent }));
}

async fn bytes_that_changed_are_never_handed_out(shelf: Shelf) {
    let artifacts = shelf.open().await;
    let digest = artifacts.put(b"abc".to_vec()).await.unwrap();
    for wrong in ["abd", "abcd", ""] {
        shelf.put(&name_of(&digest), wrong.as_bytes());
        let refused = artifacts.get(&digest).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt { digest: named, .. } if named == digest), "{refused:?}");
        assert_eq!(refused.class(), Class::Invalid);
    }
    // The size shows it when the bytes are put once more, and heals it.
    artifacts.put(b"abc".to_vec()).await.unwrap();
    assert_eq!(artifacts.get(&digest).await.unwrap(), b"abc");
}

async fn the_same_bytes_may_be_put_many_times_at_once(shelf: Shelf) {
    let artifacts = shelf.open().await;
    let many = join_all((0..16).map(|_| artifacts.put(vec![1; 100_000]))).await;
    assert!(many.iter().all(|digest| *digest == Ok(Digest::of(vec![1; 100_000]))));
    assert!(shelf.is_tidy());
}

async fn more_than_the_bound_is_refused_on_the_way_in_and_out(shelf: Shelf) {
    let artifacts = shelf.open().await;
    let bytes = MAX_ARTIFACT_BYTES + 1;
    // Pages of zeros that nobody touches cost nothing.
    let refused = artifacts.put(vec![0; usize::try_from(bytes).unwrap()]).await.unwrap_err();
    assert_eq!(refused, StoreError::TooLarge { what: "an artifact".to_owned(), bytes, limit: MAX_ARTIFACT_BYTES });
    assert!(shelf.is_tidy());
}

async fn a_name_points_at_an_artifact_that_is_there(shelf: Shelf) {
    let artifacts = shelf.open().await;
    let (one, two) = (artifacts.put(b"one".to_vec()).await.unwrap(), artifacts.put(b"two".to_vec()).await.unwrap());
    assert_eq!(artifacts.pointed("goals/a").await.unwrap(), None);
    for digest in [one, one, two] {
        artifacts.point("goals/a", &digest).await.unwrap();
        assert_eq!(artifacts.pointed("goals/a").await.unwrap(), Some(digest));
    }
    assert!(matches!(artifacts.point("goals/b", &Digest::of("never kept")).await, Err(StoreError::Missing { .. })));
    for name in ["", "/a", "a//b", "../a", "a/../b", "a b"] {
        assert!(matches!(artifacts.point(name, &one).await, Err(StoreError::Malformed { .. })), "{name:?}");
    }
    let again = shelf.open().await;
    assert_eq!(again.pointed("goals/a").await.unwrap(), Some(two), "a name outlives the process");
    shelf.put("refs/goals/a", b"sha256:no");
    assert!(matches!(again.pointed("goals/a").await, Err(StoreError::Malformed { .. })));
}

async fn what_is_read_only_changes_nothing(shelf: Shelf) {
    shelf.put("refs/goals/a", Digest::of(b"x").to_string().as_bytes());
    let artifacts = shelf.open_read_only().await;
    assert_eq!(artifacts.pointed("goals/a").await.unwrap(), Some(Digest::of(b"x")));
    match &shelf {
        Shelf::Folder(directory) => {
            let names = fs::read_dir(directory.path().join("artifacts")).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(names.collect::<Vec<_>>(), ["refs"]);
        }
        Shelf::Bucket(store) => {
            let asked = store.asked();
            assert!(asked.iter().all(|asked| asked.method == "GET" || asked.method == "HEAD"), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made_to_be_read() {
    let directory = given::directory();
    assert!(matches!(Artifacts::open_read_only(&directory.path().join("no")), Err(StoreError::Unusable { .. })));
}

#[tokio::test]
async fn the_same_bytes_are_written_once_into_a_folder() {
    let directory = given::directory();
    let artifacts = Artifacts::open(directory.path()).await.unwrap();
    let digest = artifacts.put(b"abc".to_vec()).await.unwrap();
    let inode = || fs::metadata(directory.path().join(name_of(&digest))).unwrap().ino();
    let before = inode();
    artifacts.put(b"abc".to_vec()).await.unwrap();
    assert_eq!(inode(), before);
}

#[tokio::test]
async fn what_a_crash_left_is_swept_and_nothing_else() {
    let directory = given::directory();
    let artifacts = Artifacts::open(directory.path()).await.unwrap();
    let digest = artifacts.put(b"abc".to_vec()).await.unwrap();
    fs::write(directory.path().join("tmp/1-0"), "half").unwrap();
    let artifacts = Artifacts::open(directory.path()).await.unwrap();
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(artifacts.get(&digest).await.unwrap(), b"abc");
}

#[test]
fn a_store_in_memory_keeps_the_same_promises_and_never_waits() {
    let artifacts = Artifacts::in_memory();
    // No runtime: whatever would wait for a thread or a disk would panic or stand still here.
    let digest = artifacts.put(b"abc".to_vec()).now_or_never().unwrap().unwrap();
    assert_eq!(digest, Digest::of(b"abc"));
    let shared = artifacts.clone();
    assert_eq!(shared.get(&digest).now_or_never().unwrap(), Ok(b"abc".to_vec()));
    assert_eq!(shared.has(&digest).now_or_never().unwrap(), Ok(true));
    let absent = Digest::of(b"absent");
    assert_eq!(shared.get(&absent).now_or_never().unwrap(), Err(StoreError::Missing { digest: absent }));
    assert_eq!(shared.point("goals/a", &absent).now_or_never().unwrap(), Err(StoreError::Missing { digest: absent }));
    assert_eq!(shared.point("goals/a", &digest).now_or_never().unwrap(), Ok(()));
    assert_eq!(artifacts.pointed("goals/a").now_or_never().unwrap(), Ok(Some(digest)));
    assert_eq!(artifacts.pointed("goals/b").now_or_never().unwrap(), Ok(None));
    assert!(matches!(artifacts.point("../a", &digest).now_or_never().unwrap(), Err(StoreError::Malformed { .. })));
}
