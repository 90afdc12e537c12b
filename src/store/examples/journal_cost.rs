//! What the journal costs on this disk: `cargo run --release -p reeve-store --example journal_cost -- DIRECTORY [ROWS]`.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use reeve_core::journal::{Actor, Epoch, Event, RowDraft, Stream};
use reeve_store::{Artifacts, Journal, verify_export};

const APPENDS: usize = 1_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = tempfile::tempdir_in(arguments.next().map_or_else(std::env::temp_dir, PathBuf::from)).unwrap();
    let rows: usize = arguments.next().map_or(1_000_000, |rows| rows.parse().unwrap());
    let path = directory.path().join("journal.db");
    let journal = Journal::open(&path).await.unwrap();
    fsync_reference(directory.path());
    for writers in [1, 4, 16, 64] {
        appends(&journal, writers, "1KiB").await;
    }
    fill(&journal, rows).await;
    appends(&journal, 1, "1KiB_after_fill").await;
    reading(&journal).await;
    artifacts(directory.path().join("artifacts")).await;
    let size = std::fs::metadata(&path).unwrap().len();
    println!("FIGURE journal_file_size {size} bytes");
    let started = Instant::now();
    journal.close().await;
    figure("journal_close", started.elapsed());
    let started = Instant::now();
    Journal::open(&path).await.unwrap();
    figure("journal_open_full", started.elapsed());
}

fn figure(name: &str, took: Duration) {
    println!("FIGURE {name} {:.3} ms", took.as_secs_f64() * 1e3);
}

fn draft(bytes: usize) -> RowDraft {
    RowDraft::of(&Event::ThoughtSummary { text: "x".repeat(bytes) }, &Actor::Model, Timestamp::now()).unwrap()
}

/// A plain write of 4 KiB and its fdatasync: below this nothing durable can be.
fn fsync_reference(directory: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(directory.join("reference")).unwrap();
    let mut took: Vec<Duration> = (0..300)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[1; 4096]).unwrap();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    took.sort();
    figure("fdatasync_4KiB_p50", took[150]);
    figure("fdatasync_4KiB_p99", took[297]);
}

async fn appends(journal: &Journal, writers: usize, name: &str) {
    let started = Instant::now();
    let took = join_all((0..writers).map(|writer| {
        let journal = journal.clone();
        let stream = Stream::run(&format!("{name}-{writers}-{writer}"));
        tokio::spawn(async move {
            let mut after = None;
            let mut took = Vec::new();
            for _ in 0..APPENDS / writers * if writers > 1 { 4 } else { 1 } {
                let draft = draft(1_000);
                let started = Instant::now();
                after = journal.append(Epoch(1), &stream, after, vec![draft]).await.unwrap().last().map(|row| row.seq);
                took.push(started.elapsed());
            }
            took
        })
    }))
    .await;
    let elapsed = started.elapsed();
    let mut took: Vec<Duration> = took.into_iter().flat_map(Result::unwrap).collect();
    took.sort();
    let at = |percent: usize| took[took.len() * percent / 100];
    figure(&format!("append_{name}_{writers}_writers_p50"), at(50));
    figure(&format!("append_{name}_{writers}_writers_p99"), at(99));
    println!("FIGURE append_{name}_{writers}_writers {:.0} appends/s", took.len() as f64 / elapsed.as_secs_f64());
}

/// Many streams of 200 rows.
async fn fill(journal: &Journal, rows: usize) {
    let started = Instant::now();
    for run in 0..rows / 200 {
        let stream = Stream::run(&format!("fill-{run}"));
        journal.append(Epoch(1), &stream, None, vec![draft(300); 200]).await.unwrap();
    }
    println!("FIGURE fill_rows_of_300_bytes {:.0} rows/s", rows as f64 / started.elapsed().as_secs_f64());
}

async fn reading(journal: &Journal) {
    let started = Instant::now();
    let verified = journal.verify([]).await.unwrap();
    figure(&format!("verify_{}_rows", verified.rows), started.elapsed());
    let started = Instant::now();
    let mut export = Vec::new();
    journal.export(&mut export).await.unwrap();
    figure("export", started.elapsed());
    let started = Instant::now();
    verify_export(&export[..], []).await.unwrap();
    figure("verify_export", started.elapsed());
    let started = Instant::now();
    let streams = journal.streams().await.unwrap().len();
    figure(&format!("streams_{streams}"), started.elapsed());
    let started = Instant::now();
    journal.find_runs("default", "fix").await.unwrap();
    figure("find_runs", started.elapsed());
    let started = Instant::now();
    journal.head(&Stream::run("fill-7")).await.unwrap();
    figure("head", started.elapsed());
}

async fn artifacts(directory: PathBuf) {
    let artifacts = Artifacts::open(&directory).await.unwrap();
    let mut took = Vec::new();
    for n in 0..200_u32 {
        let bytes = [n.to_le_bytes().to_vec(), vec![0; 20_000]].concat();
        let started = Instant::now();
        artifacts.put(bytes).await.unwrap();
        took.push(started.elapsed());
    }
    took.sort();
    figure("artifact_put_20KB_p50", took[100]);
    figure("artifact_put_20KB_p99", took[198]);
}
