//! Two operators at one journal, as two processes of one host.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use reeve_core::journal::{Epoch, Stream};
use reeve_store::{Journal, Place, StoreError};
use rustix::process::{Pid, Signal, kill_process};

use crate::given;

/// Another process that has the journal open, and appends a row under the epoch that it is told.
pub(crate) struct Other {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    pub(crate) fn at(path: &Path) -> Other {
        let mut child = given::child("two::a_child_writes_what_it_is_told", path.to_str().unwrap());
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut other = Other { child, orders, answers };
        assert_eq!(other.answer(), "open");
        other
    }

    pub(crate) fn told(&mut self, epoch: u64) {
        writeln!(self.orders, "{epoch}").unwrap();
    }

    /// What stands behind `two: `; the test harness of the child writes lines of its own.
    pub(crate) fn answer(&mut self) -> String {
        let lines = (&mut self.answers).lines();
        lines.map(Result::unwrap).find_map(|line| line.split_once("two: ").map(|(_, answer)| answer.to_owned())).expect("the child ended")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_file_name("journal.db.lock")
}

#[tokio::test]
async fn a_second_process_waits_for_the_death_of_the_first() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    let mut other = Other::at(&path);
    other.told(1);
    assert_eq!(other.answer(), "row 1");
    let refused = Journal::open(&path).await.unwrap_err();
    assert!(matches!(&refused, StoreError::InUse { holder, .. } if holder.contains(&other.child.id().to_string())), "{refused}");
    // Paused is not dead: it may go on at any moment, and then it is the one that writes.
    other.signal(Signal::STOP);
    assert!(matches!(Journal::open(&path).await, Err(StoreError::InUse { .. })));
    other.signal(Signal::CONT);
    other.told(1);
    assert_eq!(other.answer(), "row 2");
    other.signal(Signal::KILL);
    other.child.wait().unwrap();
    let journal = Journal::open(&path).await.unwrap();
    assert_eq!(journal.verify([]).await.unwrap().rows, 2);
    assert_eq!(journal.append(Epoch(2), &Stream::operator(), None, vec![given::thought("mine")]).await.unwrap()[0].gseq, 3);
}

/// Someone deletes the lock file of a paused leader, and another leads: the epoch alone holds.
#[tokio::test]
async fn a_paused_leader_that_wakes_up_beside_another_writes_nothing() {
    let directory = given::directory();
    let path = given::path_in(&directory);
    let mut other = Other::at(&path);
    other.told(1);
    assert_eq!(other.answer(), "row 1");
    other.signal(Signal::STOP);
    std::fs::remove_file(lock_of(&path)).unwrap();
    let journal = Journal::open(&path).await.unwrap();
    journal.append(Epoch(2), &Stream::operator(), None, vec![given::thought("leads")]).await.unwrap();
    // What it was about to do when it was paused.
    other.told(1);
    other.signal(Signal::CONT);
    let answer = other.answer();
    assert!(answer.starts_with("fenced: epoch 1 may not write, the journal has seen epoch 2"), "{answer}");
    assert_eq!(journal.verify([]).await.unwrap().rows, 2);
}

#[test]
fn a_child_writes_what_it_is_told() {
    if let Some(place) = given::is_child() {
        write_what_is_told(&place);
    }
}

#[tokio::main]
async fn write_what_is_told(place: &Place) {
    let journal = Journal::open_at(place).await.unwrap();
    let stream = Stream::run("other");
    println!("two: open");
    for order in std::io::stdin().lock().lines() {
        let epoch = Epoch(order.unwrap().parse().unwrap());
        let after = journal.head(&stream).await.unwrap().map(|head| head.seq);
        match journal.append(epoch, &stream, after, vec![given::thought("told")]).await {
            Ok(rows) => println!("two: row {}", rows[0].gseq),
            Err(error) => println!("two: {error}"),
        }
    }
}
