//! What the schema refuses, by raw SQL.

use reeve_store::Journal;

use crate::given;
use crate::home::Home;

/// Inserts a copy of row 5 (stream `b`, seq 1, epoch 2) with these places.
fn insert(verb: &str, gseq: &str, stream: &str, seq: u64, epoch: u64, prev: &str) -> String {
    format!(
        "{verb} INTO journal SELECT {gseq}, '{stream}', {seq}, time, {epoch}, kind, actor, body, {prev}, hash FROM journal WHERE gseq = 5"
    )
}

#[tokio::test]
async fn the_schema_refuses_all_but_the_next_row() {
    let home = Home::sqlite().await;
    let path = home.path();
    let rows = given::five_rows(&home).await;
    let table: Vec<(&str, String)> = vec![
        ("never updated", "UPDATE journal SET body = '{}' WHERE gseq = 2".into()),
        ("never updated", "UPDATE journal SET gseq = 6 WHERE gseq = 5".into()),
        ("never updated", "UPDATE OR REPLACE journal SET gseq = 4 WHERE gseq = 5".into()),
        ("never deleted", "DELETE FROM journal WHERE gseq = 5".into()),
        ("never deleted", "DELETE FROM journal".into()),
        ("gseq is not the next", insert("INSERT", "5", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT OR REPLACE", "5", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("REPLACE", "3", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT OR IGNORE", "5", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT", "7", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT", "NULL", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT", "0", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT", "-1", "b", 2, 2, "hash")),
        ("gseq is not the next", insert("INSERT", "5", "b", 2, 2, "hash") + " ON CONFLICT DO UPDATE SET body = '{}'"),
        ("seq is not the next", insert("INSERT", "6", "b", 1, 2, "hash")),
        ("seq is not the next", insert("INSERT OR REPLACE", "6", "b", 1, 2, "hash")),
        ("seq is not the next", insert("INSERT OR REPLACE", "6", "a", 2, 2, "hash")),
        ("seq is not the next", insert("INSERT", "6", "b", 3, 2, "hash")),
        ("seq is not the next", insert("INSERT", "6", "c", 2, 2, "hash")),
        ("seq is not the next", insert("INSERT", "6", "c", 0, 2, "hash")),
        ("prev is not the hash", insert("INSERT", "6", "b", 2, 2, "prev")),
        ("epoch is lower", insert("INSERT", "6", "b", 2, 1, "hash")),
        ("CHECK", insert("INSERT", "6", "", 1, 2, "hash")),
        ("CHECK", "INSERT INTO journal SELECT 6, 'b', 2, time, 2, kind, actor, 'no json', hash, hash FROM journal WHERE gseq = 5".into()),
        ("CHECK", "INSERT INTO journal SELECT 6, 'b', 2, time, 2, kind, actor, body, hash, 'sha256:00' FROM journal WHERE gseq = 5".into()),
        (
            "cannot store",
            "INSERT INTO journal SELECT 6, 'b', 2, time, 'two', kind, actor, body, hash, hash FROM journal WHERE gseq = 5".into(),
        ),
    ];
    for (expected, statement) in table {
        match given::sql(&path, &statement).await {
            Ok(()) => panic!("accepted: {statement}"),
            Err(error) => assert!(error.to_string().contains(expected), "{statement}: {error}"),
        }
    }
    let journal = Journal::open(&path).await.unwrap();
    assert_eq!(journal.scan(1, 100).await.unwrap(), rows);
    journal.close().await;
    given::sql(&path, &insert("INSERT", "6", "b", 2, 2, "hash")).await.unwrap();
}

/// Epochs, heads and first rows of a journal that is empty.
#[tokio::test]
async fn the_first_row_is_row_one_after_the_zero_digest() {
    let (home, elsewhere) = (Home::sqlite().await, Home::sqlite().await);
    let rows = given::five_rows(&home).await;
    let from = home.path();
    elsewhere.open().await.close().await;
    let path = elsewhere.path();
    let insert = |gseq: u64, prev: &str| {
        format!(
            "ATTACH '{}' AS other; INSERT INTO journal SELECT {gseq}, 'b', 1, time, epoch, kind, actor, body, '{prev}', hash FROM other.journal WHERE gseq = 1",
            from.display()
        )
    };
    let zero = reeve_core::Digest::ZERO.to_string();
    assert!(given::sql(&path, &insert(2, &zero)).await.is_err());
    assert!(given::sql(&path, &insert(1, &rows[0].hash.to_string())).await.is_err());
    given::sql(&path, &insert(1, &zero)).await.unwrap();
}
