//! What a writer knows from its last commit, and a row that came behind its back.

use reeve_core::Digest;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_store::StoreError;

use crate::given;
use crate::home::{Home, on_stored_databases};

on_stored_databases!(what_came_behind_the_writers_back_is_read_before_anything_is_written_or_refused);

/// The next row of the database, in this stream, under epoch 2.
async fn behind_its_back(home: &Home, gseq: u64, stream: &str, seq: u64) -> Digest {
    let hash = Digest::of(gseq.to_string());
    let row = format!(
        "INSERT INTO journal SELECT {gseq}, '{stream}', {seq}, time, 2, kind, actor, body, hash, '{hash}' FROM journal WHERE gseq = {}",
        gseq - 1
    );
    home.sql(&row).await.unwrap();
    hash
}

async fn what_came_behind_the_writers_back_is_read_before_anything_is_written_or_refused(home: Home) {
    let journal = home.open().await;
    let (a, b) = (Stream::run("a"), Stream::run("b"));
    for stream in [&a, &b] {
        journal.append(Epoch(1), stream, None, vec![given::thought("known")]).await.unwrap();
    }
    let hash = behind_its_back(&home, 3, "a", 2).await;
    let stale = journal.append(Epoch(2), &a, Some(Seq(1)), vec![given::thought("stale")]).await.unwrap_err();
    assert!(matches!(stale, StoreError::StaleHead { found: Some(Seq(2)), .. }), "{stale}");
    let fenced = journal.append(Epoch(1), &b, Some(Seq(1)), vec![given::thought("fenced")]).await.unwrap_err();
    assert!(matches!(fenced, StoreError::Fenced { highest: Epoch(2), .. }), "{fenced}");
    let row = journal.append(Epoch(2), &b, Some(Seq(1)), vec![given::thought("next")]).await.unwrap().remove(0);
    assert_eq!((row.gseq, row.prev), (4, hash));
    // A head that it believes in is another's by now, and what it refuses may be right by now.
    let hash = behind_its_back(&home, 5, "b", 3).await;
    let row = journal.append(Epoch(2), &b, Some(Seq(3)), vec![given::thought("after theirs")]).await.unwrap().remove(0);
    assert_eq!((row.gseq, row.seq, row.prev), (6, Seq(4), hash));
    journal.close().await;
}
