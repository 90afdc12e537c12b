//! What an action would do, for a person to read before the vote.

use serde_json::Value;

use crate::Digest;
use crate::journal::Proposal;
use crate::limits::MAX_DELTA_CHARS;
use crate::tool::ToolName;
use crate::tool::wire::Canonical;

/// A call for a person: the command with its program's digest, the text that would be written, the piece that would be replaced.
///
/// At most [`MAX_DELTA_CHARS`] characters; what is cut is said, with the digest of the whole.
pub fn delta(call: &Canonical) -> String {
    let text = |field: &str| call.arguments.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![call.tool.to_string()];
    if !call.argv.is_empty() {
        lines.push(format!("$ {}", call.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")));
    }
    if let Some(program) = &call.program {
        lines.push(format!("program: {} {}", program.path, program.digest));
    }
    for path in &call.paths {
        let does = match (path.write, path.exists) {
            (true, true) => "changes",
            (true, false) => "makes",
            (false, _) => "reads",
        };
        lines.push(format!("{does}: {}", path.path));
    }
    match call.tool {
        ToolName::FsWrite => lines.extend(text("content").lines().map(|line| format!("+{line}"))),
        ToolName::FsEdit => {
            lines.extend(text("old").lines().map(|line| format!("-{line}")));
            lines.extend(text("new").lines().map(|line| format!("+{line}")));
        }
        ToolName::ShellRun | ToolName::TestsRun if !text("stdin").is_empty() => {
            lines.push("standard input:".to_owned());
            lines.extend(text("stdin").lines().map(|line| format!("  {line}")));
        }
        ToolName::GitCommit => lines.push(format!("message: {}", text("message"))),
        ToolName::Ask => lines.push(text("question").to_owned()),
        ToolName::FsRead
        | ToolName::FsList
        | ToolName::FsSearch
        | ToolName::ShellRun
        | ToolName::TestsRun
        | ToolName::GitDiff
        | ToolName::Finish
        | ToolName::Merge => lines.push(call.arguments.to_string()),
    }
    bounded(&lines.join("\n"), "")
}

/// A merge for a person: the commits, and the patch itself.
pub fn merge_delta(proposal: &Proposal, patch: &str) -> String {
    let Proposal { goal_uid: _, base_commit, head_commit, patch: blob, bundle } = proposal;
    bounded(&format!("merge {base_commit}..{head_commit}\npatch {}\nbundle {}\n\n{patch}", blob.digest, bundle.digest), MERGE_WHOLE)
}

/// Where all of a merge can be read whose delta is cut.
const MERGE_WHOLE: &str = "; the whole: kubectl reeve artifact GOAL --proposed";

fn bounded(text: &str, whole: &str) -> String {
    if text.chars().count() <= MAX_DELTA_CHARS {
        return text.to_owned();
    }
    let note = format!("\n… cut here: {} bytes in all, {}{whole}", text.len(), Digest::of(text));
    let kept: String = text.chars().take(MAX_DELTA_CHARS - note.chars().count()).collect();
    kept + &note
}

/// A word as a shell would have to be given it, so that a person sees where one ends.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@%".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
