//! The set that a new installation starts with.

use std::sync::{Arc, LazyLock};

use reeve_api::{PolicyCase, PolicyMode, PolicySetSpec};

use super::cases::accept;
use super::{CompiledSet, PolicyInvalid};

/// The default policies, `policies/default.cedar`.
pub const CEDAR: &str = include_str!("../../../policies/default.cedar");
/// Their golden decisions, `policies/cases.yaml`.
pub const CASES: &str = include_str!("../../../policies/cases.yaml");

static SPEC: LazyLock<Result<PolicySetSpec, PolicyInvalid>> = LazyLock::new(|| {
    let cases: Vec<PolicyCase> = serde_saphyr::from_str(CASES).map_err(|error| PolicyInvalid::Cases(error.to_string()))?;
    Ok(PolicySetSpec { cedar: CEDAR.to_owned(), mode: PolicyMode::Enforce, cases })
});

/// Nearly every operator has it in force, and who replays or asks what another set would have said reads it for each journal.
static ACCEPTED: LazyLock<Result<Arc<CompiledSet>, String>> =
    LazyLock::new(|| default_spec().map_err(|error| error.to_string()).and_then(accept).map(Arc::new));

/// Spec of the default PolicySet, which the operator creates where its namespace has none.
///
/// # Errors
/// [`PolicyInvalid::Cases`], which would be a bug: the cases are part of the program, and a test reads them.
pub fn default_spec() -> Result<&'static PolicySetSpec, PolicyInvalid> {
    SPEC.as_ref().map_err(Clone::clone)
}

/// The set that may come into force by this spec: its text is valid and its golden cases hold. The default set is compiled once in a process.
///
/// # Errors
/// What is wrong with the text, or which cases do not hold, for a person.
pub fn accepted(spec: &PolicySetSpec) -> Result<Arc<CompiledSet>, String> {
    if default_spec().is_ok_and(|default| default.cedar == spec.cedar && default.cases == spec.cases) {
        return ACCEPTED.clone();
    }
    accept(spec).map(Arc::new)
}
