//! The set that a new installation starts with.

use reeve_api::{PolicyCase, PolicyMode, PolicySetSpec};

use super::PolicyInvalid;

/// The default policies, `policies/default.cedar`.
pub const CEDAR: &str = include_str!("../../../policies/default.cedar");
/// Their golden decisions, `policies/cases.yaml`.
pub const CASES: &str = include_str!("../../../policies/cases.yaml");

/// Spec of the default PolicySet, which the operator creates where its namespace has none.
///
/// # Errors
/// [`PolicyInvalid::Cases`], which would be a bug: the cases are part of the program, and a test reads them.
pub fn default_spec() -> Result<PolicySetSpec, PolicyInvalid> {
    let cases: Vec<PolicyCase> = serde_saphyr::from_str(CASES).map_err(|error| PolicyInvalid::Cases(error.to_string()))?;
    Ok(PolicySetSpec { cedar: CEDAR.to_owned(), mode: PolicyMode::Enforce, cases })
}
