//! A run's journal, read through the `reeve` binary as an auditor would.

use reeve_core::journal::{Event, Observation, Row, ToolEnded};
use reeve_core::tool::wire;
use serde_json::{Value, json};

/// The rows of one stream, in order.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// Seq of the first row of this kind.
    pub fn seq_of(&self, kind: &str) -> u64 {
        self.0.iter().find(|row| row.kind == kind).unwrap_or_else(|| panic!("no {kind}\n{self}")).seq.0
    }

    /// `spec.forkOf` of a fork of the run of this name, whose rows these are, at this seq.
    pub fn place(&self, name: &str, seq: u64) -> Value {
        let row = &self.0[usize::try_from(seq).unwrap() - 1];
        json!({"name": name, "uid": row.stream.as_str(), "seq": seq, "hash": row.hash.to_string()})
    }

    /// The lines of `reeve journal export` that belong to this stream.
    pub fn of(export: &str, stream: &str) -> Rows {
        let rows = export.lines().map(|line| serde_json::from_str::<Row>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        Rows(rows.filter(|row| row.stream.as_str() == stream).collect())
    }

    /// The kinds, in order.
    pub fn kinds(&self) -> Vec<&str> {
        self.0.iter().map(|row| row.kind.as_str()).collect()
    }

    /// How many rows are of this kind.
    pub fn count(&self, kind: &str) -> usize {
        self.0.iter().filter(|row| row.kind == kind).count()
    }

    /// The events, in order.
    pub fn events(&self) -> Vec<Event> {
        self.0.iter().map(|row| row.event().unwrap()).collect()
    }

    /// What came of each tool call, in order.
    pub fn results(&self) -> Vec<ToolEnded> {
        let result = |event| if let Event::ToolResult(ended) = event { Some(ended) } else { None };
        self.events().into_iter().filter_map(result).collect()
    }

    /// The step of each checkpoint, in order.
    pub fn checkpoints(&self) -> Vec<u32> {
        let step = |event| if let Event::Checkpoint(taken) = event { Some(taken.step) } else { None };
        self.events().into_iter().filter_map(step).collect()
    }

    /// What came of the n-th tool call, from 0, as the model reads it.
    pub fn told(&self, call: usize) -> String {
        let results = self.results();
        results.get(call).unwrap_or_else(|| panic!("there are {} tool results:\n{self}", results.len())).content.clone()
    }

    /// How the n-th tool call ended, from 0; it must have run.
    pub fn ran(&self, call: usize) -> (wire::Status, Option<i32>) {
        match self.results().get(call).map(|ended| ended.observation.clone()) {
            Some(Observation::Ran { status, exit_code, .. }) => (status, exit_code),
            other => panic!("call {call} did not run: {other:?}\n{self}"),
        }
    }

    /// The epochs under which rows were written, each once, in order.
    pub fn epochs(&self) -> Vec<u64> {
        let mut epochs: Vec<u64> = self.0.iter().map(|row| row.epoch.0).collect();
        epochs.dedup();
        epochs
    }

    /// Fails unless the kinds come in this order, with others between them.
    pub fn assert_order(&self, kinds: &[&str]) {
        let mut left = kinds.iter().peekable();
        for kind in self.kinds() {
            if left.peek().is_some_and(|wanted| **wanted == kind) {
                left.next();
            }
        }
        assert!(left.peek().is_none(), "{:?} does not come in its place:\n{self}", left.peek());
    }
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for row in &self.0 {
            let body: String = row.body.chars().take(400).collect();
            writeln!(f, "{:>4} e{} {:<20} {body}", row.seq.0, row.epoch.0, row.kind)?;
        }
        Ok(())
    }
}
