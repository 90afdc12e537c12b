//! A collection and those who put the same bytes, in a bucket that has no lock.

use std::time::{Duration, SystemTime};

use axum::http::Method;
use reeve_core::Digest;
use reeve_store::{Artifacts, StoreError};

use crate::bucket::{Asked, FakeS3, Fault, Gate};
use crate::shelf::{PREFIX, name_of, place_of};

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
    puts_an_old_one(&store);
    store
}

fn puts_an_old_one(store: &FakeS3) {
    store.put(&format!("{PREFIX}/{}", name_of(&digest())), BYTES);
    store.age(&name_of(&digest()), Duration::from_hours(48));
}

/// Plays each of these on one of a few stores, each with these users, one after the other on each store: clients are dear.
async fn on_some_stores<T: Clone, R>(all: &[T], users: &[&'static str], play: impl AsyncFn(&FakeS3, &[Artifacts], T) -> R) -> Vec<R> {
    let play = &play;
    let on_one = |some: &[T]| {
        let some = some.to_vec();
        async move {
            let store = FakeS3::start().await;
            let artifacts = futures::future::join_all(users.iter().map(|user| opened(&store, user))).await;
            let mut results = Vec::new();
            for one in some {
                puts_an_old_one(&store);
                results.push(play(&store, &artifacts, one).await);
                assert_eq!(artifacts[0].get(&digest()).await.as_deref(), Ok(BYTES));
                assert!(!store.keys().iter().any(|key| key.contains("doomed/")), "a mark is left: {:?}", store.keys());
            }
            results
        }
    };
    let stores = futures::future::join_all(all.chunks(all.len().div_ceil(8)).map(on_one)).await;
    stores.into_iter().flatten().collect()
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
    let removed =
        on_some_stores(&orders, &["operator", "collection"], async |store, users, order| played(store, users, &order, false).await).await;
    let removed = removed.into_iter().filter(|removed| *removed).count();
    assert!(removed > 20 && removed < 232, "some orders remove it and some do not: {removed}");
}

#[tokio::test]
async fn what_renew_answered_for_is_there_in_whatever_order_requests_arrive() {
    let orders = orders(REMOVAL, PUT + 2);
    on_some_stores(&orders, &["operator", "collection"], async |store, users, order| played(store, users, &order, true).await).await;
}

/// Plays one order; gives whether the collection says that it removed the artifact.
async fn played(store: &FakeS3, users: &[Artifacts], order: &[&'static str], renews: bool) -> bool {
    let [operator, collection] = users else { panic!("two users were expected") };
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
    removed
}

/// Two that put, one that renews, and two collections, in orders drawn from a seed.
#[tokio::test]
async fn many_at_once_lose_nothing() {
    const USERS: [&str; 5] = ["operator", "another", "third", "collection", "second-collection"];
    let seeds: Vec<u64> = (0..120).collect();
    on_some_stores(&seeds, &USERS, async |store, users, seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        store.takes_in_turn((0..40).map(|_| USERS[random.usize(..USERS.len())]).collect::<Vec<_>>());
        let act = async |place: usize| {
            match place {
                0 | 1 => drop(users[place].put(BYTES.to_vec()).await.unwrap()),
                2 => drop(users[place].renew(&digest()).await.unwrap()),
                _ => drop(users[place].remove_old(&digest(), before()).await.unwrap()),
            }
            store.is_finished(USERS[place]);
        };
        tokio::join!(act(0), act(1), act(2), act(3), act(4));
        assert_eq!(users[0].get(&digest()).await.as_deref(), Ok(BYTES), "seed {seed}");
    })
    .await;
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
        store.age("doomed/", Duration::from_mins(61));
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
    store.put(&format!("{}/doomed/{}/1-2", PREFIX, digest().hex()), b"");
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
