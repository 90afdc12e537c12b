//! A writer is killed again and again; what it was told to be durable is there, and budgets are what their rows make of them.
//!
//! SIGKILL leaves the page cache alive, so this shows that no commit is half done and none is answered early. That the bytes are on the
//! disk rests on `synchronous = FULL`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reeve_core::journal::{Epoch, Head, Seq, Stream};
use reeve_store::{Journal, Place};

use crate::home::Home;
use crate::{given, reservers};

const TEAM: &str = "team/daily";

/// Acknowledgements to wait for before each kill; at 0 it may come while the schema is made.
const KILLS_AFTER: [usize; 14] = [0, 0, 0, 1, 1, 2, 3, 5, 8, 0, 13, 1, 21, 34];

/// Writers in the child, so that commits are shared.
const WRITERS: usize = 4;

#[test]
fn no_acknowledged_row_of_a_file_is_lost_when_the_writer_is_killed() {
    kill_again_and_again(&made(Home::sqlite));
}

/// The server lives on: what a dead writer had not committed is rolled back, and what it had is there.
#[test]
fn no_acknowledged_row_of_postgres_is_lost_when_the_writer_is_killed() {
    kill_again_and_again(&made(Home::postgres));
}

#[tokio::main]
async fn made(home: impl AsyncFnOnce() -> Home) -> Home {
    home().await
}

fn kill_again_and_again(home: &Home) {
    let mut acknowledged = Vec::new();
    for (round, kill_after) in KILLS_AFTER.into_iter().enumerate() {
        acknowledged.extend(killed_writer(&home.place_text(), kill_after));
        if round > 0 || made_already(home) {
            check(home, &acknowledged);
        }
    }
    assert!(acknowledged.len() >= KILLS_AFTER.iter().sum());
}

/// The first writer may have been killed before it made its file.
fn made_already(home: &Home) -> bool {
    !matches!(home, Home::Sqlite(_)) || home.path().exists()
}

/// Starts a writer, kills it after so many acknowledgements, and answers all it gave.
fn killed_writer(place: &str, kill_after: usize) -> Vec<(Stream, Head)> {
    let mut child = given::child("crash::a_child_appends_until_it_is_killed", place).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < kill_after {
        let line = lines.next().expect("the child ended by itself").unwrap();
        acknowledged.extend(acknowledgement(&line));
    }
    // Somewhere in the next commits, which take milliseconds each.
    let somewhen = Instant::now() + Duration::from_nanos(nanos() % 20_000_000);
    while Instant::now() < somewhen {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was in the pipe was said before the kill.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| acknowledgement(&line)));
    acknowledged
}

fn nanos() -> u64 {
    u64::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos())
}

/// `ack STREAM SEQ HASH .`, the dot against a line cut short.
fn acknowledgement(line: &str) -> Option<(Stream, Head)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["ack", stream, seq, hash, "."] = words[..] else { return None };
    Some((Stream::run(stream), Head { seq: Seq(seq.parse().unwrap()), hash: hash.parse().unwrap() }))
}

#[tokio::main]
async fn check(home: &Home, acknowledged: &[(Stream, Head)]) {
    let journal = home.open().await;
    journal.verify(acknowledged.iter().cloned()).await.unwrap();
    assert_eq!(reservers::sums(&journal).await, reservers::add_up(&reservers::rows(&journal).await));
    journal.close().await;
}

#[test]
fn a_child_appends_until_it_is_killed() {
    if let Some(place) = given::is_child() {
        append_for_ever(&place);
    }
}

#[tokio::main]
async fn append_for_ever(place: &Place) {
    let journal = given::opened(place).await.unwrap();
    let operator = Stream::operator();
    let after = journal.head(&operator).await.unwrap().map(|head| head.seq);
    journal.append(Epoch(1), &operator, after, vec![given::limited(TEAM, Some(1 << 40))]).await.unwrap();
    let writers = (0..WRITERS).map(|writer| append_to(journal.clone(), Stream::run(&format!("writer-{writer}"))));
    futures::future::join_all(writers.map(tokio::spawn)).await;
}

async fn append_to(journal: Journal, stream: Stream) {
    let mut after = journal.head(&stream).await.unwrap().map(|head| head.seq);
    for text in ["short", &"long ".repeat(4_000)].into_iter().cycle() {
        // What was open when the writer was killed stays so: its key is another.
        let key = format!("{}/{}", stream.as_str(), after.map_or(0, |seq: Seq| seq.0));
        let reserve = vec![given::reserved(TEAM, &key, 7), given::thought(text)];
        after = journal.append(Epoch(1), &stream, after, reserve).await.unwrap().last().map(|row| row.seq);
        let rows = journal.append(Epoch(1), &stream, after, vec![given::settled(TEAM, &key, 5), given::thought("and")]).await.unwrap();
        let last = rows.last().unwrap();
        after = Some(last.seq);
        let line = format!("\nack {} {} {} .\n", stream.as_str(), last.seq.0, last.hash);
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}
