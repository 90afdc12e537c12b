//! The file tools. They work on descriptors that were opened and judged before, and fail with words that a model can act on.

mod list;
mod read;
mod search;
mod write;

pub(crate) use list::list;
pub(crate) use read::{content_of, read};
pub(crate) use search::{pattern, search};
pub(crate) use write::{edit, write};

/// What a tool without a process has to say: its text, or why not.
pub(crate) type Answer = Result<String, String>;

/// Bytes looked at to tell text from other files; git looks at as many.
const PROBE_BYTES: usize = 8000;

/// Whether these first bytes are those of a file that is not text.
fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(PROBE_BYTES)].contains(&0)
}
