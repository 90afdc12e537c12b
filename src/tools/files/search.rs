//! `fs.search`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use reeve_core::limits::MAX_FILE_BYTES;
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::{FileType, Mode, OFlags};

use super::list::{entries, open_directory};
use super::{Answer, is_binary};

/// Lines in one answer. A model that needs more needs a narrower pattern.
const MAX_MATCHES: usize = 1_000;
/// Of one line, characters: minified files have lines of megabytes.
const MAX_LINE_CHARS: usize = 400;
/// Compiled size of a pattern, bytes.
const MAX_PATTERN_BYTES: usize = 4 * 1024 * 1024;
/// Directories inside each other.
const MAX_DEPTH: u32 = 64;

/// Compiles a pattern. The engine runs in linear time whatever the pattern.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(MAX_PATTERN_BYTES).build().map_err(|error| format!("expected a regular expression: {error}"))
}

/// The matching lines below `start`, as `path:line:text`, sorted by path. `start_path` is how the paths begin.
///
/// Answers none when it was found to be `late`, which is asked again and again.
pub(crate) fn search(start: &OwnedFd, start_path: &str, is_dir: bool, pattern: &Regex, late: &dyn Fn() -> bool) -> Option<Answer> {
    let mut search = Search { pattern, is_late: late, out: String::new(), matches: 0, skipped: 0, files: 0, late: false };
    let done = if is_dir {
        let prefix = if start_path == "." { String::new() } else { format!("{start_path}/") };
        search.directory(start, &prefix, 0)
    } else {
        start.try_clone().map(|file| search.file(File::from(file), start_path)).map_err(|error| error.to_string())
    };
    if search.late {
        return None;
    }
    Some(done.map(|()| search.summary()))
}

struct Search<'a> {
    pattern: &'a Regex,
    is_late: &'a dyn Fn() -> bool,
    out: String,
    matches: usize,
    /// Binary files and files that are too large.
    skipped: usize,
    files: usize,
    late: bool,
}

impl Search<'_> {
    fn is_over(&mut self) -> bool {
        self.late = self.late || (self.is_late)();
        self.late || self.matches >= MAX_MATCHES
    }

    fn directory(&mut self, directory: &OwnedFd, prefix: &str, depth: u32) -> Result<(), String> {
        for entry in entries(directory)? {
            if self.is_over() {
                return Ok(());
            }
            let path = format!("{prefix}{}", entry.name);
            match entry.kind {
                FileType::Directory if depth < MAX_DEPTH && !entry.name.eq_ignore_ascii_case(".git") => {
                    if let Ok(below) = open_directory(directory, &entry.name) {
                        self.directory(&below, &format!("{path}/"), depth + 1)?;
                    }
                }
                FileType::RegularFile => {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    if let Ok(file) = rustix::fs::openat(directory, entry.name.as_str(), flags, Mode::empty()) {
                        self.file(File::from(file), &path);
                    }
                }
                FileType::Directory
                | FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, file: File, path: &str) {
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 > MAX_FILE_BYTES || is_binary(&bytes) {
            self.skipped += 1;
            return;
        }
        self.files += 1;
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if self.pattern.is_match(line) {
                let line = String::from_utf8_lossy(line);
                let shown: String = line.chars().take(MAX_LINE_CHARS).collect();
                let cut = if shown.len() < line.len() { " ..." } else { "" };
                // Writing to a String cannot fail.
                let _ = writeln!(self.out, "{path}:{number}:{shown}{cut}");
                self.matches += 1;
                if self.is_over() {
                    return;
                }
            }
        }
    }

    fn summary(mut self) -> String {
        if self.matches == 0 {
            let _ = writeln!(self.out, "(no line matches in {} files)", self.files);
        }
        if self.matches >= MAX_MATCHES {
            let _ = writeln!(self.out, "(stopped at {MAX_MATCHES} lines: narrow the pattern or the path)");
        }
        if self.skipped > 0 {
            let _ = writeln!(self.out, "({} binary or large files were skipped)", self.skipped);
        }
        self.out
    }
}
