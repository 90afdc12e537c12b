//! Digests of what went into a run.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// SHA-256 of bytes, in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads through, and knows the SHA-256 of what was read: data from a pipe can be read only once.
#[derive(Debug)]
pub struct Digesting<R> {
    inner: R,
    so_far: Arc<Mutex<Sha256>>,
}

/// The digest of a [`Digesting`] reader that someone else has taken.
#[derive(Clone, Debug)]
pub struct DigestHandle {
    so_far: Arc<Mutex<Sha256>>,
}

impl<R: Read> Digesting<R> {
    /// Reads through `inner`.
    pub fn new(inner: R) -> (Digesting<R>, DigestHandle) {
        let so_far = Arc::new(Mutex::new(Sha256::new()));
        (Digesting { inner, so_far: Arc::clone(&so_far) }, DigestHandle { so_far })
    }
}

impl DigestHandle {
    /// SHA-256 of what was read so far, in hexadecimal digits.
    pub fn value(&self) -> String {
        hex(&self.so_far.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize())
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).update(&into[..count]);
        Ok(count)
    }
}
