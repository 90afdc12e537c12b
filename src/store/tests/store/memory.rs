//! What only a journal in memory promises: that nothing waits, and that a restart or a second writer can be played.

use futures::FutureExt as _;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_store::{Journal, Lost, MemoryDatabase, StoreError, verify_export};

use crate::given::{self, limited, reserved};

/// No runtime is there: what waits or starts a thread fails.
#[test]
fn every_call_is_done_when_it_is_first_polled() {
    let journal = Journal::in_memory();
    let a = Stream::run("a");
    let drafts = vec![given::started("default", "fix"), limited("team/daily", Some(9)), reserved("team/daily", "k", 3)];
    let rows = journal.append(Epoch(1), &a, None, drafts).now_or_never().unwrap().unwrap();
    assert_eq!(journal.head(&a).now_or_never().unwrap(), Ok(Some(rows[2].head())));
    assert_eq!(journal.read(&a, Seq(2), 9).now_or_never().unwrap().as_deref(), Ok(&rows[1..]));
    assert_eq!(journal.scan(1, 2).now_or_never().unwrap().as_deref(), Ok(&rows[..2]));
    assert_eq!(journal.last().now_or_never().unwrap().unwrap().as_ref(), rows.last());
    assert_eq!(journal.streams().now_or_never().unwrap().unwrap().len(), 1);
    assert_eq!(journal.find_runs("default", "fix").now_or_never().unwrap().unwrap().len(), 1);
    assert_eq!(journal.balances().now_or_never().unwrap().unwrap()[0].1.reserved.tokens, 3);
    assert_eq!(journal.open_reservations("team/daily").now_or_never().unwrap().unwrap().len(), 1);
    assert_eq!(journal.verify([]).now_or_never().unwrap().unwrap().rows, 3);
    let mut export = Vec::new();
    assert_eq!(journal.export(&mut export).now_or_never().unwrap(), Ok(3));
    assert_eq!(verify_export(&export[..], []).now_or_never().unwrap().unwrap().rows, 3);
    let other = journal.clone();
    journal.close().now_or_never().unwrap();
    assert_eq!(other.last().now_or_never().unwrap(), Err(StoreError::Closed));
}

#[tokio::test]
async fn rows_outlive_the_process_and_an_old_writer_beside_the_next_is_fenced() {
    let database = MemoryDatabase::new();
    let (old, next) = (database.open(), database.open());
    let a = Stream::run("a");
    old.append(Epoch(1), &a, None, vec![given::thought("one")]).await.unwrap();
    next.append(Epoch(2), &a, Some(Seq(1)), vec![given::thought("two")]).await.unwrap();
    let refused = old.append(Epoch(1), &a, Some(Seq(2)), vec![given::thought("late")]).await;
    assert_eq!(refused, Err(StoreError::Fenced { epoch: Epoch(1), highest: Epoch(2) }));
    old.close().await;
    assert_eq!(next.verify([]).await.unwrap().rows, 2);
    assert_eq!(database.open().scan(1, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_lost_answer_leaves_all_or_nothing_and_the_head_tells() {
    let database = MemoryDatabase::new();
    let journal = database.open();
    let a = Stream::run("a");
    for (lost, written) in [(Lost::BeforeCommit, 0), (Lost::AfterCommit, 2)] {
        database.lose_next_append(lost);
        let unknown = journal.append(Epoch(1), &a, None, vec![given::thought("one"), given::thought("two")]).await;
        assert!(matches!(unknown, Err(StoreError::Unavailable { .. })), "{unknown:?}");
        assert_eq!(journal.head(&a).await.unwrap().map_or(0, |head| head.seq.0), written);
    }
    journal.append(Epoch(1), &a, Some(Seq(2)), vec![given::thought("three")]).await.unwrap();
}
