//! What only a bucket can do wrong, and what is said about it.

use std::time::Duration;

use axum::http::Method;
use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_store::{Artifacts, ArtifactsPlace, MAX_ARTIFACT_BYTES, S3Options, StoreError};

use crate::bucket::{BUCKET, FakeS3, Fault, SECRET};
use crate::shelf::{PREFIX, name_of, place_of};

/// The bucket, as these flags and this environment have it.
fn place(store: &FakeS3, bucket: &str, region: Option<&str>, user: &str, secret: &str) -> ArtifactsPlace {
    let options = S3Options { endpoint: Some(store.url.clone()), region: region.map(str::to_owned), ..S3Options::default() };
    let mut environment = FakeS3::environment(user);
    environment.insert("AWS_SECRET_ACCESS_KEY", secret.to_owned());
    environment.insert("AWS_SESSION_TOKEN", SECRET.to_owned());
    ArtifactsPlace::read(&format!("s3://{bucket}/{PREFIX}"), &options, |name| environment.get(name).cloned()).unwrap()
}

fn assert_says(error: &StoreError, expected: &[&str]) {
    let said = format!("{error} {error:?}");
    assert!(expected.iter().all(|words| said.contains(words)), "expected {expected:?} in {said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[tokio::test]
async fn what_is_wrong_at_a_start_is_said_with_what_to_do_and_without_a_key() {
    let store = FakeS3::start().await;
    place_of(&store, "operator");
    for (place, expected) in [
        (place(&store, BUCKET, None, "operator", "another-secret"), ["403 SignatureDoesNotMatch", "mend the Secret"]),
        (place(&store, BUCKET, None, "nobody", SECRET), ["403 InvalidAccessKeyId", "mend the Secret"]),
        (place(&store, BUCKET, Some("us-east-1"), "operator", SECRET), ["400 AuthorizationHeaderMalformed", "--artifacts-region"]),
        (place(&store, "no-such-bucket", None, "operator", SECRET), ["404 NoSuchBucket", "make it, or mend its name"]),
    ] {
        for refused in [Artifacts::open_at(&place).await.unwrap_err(), Artifacts::open_read_only_at(&place).await.unwrap_err()] {
            assert!(matches!(refused, StoreError::Unusable { .. }), "{refused:?}");
            assert_says(&refused, &expected);
            assert_says(&refused, &["s3://", &store.url]);
        }
    }
    let good = place(&store, BUCKET, None, "operator", SECRET);
    for (method, part, code, expected) in [
        (Method::PUT, "doomed/", "AccessDenied", "s3:PutObject"),
        (Method::GET, "doomed/of-nothing", "AccessDenied", "s3:GetObject"),
        (Method::DELETE, "doomed/", "AccessDenied", "s3:DeleteObject"),
        (Method::GET, "doomed", "AccessDenied", "s3:ListBucket"),
        (Method::PUT, "doomed/", "ExpiredToken", "has expired"),
        (Method::PUT, "doomed/", "RequestTimeTooSkewed", "clocks"),
    ] {
        store.fails(method, part, Fault::Fails(403, code), 1);
        assert_says(&Artifacts::open_at(&good).await.unwrap_err(), &[&format!("403 {code}"), expected]);
        store.works();
    }
    store.clock_is_behind(Duration::from_mins(20));
    assert_says(&Artifacts::open_at(&good).await.unwrap_err(), &["clocks of this machine and of the store differ by 1"]);
    store.clock_is_behind(Duration::ZERO);
    Artifacts::open_at(&good).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_said_too() {
    let store = FakeS3::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut gone = store.clone();
    gone.url = format!("http://{nobody}");
    let refused = Artifacts::open_at(&place_of(&gone, "operator")).await.unwrap_err();
    assert_says(&refused, &["no connection", "onnection refused", &gone.url]);
}

#[tokio::test]
async fn a_failure_that_passes_is_outlived_and_one_that_stays_is_said() {
    let store = FakeS3::start().await;
    let artifacts = Artifacts::open_at(&place_of(&store, "operator")).await.unwrap();
    let (bytes, digest) = (vec![5; 200_000], Digest::of(vec![5; 200_000]));
    store.fails(Method::PUT, &name_of(&digest), Fault::Fails(500, "InternalError"), 1);
    store.fails(Method::GET, "doomed/", Fault::Fails(503, "SlowDown"), 1);
    assert_eq!(artifacts.put(bytes.clone()).await, Ok(digest));
    store.fails(Method::GET, &name_of(&digest), Fault::Fails(503, "SlowDown"), 1);
    store.fails(Method::GET, &name_of(&digest), Fault::Cut, 1);
    assert_eq!(artifacts.get(&digest).await, Ok(bytes.clone()), "what was cut off goes on where it was cut");

    store.fails(Method::GET, &name_of(&digest), Fault::Fails(503, "SlowDown"), usize::MAX);
    let refused = artifacts.get(&digest).await.unwrap_err();
    assert_eq!(refused.class(), Class::Transient);
    assert_says(&refused, &["503 SlowDown", "tried again", BUCKET]);
    assert_eq!(store.asked().iter().filter(|asked| asked.method == "GET" && asked.key.contains(&name_of(&digest))).count(), 3 + 4);
    store.works();
    store.fails(Method::PUT, &name_of(&digest), Fault::Fails(403, "AccessDenied"), 1);
    assert_says(&artifacts.put(bytes).await.unwrap_err(), &["403 AccessDenied", "s3:PutObject", BUCKET]);
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_never_handed_out() {
    let store = FakeS3::start().await;
    let artifacts = Artifacts::open_at(&place_of(&store, "operator")).await.unwrap();
    let digest = artifacts.put(b"abc".to_vec()).await.unwrap();
    store.fails(Method::GET, &name_of(&digest), Fault::Wrong, 1);
    assert!(matches!(artifacts.get(&digest).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(artifacts.get(&digest).await.as_deref(), Ok(b"abc".as_slice()));
    store.put(&format!("{PREFIX}/{}", name_of(&digest)), &vec![0; usize::try_from(MAX_ARTIFACT_BYTES + 1).unwrap()]);
    let refused = artifacts.get(&digest).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt { why, .. } if why.contains("longer than")), "{refused}");
}

#[tokio::test]
async fn what_is_damaged_and_old_is_not_renewed_but_put_again() {
    let store = FakeS3::start().await;
    let artifacts = Artifacts::open_at(&place_of(&store, "operator")).await.unwrap();
    let digest = artifacts.put(b"abc".to_vec()).await.unwrap();
    assert!(artifacts.renew(&digest).await.unwrap());
    store.put(&format!("{PREFIX}/{}", name_of(&digest)), b"abd");
    store.age(&name_of(&digest), Duration::from_hours(7));
    assert!(!artifacts.renew(&digest).await.unwrap());
    artifacts.put(b"abc".to_vec()).await.unwrap();
    assert_eq!(artifacts.get(&digest).await.as_deref(), Ok(b"abc".as_slice()));
}

/// By the clock of the runtime, which goes on as soon as everybody waits.
#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for_without_end() {
    let store = FakeS3::start().await;
    let artifacts = Artifacts::open_at(&place_of(&store, "operator")).await.unwrap();
    store.fails(Method::GET, "", Fault::Silent, usize::MAX);
    store.fails(Method::PUT, "", Fault::DoneUnanswered, usize::MAX);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for refused in [artifacts.get(&Digest::of(b"abc")).await.unwrap_err(), artifacts.put(b"abc".to_vec()).await.unwrap_err()] {
        assert_eq!(refused.class(), Class::Transient);
        assert_says(&refused, &["answer", BUCKET]);
    }
    assert!(began.elapsed() <= Duration::from_secs(61), "{:?}", began.elapsed());
}
