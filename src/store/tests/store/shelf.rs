//! Where artifacts are kept, so that a promise is tried on each kind of store.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reeve_core::Digest;
use reeve_store::{Artifacts, ArtifactsPlace, S3Options};
use tempfile::TempDir;

use crate::bucket::{BUCKET, FakeS3};
use crate::given;

/// Below it artifacts are kept in the bucket.
pub(crate) const PREFIX: &str = "reeve/tests";

/// A place for artifacts, and for nobody else's.
pub(crate) enum Shelf {
    Folder(TempDir),
    Bucket(FakeS3),
}

impl Shelf {
    pub(crate) async fn folder() -> Shelf {
        Shelf::Folder(given::directory())
    }

    pub(crate) async fn bucket() -> Shelf {
        Shelf::Bucket(FakeS3::start().await)
    }

    pub(crate) fn place(&self) -> ArtifactsPlace {
        match self {
            Shelf::Folder(directory) => ArtifactsPlace::Folder(directory.path().join("artifacts")),
            Shelf::Bucket(store) => place_of(store, "operator"),
        }
    }

    pub(crate) async fn open(&self) -> Artifacts {
        Artifacts::open_at(&self.place()).await.unwrap()
    }

    pub(crate) async fn open_read_only(&self) -> Artifacts {
        Artifacts::open_read_only_at(&self.place()).await.unwrap()
    }

    fn file(&self, relative: &str) -> PathBuf {
        match self {
            Shelf::Folder(directory) => directory.path().join("artifacts").join(relative),
            Shelf::Bucket(_) => panic!("there is no file"),
        }
    }

    /// What is kept there, past the store: `ab/cdef…`, or another name.
    pub(crate) fn bytes(&self, relative: &str) -> Option<Vec<u8>> {
        match self {
            Shelf::Folder(_) => fs::read(self.file(relative)).ok(),
            Shelf::Bucket(store) => store.bytes(&format!("{PREFIX}/{relative}")),
        }
    }

    pub(crate) fn put(&self, relative: &str, bytes: &[u8]) {
        match self {
            Shelf::Folder(_) => {
                fs::create_dir_all(self.file(relative).parent().unwrap()).unwrap();
                fs::write(self.file(relative), bytes).unwrap();
            }
            Shelf::Bucket(store) => store.put(&format!("{PREFIX}/{relative}"), bytes),
        }
    }

    pub(crate) fn remove(&self, relative: &str) {
        match self {
            Shelf::Folder(_) => fs::remove_file(self.file(relative)).unwrap(),
            Shelf::Bucket(store) => store.remove(&format!("{PREFIX}/{relative}")),
        }
    }

    /// Makes an artifact two days older.
    pub(crate) fn age(&self, digest: &Digest) {
        let two_days = Duration::from_hours(48);
        match self {
            Shelf::Folder(_) => {
                fs::File::open(self.file(&name_of(digest))).unwrap().set_modified(SystemTime::now() - two_days).unwrap();
            }
            Shelf::Bucket(store) => store.age(&name_of(digest), two_days),
        }
    }

    /// Nothing but artifacts and what points at them.
    pub(crate) fn is_tidy(&self) -> bool {
        match self {
            Shelf::Folder(_) => fs::read_dir(self.file("tmp")).unwrap().count() == 0,
            Shelf::Bucket(store) => !store.keys().iter().any(|key| key.contains("doomed/")),
        }
    }
}

/// The tests' bucket, as this user of it.
pub(crate) fn place_of(store: &FakeS3, user: &str) -> ArtifactsPlace {
    // Fails only where it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = S3Options { endpoint: Some(store.url.clone()), ..S3Options::default() };
    let environment = FakeS3::environment(user);
    ArtifactsPlace::read(&format!("s3://{BUCKET}/{PREFIX}"), &options, |name| environment.get(name).cloned()).unwrap()
}

/// The name of an artifact below the store's root.
pub(crate) fn name_of(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}/{}", &hex[..2], &hex[2..])
}

/// Tries each of these promises on every kind of store.
macro_rules! on_every_shelf {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[tokio::test]
            async fn in_a_folder() {
                super::$promise($crate::shelf::Shelf::folder().await).await;
            }
            #[tokio::test]
            async fn in_a_bucket() {
                super::$promise($crate::shelf::Shelf::bucket().await).await;
            }
        })+
    };
}
pub(crate) use on_every_shelf;

/// Tries each of these promises on every kind of database, with each kind of store.
macro_rules! on_every_database_and_shelf {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            use $crate::home::Home;
            use $crate::shelf::Shelf;

            #[tokio::test]
            async fn on_sqlite_and_in_a_folder() {
                super::$promise(Home::sqlite().await, Shelf::folder().await).await;
            }
            #[tokio::test]
            async fn on_postgres_and_in_a_bucket() {
                super::$promise(Home::postgres().await, Shelf::bucket().await).await;
            }
            #[tokio::test]
            async fn on_sqlite_and_in_a_bucket() {
                super::$promise(Home::sqlite().await, Shelf::bucket().await).await;
            }
            #[tokio::test]
            async fn in_memory_and_in_a_folder() {
                super::$promise(Home::memory().await, Shelf::folder().await).await;
            }
        })+
    };
}
pub(crate) use on_every_database_and_shelf;
