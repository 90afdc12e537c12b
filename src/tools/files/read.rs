//! `fs.read`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use reeve_core::limits::MAX_FILE_BYTES;

use super::{Answer, is_binary};
use crate::schema::ReadArguments;
use crate::workspace::Opened;

/// The lines asked for, each with its number.
pub(crate) fn read(file: &Opened, arguments: &ReadArguments) -> Answer {
    let bytes = content_of(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let total = text.lines().count() as u64;
    let first = arguments.start_line;
    if total == 0 {
        return Ok("(the file is empty)".to_owned());
    }
    if first > total {
        return Err(format!("the file has {total} lines; line {first} is beyond its end"));
    }
    let last = arguments.end_line.unwrap_or(total).min(total);
    let mut out = String::with_capacity(bytes.len() + 8 * usize::try_from(total).unwrap_or(0));
    for (number, line) in (1u64..).zip(text.lines()).skip_while(|(n, _)| *n < first).take_while(|(n, _)| *n <= last) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{number:>6}\t{line}");
    }
    Ok(out)
}

/// The whole file as it is at this moment, through the descriptor that was judged.
pub(crate) fn content_of(file: &Opened) -> Result<Vec<u8>, String> {
    let path = &file.path;
    let clone = file.fd.try_clone().map_err(|error| format!("reading {path}: {error}"))?;
    let mut bytes = Vec::new();
    File::from(clone).take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("reading {path}: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{path} has more than {MAX_FILE_BYTES} bytes, the most that is read; search it, or use a program on it"));
    }
    if is_binary(&bytes) {
        return Err(format!("{path} is a binary file ({} bytes), not text", bytes.len()));
    }
    Ok(bytes)
}
