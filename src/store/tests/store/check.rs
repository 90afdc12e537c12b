use reeve_core::class::Class;
use reeve_core::journal::{ChainError, Epoch, Head, Row, Seq, Stream};
use reeve_store::{StoreError, VerifyError, verify_export};

use crate::given;
use crate::home::{Home, on_every_database, on_stored_databases};

async fn tampered(home: &Home, statement: &str, anchors: &[(Stream, Head)]) -> Result<u64, VerifyError> {
    let home = home.another().await;
    let rows = given::five_rows(&home).await;
    home.unguard().await;
    home.sql_unchecked(statement).await;
    let journal = home.open_read_only().await;
    assert_eq!(rows.len(), 5);
    journal.verify(anchors.iter().cloned()).await.map(|verified| verified.rows)
}

async fn a_whole_journal_verifies_against_every_head_it_ever_had(home: Home) {
    let rows = given::five_rows(&home).await;
    let journal = home.open().await;
    let verified = journal.verify(rows.iter().map(|row| (row.stream.clone(), row.head()))).await.unwrap();
    assert_eq!((verified.rows, verified.hash, verified.heads.len()), (5, rows[4].hash, 3));
    assert_eq!(verified.heads[&Stream::run("a")], rows[3].head());
}

/// Each way to alter a row is tried on the verifier itself, in `reeve-core`; here, that the database hides none of it.
async fn tampering_by_who_owns_the_file_is_found(home: Home) {
    let rows = given::five_rows(&home).await;
    let anchors: Vec<(Stream, Head)> = rows.iter().map(|row| (row.stream.clone(), row.head())).collect();
    assert_eq!(tampered(&home, "", &anchors).await, Ok(5));
    let changed = tampered(&home, "UPDATE journal SET body = '{\"text\":\"other\"}' WHERE gseq = 3", &[]).await;
    assert!(matches!(changed, Err(VerifyError::Chain(ChainError::Changed { gseq: 3, .. }))), "{changed:?}");
    let gone = tampered(&home, "DELETE FROM journal WHERE gseq = 2", &[]).await;
    assert_eq!(gone, Err(VerifyError::Chain(ChainError::Gap { expected: 2, found: 3 })));
    let cut = "DELETE FROM journal WHERE gseq > 3";
    assert_eq!(tampered(&home, cut, &[]).await, Ok(3));
    let cut = tampered(&home, cut, &anchors).await;
    assert!(matches!(cut, Err(VerifyError::Chain(ChainError::Anchor { anchored_seq: 3, .. }))), "{cut:?}");
    let emptied = tampered(&home, "DELETE FROM journal", &anchors).await;
    assert!(matches!(emptied, Err(VerifyError::Chain(ChainError::Anchor { .. }))), "{emptied:?}");
    let below = tampered(
        &home,
        "INSERT INTO journal SELECT -3, 'z', 1, time, epoch, kind, actor, body, prev, hash FROM journal WHERE gseq = 1",
        &[],
    )
    .await;
    assert!(matches!(below, Err(VerifyError::Store(StoreError::BadRow { gseq: -3, .. }))), "{below:?}");
    let far =
        format!("INSERT INTO journal SELECT {}, 'z', 1, time, epoch, kind, actor, body, prev, hash FROM journal WHERE gseq = 1", i64::MAX);
    let far = tampered(&home, &far, &[]).await;
    assert_eq!(far, Err(VerifyError::Chain(ChainError::Gap { expected: 6, found: i64::MAX as u64 })));
    let no_digest = tampered(&home, "UPDATE journal SET hash = 'sha256:none' WHERE gseq = 4", &[]).await;
    assert!(matches!(no_digest, Err(VerifyError::Store(StoreError::BadRow { gseq: 4, .. }))), "{no_digest:?}");
}

/// PostgreSQL keeps no such text.
#[tokio::test]
async fn a_text_that_is_no_text_is_found() {
    let home = Home::sqlite().await;
    let bytes = tampered(&home, "UPDATE journal SET kind = CAST(x'ff' AS TEXT) WHERE gseq = 4", &[]).await;
    assert!(matches!(bytes, Err(VerifyError::Store(StoreError::BadRow { gseq: 4, .. }))), "{bytes:?}");
    assert_eq!(bytes.map_err(|error| error.class()), Err(Class::Invalid));
}

async fn a_journal_verifies_while_it_is_written(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    let mut after = None;
    for n in 0..20 {
        let append = journal.append(Epoch(1), &a, after, vec![given::thought("x"); 50]);
        let (rows, verified) = tokio::join!(append, journal.verify([]));
        after = rows.unwrap().last().map(|row| row.seq);
        assert!([n * 50, (n + 1) * 50].contains(&verified.unwrap().rows));
    }
}

async fn exported(home: &Home) -> (Vec<u8>, Vec<Row>) {
    let rows = given::five_rows(home).await;
    let journal = home.open_read_only().await;
    let mut export = Vec::new();
    assert_eq!(journal.export(&mut export).await.unwrap(), 5);
    (export, rows)
}

async fn an_export_verifies_without_its_database(home: Home) {
    let (export, rows) = exported(&home).await;
    let anchors: Vec<(Stream, Head)> = rows.iter().map(|row| (row.stream.clone(), row.head())).collect();
    assert_eq!(verify_export(&export[..], anchors.clone()).await.unwrap().hash, rows[4].hash);
    assert_eq!(verify_export(&b""[..], []).await.unwrap().rows, 0);
    // Cut at the end of a line: whole by itself, and found by an anchor.
    let cut = export[..export.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(verify_export(&export[..cut], []).await.unwrap().rows, 4);
    let found = verify_export(&export[..cut], anchors).await;
    assert!(matches!(found, Err(VerifyError::Chain(ChainError::Anchor { .. }))), "{found:?}");
}

async fn a_line_of_an_export_that_is_no_row_is_named(home: Home) {
    let (export, _) = exported(&home).await;
    let text = String::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with_line_3 = |line: String| [lines[0], lines[1], &line, lines[3], lines[4], ""].join("\n");
    let table = [
        ("cut", text[..text.len() - 1].to_owned(), 5),
        ("cut", text[..text.len() - 40].to_owned(), 5),
        ("garbage", with_line_3("garbage".to_owned()), 3),
        ("blank", with_line_3(String::new()), 3),
        ("unknown field", with_line_3(lines[2].replacen('{', "{\"note\":\"\",", 1)), 3),
        ("field twice", with_line_3(lines[2].replacen('{', "{\"gseq\":3,", 1)), 3),
        ("missing field", with_line_3(lines[2].replacen("\"gseq\":3,", "", 1)), 3),
        ("two rows in a line", with_line_3(format!("{}{}", lines[2], lines[3])), 3),
        ("endless", with_line_3("x".repeat(2 << 20)), 3),
    ];
    for (what, export, expected) in table {
        match verify_export(export.as_bytes(), []).await {
            Err(VerifyError::Line { line, .. }) => assert_eq!(line, expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let edited = with_line_3(lines[2].replacen("three", "other", 1));
    let found = verify_export(edited.as_bytes(), []).await;
    assert!(matches!(found, Err(VerifyError::Chain(ChainError::Changed { gseq: 3, .. }))), "{found:?}");
}

async fn the_largest_body_survives_an_export(home: Home) {
    let journal = home.open().await;
    // Quotes double in the body, and their backslashes again in the line: the worst that a body can do.
    let frame = given::thought("").body.len();
    let worst = given::thought(&"\"".repeat((reeve_core::limits::MAX_EVENT_BODY_BYTES - frame) / 2));
    journal.append(Epoch(1), &Stream::run("a"), None, vec![worst]).await.unwrap();
    let mut export = Vec::new();
    journal.export(&mut export).await.unwrap();
    assert_eq!(verify_export(&export[..], []).await.unwrap().heads[&Stream::run("a")].seq, Seq(1));
}

on_every_database!(
    a_whole_journal_verifies_against_every_head_it_ever_had,
    a_journal_verifies_while_it_is_written,
    an_export_verifies_without_its_database,
    a_line_of_an_export_that_is_no_row_is_named,
    the_largest_body_survives_an_export,
);

on_stored_databases!(tampering_by_who_owns_the_file_is_found,);
