//! What the journal manages on this machine, each figure beside what the same database does with the same bytes and nothing to chain:
//! `hack/bench/journal` sets up what is needed and runs it.
#![allow(clippy::unwrap_used)]

mod memory;
mod plain;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use reeve_core::Digest;
use reeve_core::journal::{Actor, Epoch, Event, Row, RowDraft, Seq, Stream, Verifier};
use reeve_store::{Journal, Place};

use plain::Plain;

/// Runs that append at the same time.
const RUNS: usize = 16;
/// Appends of each run in a round.
const APPENDS: usize = 150;
/// Rounds of each side, in turn: what disturbs the machine disturbs both.
const ROUNDS: usize = 25;
/// Bytes of an event's body.
const BODY_BYTES: usize = 500;
/// Rows that are verified.
const VERIFIED: usize = 100_000;

#[tokio::main]
async fn main() {
    if memory::is_child().await {
        return;
    }
    let mut arguments = std::env::args().skip(1);
    let directory = tempfile::tempdir_in(arguments.next().map_or_else(std::env::temp_dir, PathBuf::from)).unwrap();
    let url = arguments.next();
    let file = Place::File(directory.path().join("journal.db"));
    let plain = Plain::sqlite(&directory.path().join("plain.db")).await;
    appends("append_sqlite_per_s", &file, &plain).await;
    if let Some(url) = url {
        let plain = Plain::postgres(&url).await;
        appends("append_postgres_per_s", &url.parse().unwrap(), &plain).await;
    }
    durable_commit(&file, directory.path()).await;
    verifying(&file).await;
    memory::peaks(directory.path()).await;
}

fn figure(name: &str, value: f64, unit: &str, reference: f64) {
    figure_with(name, value, unit, reference, value / reference);
}

fn figure_with(name: &str, value: f64, unit: &str, reference: f64, ratio: f64) {
    println!("FIGURE {name} {value:.3} {unit} vs reference {reference:.3} ratio {ratio:.3}");
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn draft() -> RowDraft {
    let frame = r#"{"text":""}"#.len();
    RowDraft::of(&Event::ThoughtSummary { text: "x".repeat(BODY_BYTES - frame) }, &Actor::Model, Timestamp::now()).unwrap()
}

/// One append a commit-to-be, by 16 runs at once. Each number is the median over rounds; the ratio is that of the two sides of a round.
async fn appends(name: &str, place: &Place, plain: &Plain) {
    let journal = Journal::open_at(place).await.unwrap();
    let (mut chained, mut inserted) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        inserted.push(per_second(plain.inserts(RUNS, APPENDS).await));
        chained.push(per_second(journal_appends(&journal, round).await));
    }
    let ratios = chained.iter().zip(&inserted).map(|(chained, inserted)| chained / inserted).collect();
    figure_with(name, median(chained), "appends/s", median(inserted), median(ratios));
    journal.close().await;
}

fn per_second(took: Duration) -> f64 {
    (RUNS * APPENDS) as f64 / took.as_secs_f64()
}

async fn journal_appends(journal: &Journal, round: usize) -> Duration {
    let started = Instant::now();
    join_all((0..RUNS).map(|run| {
        let journal = journal.clone();
        let stream = Stream::run(&format!("0b8e4c4e-6f0b-4c1e-9a57-{round:04}{run:08}"));
        tokio::spawn(async move {
            let mut after: Option<Seq> = None;
            for _ in 0..APPENDS {
                after = journal.append(Epoch(1), &stream, after, vec![draft()]).await.unwrap().last().map(|row| row.seq);
            }
        })
    }))
    .await
    .into_iter()
    .for_each(Result::unwrap);
    started.elapsed()
}

/// One append at a time, beside a plain write of as much and its fdatasync: below that nothing durable can be.
async fn durable_commit(place: &Place, directory: &Path) {
    use std::io::Write as _;
    let journal = Journal::open_at(place).await.unwrap();
    let stream = Stream::run("durable");
    let mut file = std::fs::File::create(directory.join("reference")).unwrap();
    let (mut after, mut appended, mut written) = (None, Vec::new(), Vec::new());
    for _ in 0..200 {
        let started = Instant::now();
        after = journal.append(Epoch(1), &stream, after, vec![draft()]).await.unwrap().last().map(|row| row.seq);
        appended.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        written.push(started.elapsed().as_secs_f64() * 1e3);
    }
    figure("durable_commit_p50_ms", median(appended), "ms", median(written));
    journal.close().await;
}

/// On one core, from rows in memory; beside the SHA-256 of as many bytes. Then the whole of `Journal::verify`, which reads beside it.
async fn verifying(place: &Place) {
    let journal = Journal::open_at(place).await.unwrap();
    for filled in 0..VERIFIED / 500 {
        journal.append(Epoch(1), &Stream::run(&format!("fill-{filled}")), None, vec![draft(); 500]).await.unwrap();
    }
    let mut rows: Vec<Row> = Vec::new();
    while let Some(more) = Some(journal.scan(rows.len() as u64 + 1, 1_000).await.unwrap()).filter(|more| !more.is_empty()) {
        rows.extend(more);
    }
    let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    let (mut verified, mut hashed) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let started = Instant::now();
        lines.iter().for_each(|line| {
            let _ = std::hint::black_box(Digest::of(line));
        });
        hashed.push(rows.len() as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        let mut verifier = Verifier::new([]);
        rows.iter().for_each(|row| verifier.row(row).unwrap());
        assert_eq!(verifier.finish().unwrap().rows, rows.len() as u64);
        verified.push(rows.len() as f64 / started.elapsed().as_secs_f64());
    }
    let alone = median(verified);
    figure("verify_events_per_s", alone, "events/s", median(hashed));
    let started = Instant::now();
    let whole = journal.verify([]).await.unwrap().rows as f64 / started.elapsed().as_secs_f64();
    figure("verify_database_events_per_s", whole, "events/s", alone);
    journal.close().await;
}
