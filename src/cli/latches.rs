//! Latches in a file: what stopped a strategy stops it again the next time.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use reeve_trading::risk::{LatchError, LatchKey, LatchStore, Latches};

/// Latches of one strategy in one file, replaced as a whole.
#[derive(Debug)]
pub(crate) struct LatchFile {
    path: PathBuf,
}

impl LatchFile {
    /// The file need not be there; it is written with the first order.
    pub(crate) fn new(path: &Path) -> LatchFile {
        LatchFile { path: path.to_owned() }
    }

    fn wrong(&self, key: &LatchKey, why: &dyn std::fmt::Display) -> LatchError {
        LatchError { key: key.clone(), why: format!("{}: {why}", self.path.display()) }
    }
}

impl LatchStore for LatchFile {
    fn load(&self, key: &LatchKey) -> Result<Option<Latches>, LatchError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Latches::from_text(key, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.wrong(key, &error)),
        }
    }

    fn save(&mut self, key: &LatchKey, latches: &Latches) -> Result<(), LatchError> {
        let half = self.path.with_extension("part");
        let write = || {
            let mut file = File::create(&half)?;
            file.write_all(latches.to_text(key).as_bytes())?;
            file.sync_all()?;
            fs::rename(&half, &self.path)?;
            // The new name is durable with its folder.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| self.wrong(key, &error))
    }
}
