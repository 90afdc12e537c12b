use std::fs;

use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_store::{Journal, StoreError};

use crate::given;
use crate::home::{Home, on_every_database, on_stored_databases};

async fn what_was_written_is_there_after_reopening(home: Home) {
    let rows = given::five_rows(&home).await;
    let journal = home.open().await;
    assert_eq!(journal.scan(1, 100).await.unwrap(), rows);
    assert_eq!(journal.highest_epoch().await.unwrap(), Epoch(2));
    let more = journal.append(Epoch(2), &Stream::run("a"), Some(Seq(3)), vec![given::thought("six")]).await.unwrap();
    assert_eq!((more[0].gseq, more[0].seq, more[0].prev), (6, Seq(4), rows[4].hash));
}

#[tokio::test]
async fn a_second_writer_is_refused_while_the_first_lives() {
    let home = Home::sqlite().await;
    let path = home.path();
    let journal = home.open().await;
    let refused = Journal::open(&path).await.unwrap_err();
    assert_eq!(refused.class(), Class::Conflict);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    journal.close().await;
    Journal::open(&path).await.unwrap();
}

async fn handles_of_a_closed_journal_say_so(home: Home) {
    let journal = home.open().await;
    let other = journal.clone();
    journal.close().await;
    let append = other.append(Epoch(1), &Stream::run("a"), None, vec![given::thought("late")]).await;
    assert_eq!(append, Err(StoreError::Closed));
    assert_eq!(other.head(&Stream::run("a")).await, Err(StoreError::Closed));
    other.close().await;
}

#[tokio::test]
async fn a_schema_newer_than_the_binary_is_refused_and_left_alone() {
    let home = Home::sqlite().await;
    let path = home.path();
    given::five_rows(&home).await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', TRUE, x'00', 0)";
    given::sql(&path, newer).await.unwrap();
    let before = fs::read(&path).unwrap();
    for refused in [Journal::open(&path).await, Journal::open_read_only(&path).await] {
        assert!(matches!(refused, Err(StoreError::NewerSchema { found: 999, known: 4, .. })), "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    for content in ["kind: Goal\n", "SQLite format 2\0 and more"] {
        fs::write(&path, content).unwrap();
        for refused in [Journal::open(&path).await, Journal::open_read_only(&path).await] {
            assert!(matches!(refused, Err(StoreError::NotAJournal { .. })), "{refused:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn the_database_of_another_application_is_refused_and_left_alone() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    fs::write(&path, "").unwrap();
    given::sql(&path, "CREATE TABLE journal (id INTEGER); PRAGMA application_id = 7").await.unwrap();
    let before = fs::read(&path).unwrap();
    for refused in [Journal::open(&path).await, Journal::open_read_only(&path).await] {
        assert!(matches!(refused, Err(StoreError::NotAJournal { .. })), "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_refused_by_name() {
    let directory = given::directory();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    // A lock that cannot be opened to write, whoever the user is.
    fs::create_dir(directory.path().join("taken.db.lock")).unwrap();
    for path in [directory.path().join("missing/journal.db"), file.join("journal.db"), directory.path().join("taken.db")] {
        let refused = Journal::open(&path).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unusable { .. }), "{refused:?}");
        assert_eq!(refused.class(), Class::Invalid);
        assert!(!path.exists());
    }
    let absent = Journal::open_read_only(&given::path_in(&directory)).await;
    assert!(matches!(absent, Err(StoreError::Unusable { .. })), "{absent:?}");
    assert!(!given::path_in(&directory).exists());
}

async fn a_reader_sees_what_the_living_writer_wrote_and_cannot_write(home: Home) {
    let journal = home.open().await;
    let a = Stream::run("a");
    journal.append(Epoch(1), &a, None, vec![given::thought("one")]).await.unwrap();
    let reader = home.open_read_only().await;
    assert_eq!(reader.verify([]).await.unwrap().rows, 1);
    journal.append(Epoch(1), &a, Some(Seq(1)), vec![given::thought("two")]).await.unwrap();
    assert_eq!(reader.verify([]).await.unwrap().rows, 2);
    assert_eq!(reader.append(Epoch(1), &a, Some(Seq(2)), vec![given::thought("three")]).await, Err(StoreError::ReadOnly));
}

#[tokio::test]
async fn a_copy_is_read_with_its_log_or_without_and_nothing_is_left_beside_it() {
    let home = Home::sqlite().await;
    let rows = given::five_rows(&home).await;
    let elsewhere = given::directory();
    let copy = given::path_in(&elsewhere);
    fs::copy(home.path(), &copy).unwrap();
    let reader = Journal::open_read_only(&copy).await.unwrap();
    assert_eq!(reader.scan(1, 100).await.unwrap(), rows);
    reader.close().await;
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);

    let journal = home.open().await;
    journal.append(Epoch(2), &Stream::run("c"), None, vec![given::thought("six")]).await.unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("journal.db{suffix}");
        fs::copy(home.path().with_file_name(&file), elsewhere.path().join(&file)).unwrap();
    }
    let reader = Journal::open_read_only(&copy).await.unwrap();
    assert_eq!(reader.verify([]).await.unwrap().rows, 6);
}

on_every_database!(what_was_written_is_there_after_reopening, handles_of_a_closed_journal_say_so);

on_stored_databases!(a_reader_sees_what_the_living_writer_wrote_and_cannot_write);
