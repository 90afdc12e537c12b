//! A collection and those who put the same bytes, in a bucket that has no lock.

use std::time::{Duration, SystemTime};

use axum::http::Method;
use futures::StreamExt as _;
use reeve_core::Digest;
use reeve_store::{Artifacts, StoreError};

use crate::bucket::{Asked, FakeS3, Fault, Gate};
use crate::shelf::{name_of, place_of};

const BYTES: &[u8] = b"old, and named by nobody yet";
/// Requests of a removal, and as many of a put that meets nobody.
const REMOVAL: usize = 5;
const PUT: usize = 3;

fn before() -> SystemTime {
    SystemTime::now() - Duration::from_hours(24)
}

fn digest() -> Digest {
    Digest::of(BYTES)
}

/// A store with [`BYTES`], two days old.
async fn with_an_old_one() -> FakeS3 {
    let store = FakeS3::start().await;
    let artifacts = opened(&store, "operator").await;
    artifacts.put(BYTES.to_vec()).await.unwrap();
    store.age(&name_of(&digest()), Duration::from_hours(48));
    store
}

async fn opened(store: &FakeS3, user: &str) -> Artifacts {
    Artifacts::open_read_only_at(&place_of(store, user)).await.unwrap()
}

/// Every order of `a` places of the one and `b` of the other.
fn orders(a: usize, b: usize) -> Vec<Vec<&'static str>> {
    if a + b == 0 {
        return vec![Vec::new()];
    }
    let with = |rest: Vec<Vec<&'static str>>, first: &'static str| {
        rest.into_iter().map(move |rest| [vec![first], rest].concat()).collect::<Vec<_>>()
    };
    let mut all = if a > 0 { with(orders(a - 1, b), "collection") } else { Vec::new() };
    all.extend(if b > 0 { with(orders(a, b - 1), "operator") } else { Vec::new() });
    all
}

fn requests(store: &FakeS3, by: &str) -> Vec<Asked> {
    store.asked().into_iter().filter(|asked| asked.by == by).collect()
}

#[tokio::test]
async fn a_removal_takes_five_requests_and_a_put_three() {
    let store = with_an_old_one().await;
    let artifacts = opened(&store, "collection").await;
    let opening = requests(&store, "collection").len();
    assert!(artifacts.remove_old(&digest(), before()).await.unwrap());
    assert!(!artifacts.has(&digest()).await.unwrap());
    let methods = |by: &str, from: usize| requests(&store, by)[from..].iter().map(|asked| asked.method.to_string()).collect::<Vec<_>>();
    assert_eq!(methods("collection", opening), ["PUT", "HEAD", "HEAD", "DELETE", "DELETE", "HEAD"]);
    let operator = opened(&store, "operator").await;
    let opening = requests(&store, "operator").len();
    operator.put(BYTES.to_vec()).await.unwrap();
    assert_eq!(methods("operator", opening), ["PUT", "GET", "HEAD"]);
    assert!(!artifacts.remove_old(&digest(), before()).await.unwrap(), "it is young");
    assert!(!artifacts.remove_old(&digest(), SystemTime::now() + Duration::from_hours(1)).await.unwrap(), "by the clock of the store");
}

/// Every order in which the requests of the two can arrive: what a put has answered for is there afterwards.
#[tokio::test]
async fn what_put_answered_for_is_there_in_whatever_order_requests_arrive() {
    let orders = orders(REMOVAL, PUT + 2);
    assert_eq!(orders.len(), 252);
    let removed = futures::stream::iter(orders).map(|order| played(order, false)).buffer_unordered(16).collect::<Vec<_>>().await;
    let removed = removed.into_iter().filter(|removed| *removed).count();
    assert!(removed > 20 && removed < 232, "some orders remove it and some do not: {removed}");
}

#[tokio::test]
async fn what_renew_answered_for_is_there_in_whatever_order_requests_arrive() {
    let orders = orders(REMOVAL, PUT + 2);
    futures::stream::iter(orders).map(|order| played(order, true)).buffer_unordered(16).collect::<Vec<_>>().await;
}

/// Plays one order; gives whether the collection says that it removed the artifact.
async fn played(order: Vec<&'static str>, renews: bool) -> bool {
    let store = with_an_old_one().await;
    let (collection, operator) = (opened(&store, "collection").await, opened(&store, "operator").await);
    store.takes_in_turn(order.iter().copied());
    let collects = async {
        let removed = collection.remove_old(&digest(), before()).await.unwrap();
        store.is_finished("collection");
        removed
    };
    let puts = async {
        // As the operator does: what is not there any more is put.
        if !renews || !operator.renew(&digest()).await.unwrap() {
            operator.put(BYTES.to_vec()).await.unwrap();
        }
        store.is_finished("operator");
    };
    let (removed, ()) = tokio::join!(collects, puts);
    assert_eq!(operator.get(&digest()).await.as_deref(), Ok(BYTES), "{order:?}, removed {removed}");
    assert!(!store.keys().iter().any(|key| key.contains("doomed/")), "{order:?} leaves a mark");
    removed
}

/// Two that put, one that renews, and two collections, in orders drawn from a seed.
#[tokio::test]
async fn many_at_once_lose_nothing() {
    let users = ["operator", "another", "third", "collection", "second-collection"];
    let seeds = 0..150_u64;
    let play = |seed| async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = with_an_old_one().await;
        let mut opened_by = Vec::new();
        for user in users {
            opened_by.push(opened(&store, user).await);
        }
        store.takes_in_turn((0..40).map(|_| users[random.usize(..users.len())]).collect::<Vec<_>>());
        let act = async |place: usize| {
            let artifacts = &opened_by[place];
            match place {
                0 | 1 => drop(artifacts.put(BYTES.to_vec()).await.unwrap()),
                2 => drop(artifacts.renew(&digest()).await.unwrap()),
                _ => drop(artifacts.remove_old(&digest(), before()).await.unwrap()),
            }
            store.is_finished(users[place]);
        };
        tokio::join!(act(0), act(1), act(2), act(3), act(4));
        assert_eq!(opened_by[0].get(&digest()).await.as_deref(), Ok(BYTES), "seed {seed}");
    };
    futures::stream::iter(seeds).map(play).buffer_unordered(16).collect::<Vec<_>>().await;
}

/// A collection is killed after each of its requests. What it has sent may still arrive.
#[tokio::test]
async fn a_collection_that_was_killed_loses_nothing_and_holds_up_no_longer_than_an_hour() {
    for (method, key) in [
        (Method::PUT, "doomed/".to_owned()),
        (Method::HEAD, "doomed/".to_owned()),
        (Method::HEAD, name_of(&digest())),
        (Method::DELETE, name_of(&digest())),
        (Method::DELETE, "doomed/".to_owned()),
    ] {
        let store = with_an_old_one().await;
        let (collection, operator) = (opened(&store, "collection").await, opened(&store, "operator").await);
        let gate = Gate::new();
        store.fails(method.clone(), &key, Fault::Held(gate.clone()), 1);
        let removal = tokio::spawn(async move { collection.remove_old(&digest(), before()).await });
        gate.reached().await;
        removal.abort();
        let marked = store.keys().iter().any(|key| key.contains("doomed/"));
        let putting = operator.clone();
        let mut put = tokio::spawn(async move { putting.put(BYTES.to_vec()).await });
        if marked {
            let waits = tokio::time::timeout(Duration::from_millis(300), &mut put).await;
            assert!(waits.is_err(), "killed at {method} {key}: a put answers while a removal may come yet");
        }
        gate.opens().await;
        if marked {
            store.age("doomed/", Duration::from_mins(61));
        }
        assert_eq!(put.await.unwrap(), Ok(digest()), "killed at {method} {key}");
        assert_eq!(operator.get(&digest()).await.as_deref(), Ok(BYTES), "killed at {method} {key}");
        // A start sweeps what is left of it.
        store.age("doomed/", Duration::from_hours(24));
        Artifacts::open_at(&place_of(&store, "operator")).await.unwrap();
        assert!(!store.keys().iter().any(|key| key.contains("doomed/")), "{:?}", store.keys());
    }
}

#[tokio::test]
async fn a_put_that_a_removal_holds_up_says_until_when() {
    let store = with_an_old_one().await;
    let artifacts = opened(&store, "operator").await;
    store.put(&format!("{}/doomed/{}/1-2", crate::shelf::PREFIX, digest().hex()), b"");
    let refused = artifacts.put(BYTES.to_vec()).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, StoreError::Unavailable { .. }) && said.contains("It can be put again an hour after"), "{said}");
    store.age("doomed/", Duration::from_mins(61));
    artifacts.put(BYTES.to_vec()).await.unwrap();
}

/// The removal is sent once. Where its answer is lost, its mark stays.
#[tokio::test]
async fn a_removal_whose_answer_is_lost_is_not_sent_again() {
    let store = with_an_old_one().await;
    let artifacts = opened(&store, "collection").await;
    store.fails(Method::DELETE, &name_of(&digest()), Fault::Fails(503, "SlowDown"), 1);
    let said = artifacts.remove_old(&digest(), before()).await.unwrap_err().to_string();
    assert!(said.contains("503 SlowDown") && said.contains("is not known"), "{said}");
    assert_eq!(store.asked().iter().filter(|asked| asked.method == "DELETE" && asked.key.contains(&name_of(&digest()))).count(), 1);
    assert!(store.keys().iter().any(|key| key.contains("doomed/")));
    // What was refused will not be done later.
    store.remove(store.keys().iter().find(|key| key.contains("doomed/")).unwrap());
    store.fails(Method::DELETE, &name_of(&digest()), Fault::Fails(403, "AccessDenied"), 1);
    let said = artifacts.remove_old(&digest(), before()).await.unwrap_err().to_string();
    assert!(said.contains("403 AccessDenied") && said.contains("s3:DeleteObject"), "{said}");
    assert!(!store.keys().iter().any(|key| key.contains("doomed/")));
}
