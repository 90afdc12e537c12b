//! What was resolved and waits to be called.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use regex::bytes::Regex;

use crate::program::Found;
use crate::refusal::Refusal;
use crate::schema::ReadArguments;
use crate::workspace::{Opened, Place};

/// Resolved calls held at once. An answer has at most 32 calls; a second operator may hold as many.
const MAX_HELD: usize = 64;

/// A call with everything it touches held open.
#[derive(Debug)]
pub(crate) enum Prepared {
    Read { file: Opened, arguments: ReadArguments },
    Write { place: Place, content: String },
    Edit { place: Place, file: Opened, old: String, new: String },
    List { directory: Opened, depth: u32 },
    Search { start: Opened, is_dir: bool, pattern: Regex },
    Run { program: Box<Found>, cwd: OwnedFd, argv: Vec<String>, stdin: Option<String>, timeout_ms: u64 },
    Diff,
    Commit { message: String },
}

#[derive(Debug)]
struct Held {
    key: String,
    epoch: u64,
    prepared: Prepared,
}

/// The handles given out.
#[derive(Debug)]
pub(crate) struct Handles {
    /// In every handle, so that one of an earlier server is not mistaken for ours.
    server: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    held: BTreeMap<u64, Held>,
}

impl Handles {
    pub(crate) fn new() -> Handles {
        use std::hash::{BuildHasher as _, Hasher as _};
        let server = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Handles { server: format!("{server:016x}"), inner: Mutex::default() }
    }

    /// Holds a call and names it. The oldest one goes when there are too many.
    pub(crate) fn hold(&self, key: &str, epoch: u64, prepared: Prepared) -> String {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        inner.held.insert(number, Held { key: key.to_owned(), epoch, prepared });
        if inner.held.len() > MAX_HELD {
            inner.held.pop_first();
        }
        format!("{}-{number}", self.server)
    }

    /// Gives out what a handle holds, once, to the key and epoch it was made for.
    pub(crate) fn take(&self, handle: &str, key: &str, epoch: u64) -> Result<Prepared, Refusal> {
        let gone = || Refusal::handle("the handle is unknown, used, or too old: resolve the call again");
        let number = handle.strip_prefix(&self.server).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok()).ok_or_else(gone)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let held = inner.held.get(&number).ok_or_else(gone)?;
        if held.key != key {
            return Err(Refusal::handle(format!("the handle belongs to another key than {key:?}")));
        }
        if held.epoch != epoch {
            return Err(Refusal::handle(format!("the handle was made in epoch {}, not in {epoch}", held.epoch)));
        }
        inner.held.remove(&number).map(|held| held.prepared).ok_or_else(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_good_once_for_its_key_and_epoch() {
        let handles = Handles::new();
        let handle = handles.hold("k", 1, Prepared::Diff);
        assert!(handles.take(&handle, "other", 1).is_err());
        assert!(handles.take(&handle, "k", 2).is_err());
        assert!(handles.take("nonsense-0", "k", 1).is_err());
        assert!(handles.take(&handle, "k", 1).is_ok());
        assert!(handles.take(&handle, "k", 1).is_err());
    }

    #[test]
    fn the_oldest_handle_goes_when_there_are_too_many() {
        let handles = Handles::new();
        let given: Vec<_> = (0..=MAX_HELD).map(|n| handles.hold(&n.to_string(), 1, Prepared::Diff)).collect();
        assert!(handles.take(&given[0], "0", 1).is_err());
        assert!(handles.take(&given[1], "1", 1).is_ok());
    }
}
