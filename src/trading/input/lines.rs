//! Lines of a file, one in memory, each with its number.

use std::io::{BufRead, Read as _};

use super::InputError;

/// Reads lines up to a length. A last line that does not end is refused: it may have been cut.
pub(super) struct Lines<R> {
    input: R,
    file: String,
    max_bytes: usize,
    number: u64,
    row: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, file: &str, max_bytes: usize) -> Lines<R> {
        Lines { input, file: file.to_owned(), max_bytes, number: 0, row: Vec::new() }
    }

    /// Goes to the next line; false at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, InputError> {
        self.row.clear();
        let limit = self.max_bytes as u64 + 1;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.row);
        self.number += 1;
        let read = read.map_err(|error| self.wrong(format!("cannot be read: {error}")))?;
        if read == 0 {
            self.number -= 1;
            return Ok(false);
        }
        if self.row.pop() != Some(b'\n') {
            return Err(self.wrong(match read > self.max_bytes {
                true => format!("longer than {} bytes", self.max_bytes),
                false => "the last line does not end: it may have been cut; end it with a line break if it is whole".to_owned(),
            }));
        }
        if self.row.last() == Some(&b'\r') {
            self.row.pop();
        }
        Ok(true)
    }

    /// The line without its end.
    pub(super) fn text(&self) -> Result<&str, InputError> {
        std::str::from_utf8(&self.row).map_err(|_| self.wrong("not UTF-8".to_owned()))
    }

    /// Takes the line out, to be given back with [`Lines::put_back`] so that its memory is used again.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.row)
    }

    pub(super) fn put_back(&mut self, row: Vec<u8>) {
        self.row = row;
    }

    /// The number of the line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// A refusal of this line.
    pub(super) fn wrong(&self, why: String) -> InputError {
        InputError { file: self.file.clone(), line: self.number.max(1), why }
    }
}
