//! What happened in a world, as lines that a person reads and a test compares.

use std::collections::BTreeMap;

/// The tale so far. UIDs and other names made up on the way are told by the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Tale {
    lines: Vec<String>,
    names: BTreeMap<String, String>,
}

impl Tale {
    /// Adds a line. UIDs in it become names.
    pub(crate) fn tell(&mut self, line: impl AsRef<str>) {
        let line = self.named(line.as_ref());
        self.lines.push(line);
    }

    /// All of it.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The text with a short name for each UID and digest.
    pub(crate) fn named(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (is_word, part) in parts(text) {
            match kind_of(part).filter(|_| is_word) {
                Some(kind) => {
                    let number = self.names.values().filter(|name| name.starts_with(kind)).count() + 1;
                    out += self.names.entry(part.to_owned()).or_insert_with(|| format!("{kind}{number}"));
                }
                None => out += part,
            }
        }
        out
    }
}

fn kind_of(word: &str) -> Option<&'static str> {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uid = word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && word.split('-').all(hex);
    let digest = word.len() == 64 && hex(word);
    if uid { Some("uid") } else { digest.then_some("digest") }
}

/// Words of letters, digits and hyphens, and what stands between them.
fn parts(text: &str) -> Vec<(bool, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = is_word(first);
        let end = rest.find(|c| is_word(c) != word).unwrap_or(rest.len());
        parts.push((word, &rest[..end]));
        rest = &rest[end..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_and_digests_get_names_in_the_order_in_which_they_come() {
        let mut tale = Tale::default();
        let (a, b) = ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b");
        tale.tell(format!("{b} then {a}, then {b} and sha256:{}", "0".repeat(64)));
        assert_eq!(tale.lines(), ["uid1 then uid2, then uid1 and sha256:digest1"]);
    }
}
