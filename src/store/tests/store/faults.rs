//! A file that someone locked, and one that someone damaged.

use std::path::Path;

use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_store::{Journal, Place, StoreError, VerifyError};

use crate::given;

#[tokio::test]
async fn a_locked_file_takes_no_row_and_takes_them_again_when_it_is_free() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    let journal = Journal::open(&path).await.unwrap();
    let stream = Stream::run("a");
    journal.append(Epoch(1), &stream, None, vec![given::thought("before")]).await.unwrap();
    let mut other = given::raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let refused = journal.append(Epoch(1), &stream, Some(Seq(1)), vec![given::thought("meanwhile")]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable { why, .. } if why.contains("locked")), "{refused}");
    assert_eq!(refused.class(), Class::Transient);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(journal.head(&stream).await.unwrap().unwrap().seq, Seq(1), "what was refused is not there");
    journal.append(Epoch(1), &stream, Some(Seq(1)), vec![given::thought("after")]).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, 2);
}

/// Whichever page is damaged, either what needs it says so, or every row is whole: nothing else is answered as if it were true.
#[tokio::test]
async fn a_damaged_page_is_said_and_never_believed() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    let journal = Journal::open(&path).await.unwrap();
    let mut after = None;
    for _ in 0..8 {
        let drafts = (0..8).map(|_| given::thought(&"x".repeat(1_500))).collect();
        after = journal.append(Epoch(1), &Stream::run("a"), after, drafts).await.unwrap().last().map(|row| row.seq);
    }
    journal.close().await;
    let whole = std::fs::read(&path).unwrap();
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let (mut said, pages) = (0, whole.len() / page);
    for number in 1..pages {
        let mut damaged = whole.clone();
        damaged[number * page..number * page + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
        std::fs::write(&path, damaged).unwrap();
        match believed(&path).await {
            Ok(rows) => assert_eq!(rows, 64, "page {number}"),
            Err(error) => {
                said += 1;
                assert_eq!(error.class(), Class::Invalid, "page {number}: {error}");
            }
        }
    }
    assert!(said > pages / 2, "{said} of {pages}");
    std::fs::write(&path, whole).unwrap();
    assert_eq!(believed(&path).await.unwrap(), 64, "and the file put back is read");
}

async fn believed(path: &Path) -> Result<u64, VerifyError> {
    let journal = given::opened(&Place::File(path.to_owned())).await?;
    let verified = journal.verify([]).await.map(|verified| verified.rows);
    journal.close().await;
    verified
}
