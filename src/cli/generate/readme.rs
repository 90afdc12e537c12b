//! The tables of the README, between markers:
//!
//! ```markdown
//! <!-- generated: kinds -->
//! <!-- end -->
//! ```

use std::fmt::Write as _;
use std::path::Path;

use super::read;
use crate::exit::Failure;

const END: &str = "<!-- end -->";
/// Where the reasons of conditions are declared, with the doc comments that become the table.
const REASONS: [&str; 3] = ["src/core/run/reason.rs", "src/core/goal/reason.rs", "src/core/reason.rs"];

/// The README as it should be; None where there is none.
pub(super) fn text(root: &Path) -> Result<Option<String>, Failure> {
    let Some(mut text) = read(&root.join("README.md"))? else { return Ok(None) };
    text = between(&text, "kinds", &kinds())?;
    let mut reasons = String::from("| Reason | When |\n|---|---|\n");
    for file in REASONS {
        if let Some(source) = read(&root.join(file))? {
            reasons.push_str(&reasons_of(&source));
        }
    }
    between(&text, "reasons", &reasons).map(Some)
}

/// The text with `table` in place of what stands between the markers of this name; unchanged without such markers.
fn between(text: &str, name: &str, table: &str) -> Result<String, Failure> {
    let start = format!("<!-- generated: {name} -->");
    let Some((before, rest)) = text.split_once(&start) else { return Ok(text.to_owned()) };
    let Some((_, after)) = rest.split_once(END) else {
        return Err(Failure::unusable(format!("README.md: {start} has no {END}")));
    };
    Ok(format!("{before}{start}\n{table}{END}{after}"))
}

/// Each kind, the word that kubectl takes for it, and its first sentence.
fn kinds() -> String {
    let mut table = String::from("| Kind | Short | What it is |\n|---|---|---|\n");
    for crd in reeve_api::crds() {
        let names = &crd.spec.names;
        let short = names.short_names.as_ref().and_then(|names| names.first()).map_or("", String::as_str);
        let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
        let what = schema.and_then(|schema| schema.description.clone()).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {} | `{short}` | {} |", names.kind, what.replace('|', "\\|").replace('\n', " "));
    }
    table
}

/// The variants of the enums in this source whose names end with `Reason`, with their doc comments.
fn reasons_of(source: &str) -> String {
    let mut rows = String::new();
    let mut doc = String::new();
    let mut inside = false;
    for line in source.lines().map(str::trim) {
        let declared = line.strip_prefix("pub enum ").and_then(|rest| rest.strip_suffix(" {"));
        if let Some(name) = declared {
            inside = name.ends_with("Reason");
            doc.clear();
        } else if line == "}" {
            inside = false;
        } else if let Some(words) = line.strip_prefix("/// ") {
            let separator = if doc.is_empty() { "" } else { " " };
            doc = format!("{doc}{separator}{words}");
        } else if inside && let Some(variant) = line.strip_suffix(',') {
            let _ = writeln!(rows, "| `{variant}` | {} |", doc.replace('|', "\\|"));
            doc.clear();
        } else {
            doc.clear();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot build its text has failed")]

    use super::*;

    #[test]
    fn a_table_replaces_what_stands_between_its_markers() {
        let text = "a\n<!-- generated: kinds -->\nold\n<!-- end -->\nb\n";
        assert_eq!(between(text, "kinds", "new\n").unwrap(), "a\n<!-- generated: kinds -->\nnew\n<!-- end -->\nb\n");
        assert_eq!(between(text, "reasons", "new\n").unwrap(), text);
        assert!(between("<!-- generated: kinds -->", "kinds", "new\n").is_err());
    }

    #[test]
    fn reasons_come_with_their_doc_comments() {
        let source = "/// Why.\npub enum EndReason {\n    /// It took long,\n    /// too long.\n    DeadlineExceeded,\n}\npub enum Other {\n    /// No.\n    A,\n}\n";
        assert_eq!(reasons_of(source), "| `DeadlineExceeded` | It took long, too long. |\n");
    }
}
