//! A process whose disk does not flush: what its kernel answers is put in by a tracer. The scenarios on a real cluster take this file in too.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A tracer of a process, which answers each of its flushes with EIO. Dropped, it lets go of it.
pub(crate) struct Unsynced(Child);

impl Unsynced {
    /// It holds from here on, for all threads.
    pub(crate) fn process(pid: u32) -> Unsynced {
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
