//! A disk whose flush fails, as the kernel of a process that writes says it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use reeve_store::Journal;

use crate::given;
use crate::two::Other;

/// A tracer of a process, which answers each of its flushes with EIO. Dropped, it lets go of it.
struct Unsynced(Child);

impl Unsynced {
    fn process(pid: u32) -> Unsynced {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p", &pid.to_string()]);
        let mut tracer = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tracer.stderr.take().unwrap()).lines();
        let attached = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("attached")));
        assert!(attached.is_some(), "strace could not attach to {pid}");
        // Read on, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Unsynced(tracer)
    }
}

impl Drop for Unsynced {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

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
