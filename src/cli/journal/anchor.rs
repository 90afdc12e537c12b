//! Heads saved outside the database.

use std::path::Path;

use reeve_core::Digest;
use reeve_core::journal::{Head, Seq, Stream};
use serde::Deserialize;

use crate::exit::Failure;

/// One line of an anchor file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchor {
    /// A run's UID, or `operator`.
    stream: Stream,
    seq: Seq,
    hash: Digest,
}

/// The heads in this file, a JSON or YAML list of `{stream, seq, hash}`.
pub(super) fn read(file: &Path) -> Result<Vec<(Stream, Head)>, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::reading(file.display()))?;
    parse(&text).map_err(|why| Failure::unusable(format!("{}: expected a list of {{stream, seq, hash}}: {why}", file.display())))
}

fn parse(text: &str) -> Result<Vec<(Stream, Head)>, String> {
    // JSON is YAML.
    let anchors: Vec<Anchor> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if anchors.is_empty() {
        // A file that lost its lines must not pass for one that was met.
        return Err("it is empty".to_owned());
    }
    Ok(anchors.into_iter().map(|Anchor { stream, seq, hash }| (stream, Head { seq, hash })).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot parse has failed")]

    use super::*;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn anchors_are_json_or_yaml() {
        let yaml = parse(&format!("- stream: 0b8e\n  seq: 7\n  hash: {HASH}\n")).unwrap();
        let json = parse(&format!(r#"[{{"stream": "0b8e", "seq": 7, "hash": "{HASH}"}}]"#)).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(yaml[0].1.seq, Seq(7));
    }

    #[test]
    fn an_anchor_file_that_says_nothing_or_something_else_is_refused() {
        for text in ["", "[]", "{}", "- stream: a\n  seq: 1\n", &format!("- {{stream: a, seq: 1, hash: \"{HASH}\", extra: 1}}")] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
