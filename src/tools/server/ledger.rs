//! The sandbox's own memory of calls: a key that is in it never runs again.
//!
//! One JSON line a fact, appended by one `write`; a line that a crash cut short is cut off at the next start. No fsync: the volume dies
//! with the Pod, so what must be survived is this process's end, and a completed `write` survives that.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reeve_core::tool::wire::{Outcome, Recorded};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::refusal::Refusal;

const FILE: &str = "calls.jsonl";

/// What is known of every key.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    end_bytes: u64,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    /// The receiver sees its sender go when the call has ended.
    Running(watch::Receiver<()>),
    /// The outcome stands in the file: outcomes of a long run would be much memory.
    Done { offset: u64, length: usize },
    /// Started by a server that is gone.
    Unknown,
}

/// A started call. Dropping it unfinished leaves its outcome unknown.
#[derive(Debug)]
pub(crate) struct Started {
    key: String,
    running: watch::Sender<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
enum Fact {
    Started { key: String },
    Done { key: String, outcome: Outcome },
}

impl Ledger {
    /// Opens or makes the ledger in `directory`, for one server at a time.
    pub(crate) fn open(directory: &Path) -> std::io::Result<Ledger> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(directory.join(FILE))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| std::io::Error::other(format!("another server holds the ledger: {error}")))?;
        let mut entries = BTreeMap::new();
        let mut end_bytes = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let Some(fact) = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Fact>(line).ok()) else { break };
            match fact {
                Fact::Started { key } => entries.insert(key, Entry::Unknown),
                Fact::Done { key, .. } => entries.insert(key, Entry::Done { offset: end_bytes, length: line.len() }),
            };
            end_bytes += line.len() as u64;
            line.clear();
        }
        file.set_len(end_bytes)?;
        (&file).seek(SeekFrom::End(0))?;
        Ok(Ledger(Mutex::new(Inner { file, end_bytes, entries })))
    }

    /// Whether the key ever started.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.inner().entries.contains_key(key)
    }

    /// Records that the call starts. Nothing may happen before this.
    ///
    /// # Errors
    /// KEY_USED, or INTERNAL when it cannot be written; then the call must not run.
    pub(crate) fn start(&self, key: &str) -> Result<Started, Refusal> {
        let mut inner = self.inner();
        if inner.entries.contains_key(key) {
            return Err(Refusal::key_used(key));
        }
        inner.append(&Fact::Started { key: key.to_owned() }).map_err(Refusal::failed("writing the ledger"))?;
        let (running, receiver) = watch::channel(());
        inner.entries.insert(key.to_owned(), Entry::Running(receiver));
        Ok(Started { key: key.to_owned(), running })
    }

    /// Records how a call ended and wakes who waits for it.
    ///
    /// # Errors
    /// INTERNAL when it cannot be written; the outcome is then unknown to whoever asks later.
    pub(crate) fn finish(&self, started: Started, outcome: &Outcome) -> Result<(), Refusal> {
        let mut inner = self.inner();
        let written = inner.append(&Fact::Done { key: started.key.clone(), outcome: outcome.clone() });
        let entry = match &written {
            Ok((offset, length)) => Entry::Done { offset: *offset, length: *length },
            Err(_) => Entry::Unknown,
        };
        inner.entries.insert(started.key, entry);
        drop(inner);
        drop(started.running);
        written.map(drop).map_err(Refusal::failed("writing the ledger"))
    }

    /// What became of a key, waiting up to `wait` while it runs.
    pub(crate) async fn lookup(&self, key: &str, wait: Duration) -> Result<Recorded, Refusal> {
        let found = self.inner().entries.get(key).cloned();
        if let Some(Entry::Running(mut receiver)) = found {
            // The only change is that the sender goes.
            let _ = tokio::time::timeout(wait, receiver.changed()).await;
        }
        let inner = self.inner();
        match inner.entries.get(key) {
            None => Ok(Recorded::Absent),
            Some(Entry::Running(receiver)) if receiver.has_changed().is_ok() => Ok(Recorded::Running),
            Some(Entry::Running(_) | Entry::Unknown) => Ok(Recorded::Unknown),
            Some(Entry::Done { offset, length }) => inner.outcome(*offset, *length).map(|outcome| Recorded::Done { outcome }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, fact: &Fact) -> std::io::Result<(u64, usize)> {
        let mut line = serde_json::to_vec(fact)?;
        line.push(b'\n');
        let offset = self.end_bytes;
        if let Err(error) = self.file.write_all(&line) {
            // Half a line in front of the next fact would hide that one too.
            let _ = self.file.set_len(offset);
            return Err(error);
        }
        self.end_bytes += line.len() as u64;
        Ok((offset, line.len()))
    }

    fn outcome(&self, offset: u64, length: usize) -> Result<Outcome, Refusal> {
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, offset).map_err(Refusal::failed("reading the ledger"))?;
        match serde_json::from_slice(&line).map_err(Refusal::failed("reading the ledger"))? {
            Fact::Done { outcome, .. } => Ok(outcome),
            Fact::Started { key } => Err(Refusal::internal(format!("the ledger has no outcome where {key:?} should have one"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use reeve_core::tool::wire::Status;

    use super::*;

    fn outcome(content: &str) -> Outcome {
        Outcome {
            status: Status::Ok,
            content: content.to_owned(),
            output_bytes: content.len() as u64,
            truncated: false,
            exit_code: Some(0),
            duration_ms: 3,
            commit: None,
        }
    }

    #[tokio::test]
    async fn a_ledger_remembers_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let done = ledger.start("done").unwrap();
        ledger.finish(done, &outcome("out\nput")).unwrap();
        let _lost = ledger.start("lost").unwrap();
        drop(ledger);
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.lookup("done", Duration::ZERO).await.unwrap(), Recorded::Done { outcome: outcome("out\nput") });
        assert_eq!(ledger.lookup("lost", Duration::ZERO).await.unwrap(), Recorded::Unknown);
        assert_eq!(ledger.lookup("never", Duration::ZERO).await.unwrap(), Recorded::Absent);
        assert!(ledger.start("lost").is_err() && ledger.start("done").is_err());
    }

    #[tokio::test]
    async fn a_line_cut_short_by_a_crash_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let whole = "{\"fact\":\"started\",\"key\":\"a\"}\n";
        std::fs::write(dir.path().join(FILE), format!("{whole}{{\"fact\":\"started\",\"ke")).unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let started = ledger.start("b").unwrap();
        ledger.finish(started, &outcome("b")).unwrap();
        assert_eq!(ledger.lookup("b", Duration::ZERO).await.unwrap(), Recorded::Done { outcome: outcome("b") });
        drop(ledger);
        let again = Ledger::open(dir.path()).unwrap();
        assert!(again.knows("a") && again.knows("b"));
    }

    #[test]
    fn a_ledger_has_one_server() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Ledger::open(dir.path()).unwrap();
        assert!(Ledger::open(dir.path()).unwrap_err().to_string().contains("another server"));
    }

    #[tokio::test]
    async fn a_lookup_waits_for_a_running_call() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = std::sync::Arc::new(Ledger::open(dir.path()).unwrap());
        let started = ledger.start("k").unwrap();
        assert_eq!(ledger.lookup("k", Duration::ZERO).await.unwrap(), Recorded::Running);
        let waiting = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.lookup("k", Duration::from_secs(30)).await }
        });
        tokio::task::yield_now().await;
        ledger.finish(started, &outcome("k")).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), Recorded::Done { outcome: outcome("k") });
    }
}
