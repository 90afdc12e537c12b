//! Golden decisions: what must come out of a set before it may decide.

use std::fmt;

use reeve_api::{ExpectedVerdict, PolicyCase, PolicySetSpec};
use serde_json::Value;

use super::CompiledSet;
use super::compile::with_deep_stack;
use super::facts::{Agent, Facts, Keys, Question};
use crate::Digest;
use crate::journal::Verdict;
use crate::run;
use crate::tool::ToolName;
use crate::tool::wire::{Canonical, Program, TouchedPath};

/// Namespace of the agent of a case.
const NAMESPACE: &str = "default";

/// A golden decision that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCase {
    /// Its name.
    pub name: String,
    /// What should come out.
    pub expected: Verdict,
    /// What comes out.
    pub found: Verdict,
    /// What decided, for a person.
    pub reason: String,
}

impl fmt::Display for FailedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "case {:?}: expected {:?}, found {:?}: {}", self.name, self.expected, self.found, self.reason)
    }
}

/// The cases that do not hold under this set on its own; a text with one never becomes active.
///
/// A case says less than a call: its paths are written where the tool is `fs.write` or `fs.edit`, its program has the zero digest, the keys
/// turned are `humanKeys`, and the agent is one of the namespace `default`. An `argv` without `program` is a call whose program was not found.
pub fn check_cases(set: &CompiledSet, cases: &[PolicyCase]) -> Vec<FailedCase> {
    with_deep_stack(|| cases.iter().filter_map(|case| check(set, case)).collect())
}

/// Cases that are told of a set which does not hold them.
const TOLD: usize = 10;

/// Reads a set and holds its cases.
pub(super) fn accept(spec: &PolicySetSpec) -> Result<CompiledSet, String> {
    let compiled = CompiledSet::parse(&spec.cedar).map_err(|error| error.to_string())?;
    let failed = check_cases(&compiled, &spec.cases);
    if failed.is_empty() {
        return Ok(compiled);
    }
    Err(failed.iter().take(TOLD).map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn check(set: &CompiledSet, case: &PolicyCase) -> Option<FailedCase> {
    let expected = match case.expect {
        ExpectedVerdict::Allow => Verdict::Allow,
        ExpectedVerdict::Deny => Verdict::Deny,
    };
    let call = call(case);
    let failed = |found, reason| Some(FailedCase { name: case.name.clone(), expected, found, reason });
    let Ok(autonomy) = u8::try_from(case.autonomy_level) else {
        return failed(Verdict::Deny, format!("expected an autonomyLevel of 1 or 2, found {}", case.autonomy_level));
    };
    let agent = Agent { role: run::role(case.role), namespace: NAMESPACE.to_owned(), autonomy };
    let human = case.human_keys.and_then(|keys| u32::try_from(keys).ok()).unwrap_or(0);
    let question = match Question::of(&Facts { agent, call: &call, keys: Keys { human, ..Keys::default() } }) {
        Ok(question) => question,
        // Not what the set says: a case that cannot be put shows nothing, whatever it expects.
        Err(why) => return failed(Verdict::Deny, why),
    };
    let opinion = set.opinion(&question);
    if opinion.verdict == expected {
        return None;
    }
    let reason = if opinion.reason.is_empty() { format!("permitted by {}", opinion.policies.join(", ")) } else { opinion.reason };
    failed(opinion.verdict, reason)
}

fn call(case: &PolicyCase) -> Canonical {
    let tool = run::tool(case.tool);
    let write = matches!(tool, ToolName::FsWrite | ToolName::FsEdit);
    let argv = match (&case.program, case.argv.is_empty()) {
        (Some(program), true) => vec![program.clone()],
        (Some(_) | None, _) => case.argv.clone(),
    };
    Canonical {
        tool,
        arguments: Value::Null,
        paths: case.paths.iter().map(|path| TouchedPath { path: path.clone(), write, exists: true }).collect(),
        program: case.program.clone().map(|path| Program { path, digest: Digest::ZERO }),
        argv,
    }
}
