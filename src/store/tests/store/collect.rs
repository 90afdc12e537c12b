//! Which artifacts may go.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use reeve_core::Digest;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_core::limits::MAX_EVENT_BODY_BYTES;
use reeve_store::{Artifacts, Collected, Collection, Journal, StoreError};

use crate::given;
use crate::home::Home;
use crate::shelf::{Shelf, on_every_database_and_shelf, on_every_shelf};

on_every_database_and_shelf!(what_a_row_names_stays, what_is_put_again_while_a_collection_looks_stays);
on_every_shelf!(nothing_is_removed_where_a_body_cannot_be_read, nothing_is_collected_where_a_name_points_at_no_digest);

/// A time that what [`aged`] made old lies before, and what was put since then does not.
fn before() -> SystemTime {
    SystemTime::now() - Duration::from_hours(24)
}

/// Puts bytes as if that had been two days ago.
async fn aged(artifacts: &Artifacts, shelf: &Shelf, bytes: &[u8]) -> Digest {
    let digest = artifacts.put(bytes.to_vec()).await.unwrap();
    shelf.age(&digest);
    digest
}

async fn collect(journal: &Journal, artifacts: &Artifacts, dry_run: bool) -> Collected {
    let mut collection = Collection::of(artifacts, before()).await.unwrap();
    collection.look_through(journal, artifacts).await.unwrap();
    collection.end(artifacts, dry_run).await.unwrap()
}

fn digests(collected: &Collected) -> BTreeSet<Digest> {
    collected.unnamed.iter().map(|artifact| artifact.digest).collect()
}

async fn what_a_row_names_stays(home: Home, shelf: Shelf) {
    let journal = home.open().await;
    let artifacts = shelf.open().await;
    if let Shelf::Bucket(store) = &shelf {
        // Lists come in pieces.
        store.gives_at_once(3);
    }
    let named = aged(&artifacts, &shelf, b"named in words").await;
    let pointed = aged(&artifacts, &shelf, b"pointed at").await;
    artifacts.point("merged/goal", &pointed).await.unwrap();
    let in_a_body = aged(&artifacts, &shelf, b"named in a body that is kept").await;
    let young = artifacts.put(b"young".to_vec()).await.unwrap();
    let unnamed = [aged(&artifacts, &shelf, b"a").await, aged(&artifacts, &shelf, b"b").await];
    shelf.put("00/not-a-digest", b"x");
    let mut large = given::thought(&format!("{} {in_a_body}", "x".repeat(MAX_EVENT_BODY_BYTES)));
    let body = artifacts.put(large.take_large_body().unwrap().unwrap()).await.unwrap();
    shelf.age(&body);
    let drafts = vec![given::thought(&format!("see {named}.")), large];
    journal.append(Epoch(1), &Stream::run("a"), None, drafts).await.unwrap();

    let dry = collect(&journal, &artifacts, true).await;
    assert_eq!((dry.old, dry.renewed, digests(&dry)), (5, 0, BTreeSet::from(unnamed)));
    for digest in unnamed {
        assert!(artifacts.has(&digest).await.unwrap(), "a dry run removes nothing");
    }
    assert_eq!(collect(&journal, &artifacts, false).await, dry);
    for digest in unnamed {
        assert_eq!(artifacts.get(&digest).await, Err(StoreError::Missing { digest }));
    }
    for digest in [named, pointed, in_a_body, young, body] {
        artifacts.get(&digest).await.unwrap();
    }
    assert_eq!(collect(&journal, &artifacts, false).await, Collected { old: 3, ..Collected::default() });
}

/// The race: bytes that are there already, old and unnamed, are put again, and their row comes after the collection has read the rows.
async fn what_is_put_again_while_a_collection_looks_stays(home: Home, shelf: Shelf) {
    let journal = home.open().await;
    let artifacts = shelf.open().await;
    let (put, renewed) = (aged(&artifacts, &shelf, b"put again").await, aged(&artifacts, &shelf, b"renewed").await);
    let (rowed, unnamed) = (aged(&artifacts, &shelf, b"its row comes first").await, aged(&artifacts, &shelf, b"unnamed").await);

    let mut collection = Collection::of(&artifacts, before()).await.unwrap();
    journal.append(Epoch(1), &Stream::run("a"), None, vec![given::thought(&rowed.to_string())]).await.unwrap();
    collection.look_through(&journal, &artifacts).await.unwrap();
    artifacts.put(b"put again".to_vec()).await.unwrap();
    assert!(artifacts.renew(&renewed).await.unwrap());
    let collected = collection.end(&artifacts, false).await.unwrap();
    assert_eq!((collected.old, collected.renewed, digests(&collected)), (4, 2, BTreeSet::from([unnamed])));

    let text = format!("{put} {renewed}");
    journal.append(Epoch(1), &Stream::run("a"), Some(Seq(1)), vec![given::thought(&text)]).await.unwrap();
    for digest in [put, renewed, rowed] {
        artifacts.get(&digest).await.unwrap();
    }
    assert!(!artifacts.renew(&unnamed).await.unwrap(), "what is gone is not renewed: whoever asks puts it");
    assert_eq!(artifacts.put(b"unnamed".to_vec()).await.unwrap(), unnamed);
    assert_eq!(artifacts.get(&unnamed).await.unwrap(), b"unnamed");
}

/// The same, by threads: whatever the order, an artifact that `put` answered for is there afterwards. (For a bucket: `race.rs`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_put_answered_for_is_there_whatever_is_removed_at_the_same_time() {
    let shelf = Shelf::folder().await;
    let artifacts = shelf.open().await;
    for round in 0..60_u32 {
        let bytes = round.to_be_bytes();
        let digest = aged(&artifacts, &shelf, &bytes).await;
        let (remover, putter) = (artifacts.clone(), artifacts.clone());
        let removing = tokio::spawn(async move { remover.remove_old(&digest, before()).await.unwrap() });
        let putting = tokio::spawn(async move { putter.put(bytes.to_vec()).await.unwrap() });
        let _ = removing.await.unwrap();
        assert_eq!(putting.await.unwrap(), digest);
        assert_eq!(artifacts.get(&digest).await.unwrap(), bytes);
    }
}

async fn nothing_is_removed_where_a_body_cannot_be_read(shelf: Shelf) {
    let journal = Home::memory().await.open().await;
    let artifacts = shelf.open().await;
    let mut large = given::thought(&"x".repeat(MAX_EVENT_BODY_BYTES));
    let digest = Digest::of(large.take_large_body().unwrap().unwrap());
    journal.append(Epoch(1), &Stream::run("a"), None, vec![large]).await.unwrap();
    let mut collection = Collection::of(&artifacts, before()).await.unwrap();
    assert_eq!(collection.look_through(&journal, &artifacts).await, Err(StoreError::Missing { digest }));
}

async fn nothing_is_collected_where_a_name_points_at_no_digest(shelf: Shelf) {
    let artifacts = shelf.open().await;
    aged(&artifacts, &shelf, b"perhaps pointed at").await;
    shelf.put("refs/goals/a", b"sha256:no");
    assert!(matches!(Collection::of(&artifacts, before()).await, Err(StoreError::Malformed { .. })));
}
