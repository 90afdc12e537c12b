//! The fencing epoch: of two operators that both believe to lead, only the later one acts.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reeve_core::journal::Epoch;

use crate::refusal::Refusal;

const FILE: &str = "epoch";

/// The highest epoch that said hello, kept beside the ledger.
#[derive(Debug)]
pub(crate) struct Fence {
    path: PathBuf,
    highest: Mutex<u64>,
}

/// Proof that an epoch was current, for as long as it is held: no later operator can say hello meanwhile.
#[derive(Debug)]
pub(crate) struct Passage<'a>(#[allow(dead_code, reason = "held for its lock")] MutexGuard<'a, u64>);

impl Fence {
    pub(crate) fn open(directory: &Path) -> std::io::Result<Fence> {
        let path = directory.join(FILE);
        let highest = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Fence { path, highest: Mutex::new(highest) })
    }

    /// Lets an operator in and fences every earlier one.
    pub(crate) fn hello(&self, epoch: u64) -> Result<(), Refusal> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if Epoch(epoch).is_fenced_by(Epoch(*highest)) {
            return Err(Refusal::fenced(epoch, *highest));
        }
        if epoch > *highest {
            let staged = self.path.with_extension("new");
            std::fs::write(&staged, epoch.to_string())
                .and_then(|()| std::fs::rename(&staged, &self.path))
                .map_err(Refusal::failed("keeping the epoch"))?;
            *highest = epoch;
        }
        Ok(())
    }

    /// Lets a request of this epoch pass.
    pub(crate) fn pass(&self, epoch: u64) -> Result<Passage<'_>, Refusal> {
        let highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if Epoch(epoch).is_fenced_by(Epoch(*highest)) { Err(Refusal::fenced(epoch, *highest)) } else { Ok(Passage(highest)) }
    }
}

#[cfg(test)]
mod tests {
    use reeve_core::tool::wire::code;

    use super::*;

    #[test]
    fn a_later_epoch_fences_an_earlier_one_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let fence = Fence::open(dir.path()).unwrap();
        fence.hello(3).unwrap();
        fence.hello(3).unwrap();
        fence.hello(5).unwrap();
        assert_eq!(fence.pass(3).unwrap_err().code, code::FENCED);
        let again = Fence::open(dir.path()).unwrap();
        assert_eq!(again.hello(4).unwrap_err().code, code::FENCED);
        assert!(again.pass(5).is_ok());
    }
}
