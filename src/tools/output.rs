//! A tool's output: any amount of it in, a bounded head and tail out.

use std::collections::VecDeque;

use reeve_core::tool::wire::Confinement;

/// The most that is kept of either end, bytes, whatever the operator asks for: both must fit one frame as JSON.
const MAX_END_BYTES: usize = 128 * 1024;

/// Collects output in bounded memory.
///
/// Guarantees: holds at most the head and twice the tail, and counts every byte.
#[derive(Debug)]
pub(crate) struct Output {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    tail_limit: usize,
    total_bytes: u64,
}

/// What is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// UTF-8, invalid bytes replaced.
    pub(crate) content: String,
    /// Bytes that went in.
    pub(crate) total_bytes: u64,
    /// Whether `content` leaves some out.
    pub(crate) truncated: bool,
}

impl Output {
    /// With the ends that the operator's decision allows.
    pub(crate) fn new(confinement: &Confinement) -> Output {
        Output {
            head: Vec::new(),
            head_limit: confinement.output_head_bytes.min(MAX_END_BYTES),
            tail: VecDeque::new(),
            tail_limit: confinement.output_tail_bytes.min(MAX_END_BYTES),
            total_bytes: 0,
        }
    }

    /// Takes in more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        let into_head = bytes.len().min(self.head_limit - self.head.len());
        let (head, rest) = bytes.split_at(into_head);
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_limit)..];
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(self.tail_limit);
        self.tail.drain(..surplus);
    }

    /// The text, with a line in the middle that says how much is missing.
    pub(crate) fn finish(self) -> Kept {
        let missing = self.total_bytes - (self.head.len() + self.tail.len()) as u64;
        let tail = Vec::from(self.tail);
        let content = if missing == 0 {
            let mut all = self.head;
            all.extend_from_slice(&tail);
            String::from_utf8_lossy(&all).into_owned()
        } else {
            let head = without_cut_end(&self.head);
            let tail = without_cut_start(&tail);
            let missing = self.total_bytes - (head.len() + tail.len()) as u64;
            format!("{}\n[... {missing} bytes left out ...]\n{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
        };
        Kept { content, total_bytes: self.total_bytes, truncated: missing > 0 }
    }
}

/// Bounds a text that is at hand as a whole.
pub(crate) fn bounded(text: &str, confinement: &Confinement) -> Kept {
    let mut output = Output::new(confinement);
    output.push(text.as_bytes());
    output.finish()
}

/// Without the first bytes of a character whose rest was cut off.
fn without_cut_end(bytes: &[u8]) -> &[u8] {
    let starts_at = bytes.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
    match std::str::from_utf8(&bytes[starts_at..]) {
        // `error_len` is none when more bytes could have made it whole.
        Err(error) if error.error_len().is_none() => &bytes[..starts_at],
        Ok(_) | Err(_) => bytes,
    }
}

/// Without the last bytes of a character whose start was cut off.
fn without_cut_start(bytes: &[u8]) -> &[u8] {
    let continued = bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    &bytes[continued..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reeve_core::tool::wire::Network;

    use super::*;

    fn ends(head: usize, tail: usize) -> Confinement {
        Confinement { network: Network::None, workspace_writable: true, timeout_ms: 1, output_head_bytes: head, output_tail_bytes: tail }
    }

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(bounded("héllo", &ends(2, 4)), Kept { content: "héllo".into(), total_bytes: 6, truncated: false });
    }

    #[test]
    fn what_does_not_fit_keeps_both_ends_and_says_how_much_is_missing() {
        let kept = bounded("0123456789", &ends(2, 3));
        assert_eq!(kept.content, "01\n[... 5 bytes left out ...]\n789");
        assert!(kept.truncated);
    }

    proptest! {
        #[test]
        fn no_character_is_cut_in_half(text in "\\PC{0,60}", head in 0usize..20, tail in 0usize..20) {
            let kept = bounded(&text, &ends(head, tail));
            let (made, given) = (kept.content.contains(char::REPLACEMENT_CHARACTER), text.contains(char::REPLACEMENT_CHARACTER));
            prop_assert!(!made || given);
        }

        #[test]
        fn however_it_arrives_the_result_is_the_same(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200, head in 0usize..40, tail in 0usize..40) {
            let cut = cut.min(bytes.len());
            let (mut whole, mut parts) = (Output::new(&ends(head, tail)), Output::new(&ends(head, tail)));
            whole.push(&bytes);
            parts.push(&bytes[..cut]);
            parts.push(&bytes[cut..]);
            prop_assert_eq!(whole.finish(), parts.finish());
        }
    }
}
