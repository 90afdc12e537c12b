//! A PostgreSQL that is killed under those who write it, and started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Seq, Stream};
use reeve_store::{Journal, Place};

use crate::given;
use crate::process::Server;

/// Streams that are appended to at the same time.
const STREAMS: usize = 8;

/// What was answered with a row: the hash of each, by its place.
type Answered = Arc<Mutex<BTreeMap<u64, Digest>>>;

/// Appends until it is refused; answers why.
async fn until_refused(journal: Journal, stream: Stream, answered: Answered) -> Class {
    let mut after = None;
    loop {
        match journal.append(Epoch(1), &stream, after, vec![given::thought("x"), given::thought("y")]).await {
            Ok(rows) => {
                after = rows.last().map(|row| row.seq);
                answered.lock().unwrap().extend(rows.iter().map(|row| (row.gseq, row.hash)));
            }
            Err(error) => return error.class(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_each_row_that_was_answered_and_takes_more_when_it_is_back() {
    let server = Server::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &[]);
    let place: Place = server.url("postgres", "public").parse().unwrap();
    let journal = Journal::open_at(&place).await.unwrap();
    for round in 1..=3 {
        let answered = Answered::default();
        let writers: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let stream = Stream::run(&format!("{round}-{stream}"));
                tokio::spawn(until_refused(journal.clone(), stream, Arc::clone(&answered)))
            })
            .collect();
        while answered.lock().unwrap().len() < 20 * STREAMS {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| server.kill9());
        for writer in writers {
            assert_eq!(writer.await.unwrap(), Class::Transient, "it passes when the server is back");
        }
        let during =
            journal.append(Epoch(1), &Stream::run("during"), Some(Seq(round - 1)).filter(|seq| seq.0 > 0), vec![given::thought("z")]).await;
        assert_eq!(during.map_err(|error| error.class()).map(|rows| rows.len()), Err(Class::Transient));
        tokio::task::block_in_place(|| server.start_again());
        // The same handle, without a restart of who holds it.
        let after = journal.head(&Stream::run("during")).await.unwrap().map(|head| head.seq);
        assert_eq!(after, Some(Seq(round - 1)).filter(|seq| seq.0 > 0), "what was refused is not there");
        journal.append(Epoch(1), &Stream::run("during"), after, vec![given::thought("z")]).await.unwrap();
        journal.verify([]).await.unwrap();
        let answered = answered.lock().unwrap().clone();
        for (gseq, hash) in answered {
            assert_eq!(journal.scan(gseq, 1).await.unwrap()[0].hash, hash, "round {round}, row {gseq}");
        }
    }
    journal.close().await;
}
