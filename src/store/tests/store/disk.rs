//! A disk that takes no more.

use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Stream};
use reeve_store::{Journal, Place};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::given;

#[test]
fn a_write_that_the_system_refuses_leaves_nothing_and_works_again_after() {
    let directory = given::directory();
    let child =
        given::child("disk::a_child_writes_past_its_file_size_limit", given::path_in(&directory).to_str().unwrap()).output().unwrap();
    assert!(child.status.success(), "{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(String::from_utf8_lossy(&child.stdout).contains("refused and recovered"));
}

#[test]
fn a_child_writes_past_its_file_size_limit() {
    if let Some(place) = given::is_child() {
        write_past_the_limit(&place);
    }
}

fn limit_files_to(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[tokio::main]
async fn write_past_the_limit(place: &Place) {
    let journal = Journal::open_at(place).await.unwrap();
    let a = Stream::run("a");
    let drafts = || vec![given::thought(&"x".repeat(100_000)), given::thought("y")];
    limit_files_to(Some(1_000_000));
    let mut after = None;
    let mut rows = 0;
    let refused = loop {
        match journal.append(Epoch(1), &a, after, drafts()).await {
            Ok(written) => after = written.last().map(|row| row.seq),
            Err(error) => break error,
        }
        rows += 2;
    };
    assert_eq!(refused.class(), Class::Transient, "{refused}");
    assert!((2..40).contains(&rows), "{rows}");
    assert_eq!(journal.head(&a).await.unwrap().map(|head| head.seq), after);
    assert_eq!(journal.verify([]).await.unwrap().rows, rows);
    // And again, on a connection that is made anew.
    limit_files_to(Some(1));
    let refused = journal.append(Epoch(1), &a, after, drafts()).await.map(|rows| rows.len());
    assert_eq!(refused.map_err(|error| error.class()), Err(Class::Transient));
    limit_files_to(None);
    journal.append(Epoch(1), &a, after, drafts()).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, rows + 2);
    journal.close().await;
    let journal = Journal::open_at(place).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, rows + 2);
    println!("refused and recovered");
}
