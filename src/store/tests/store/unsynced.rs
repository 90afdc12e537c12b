//! A disk whose flush fails, as the kernel of a process that writes says it.

use reeve_store::Journal;

use crate::given;
use crate::tracer::Unsynced;
use crate::two::Other;

#[tokio::test]
async fn a_row_that_cannot_be_flushed_is_refused_and_rows_are_taken_again_when_it_can() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    let mut other = Other::at(&path);
    other.told(1);
    assert_eq!(other.answer(), "row 1");
    let failing = Unsynced::process(other.pid());
    for _ in 0..3 {
        other.told(1);
        let answer = other.answer();
        assert!(answer.contains("disk I/O error"), "{answer}");
    }
    drop(failing);
    other.told(1);
    assert_eq!(other.answer(), "row 2", "what was refused is not there");
    drop(other);
    let journal = Journal::open(&path).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, 2);
    journal.close().await;
}
