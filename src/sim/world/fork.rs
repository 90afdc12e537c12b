//! A person forks a run, as `kubectl reeve fork` does.

use reeve_core::journal::{Row, Seq};
use reeve_core::run::{Branch, Trunk};
use serde_json::{Value, json};

use super::scenario::{Fork, NAMESPACE};

/// The AgentRun that goes on from there.
///
/// # Errors
/// What keeps the parent from being forked after that row.
pub(super) fn object(fork: &Fork, rows: &[Row]) -> Result<Value, String> {
    let Fork { parent, child, kind, number } = fork;
    let begins = |row: &&Row| started(row).is_some_and(|(namespace, name, _)| (namespace.as_str(), &name) == (NAMESPACE, parent));
    let first = rows.iter().rfind(begins).ok_or_else(|| format!("the journal has no run {parent}"))?;
    let own: Vec<&Row> = rows.iter().filter(|row| row.stream == first.stream).collect();
    let nth = usize::try_from(number.saturating_sub(1)).map_err(|error| error.to_string())?;
    let at = own.iter().filter(|row| row.kind == *kind).nth(nth).ok_or_else(|| format!("{parent} has no row {kind} {number}"))?.seq;
    let of = branch(rows, first, at)?.from.as_spec();
    let spec = json!({ "requestedBy": "alice", "role": "Coder", "profileRef": { "name": "coder" }, "forkOf": of });
    let metadata = json!({ "name": child.name, "namespace": child.namespace });
    Ok(json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": metadata, "spec": spec }))
}

/// What a fork of the run that begins with this row takes with it from there.
fn branch(rows: &[Row], first: &Row, at: Seq) -> Result<Branch, String> {
    let from = started(first).and_then(|(.., from)| from);
    let before = match from {
        Some(from) => {
            let first = rows.iter().find(|row| row.stream.as_str() == from.uid).ok_or("its parent is not there")?;
            Some(branch(rows, first, from.seq)?)
        }
        None => None,
    };
    let mut trunk = Trunk::new(first.stream.as_str(), before);
    let own = rows.iter().filter(|row| row.stream == first.stream && row.seq <= at);
    own.clone().try_for_each(|row| trunk.row(row)).map_err(|why| why.to_string())?;
    trunk.branch().map_err(|why| why.to_string())
}

/// Namespace and name of the run that this row begins, and what it was forked from.
fn started(row: &Row) -> Option<(String, String, Option<reeve_core::journal::ForkedFrom>)> {
    if row.kind != "run.started" {
        return None;
    }
    let reeve_core::journal::Event::RunStarted(started) = row.event().ok()? else { return None };
    Some((started.namespace, started.name, started.forked_from))
}
