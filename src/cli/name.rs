//! Names of objects as kubectl takes them: `NAME` or `KIND/NAME`, so that `-o name | xargs -n1` works.

use kube::CustomResourceExt;

/// Reads the name of an object of this kind. The kind may stand before it as kubectl has it: singular, plural or short, with or without version
/// and group.
pub(crate) fn of<K: CustomResourceExt>(text: &str) -> Result<String, String> {
    let Some((kind, name)) = text.split_once('/') else { return Ok(text.to_owned()) };
    let names = K::crd().spec.names;
    let singular = names.singular.unwrap_or_else(|| names.kind.to_lowercase());
    let asked = kind.to_lowercase();
    let bare = asked.strip_suffix(&format!(".{}", reeve_api::GROUP)).unwrap_or(&asked);
    let bare = bare.strip_suffix(&format!(".{}", reeve_api::VERSION)).unwrap_or(bare);
    let is_this = bare == singular || bare == names.plural || names.short_names.iter().flatten().any(|short| bare == short);
    match (is_this, name) {
        (true, name) if !name.is_empty() && !name.contains('/') => Ok(name.to_owned()),
        (true, _) => Err(format!("expected one name after {kind}/")),
        (false, _) => Err(format!("expected NAME or {singular}/NAME, found an object of kind {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use reeve_api::{Approval, Goal, KillSwitch, RiskBudget};

    use super::*;

    #[test]
    fn a_name_may_have_its_kind_before_it_as_kubectl_writes_it() {
        for text in [
            "x",
            "approval/x",
            "approvals/x",
            "apv/x",
            "Approval/x",
            "approval.reeve.dev/x",
            "approvals.reeve.dev/x",
            "approvals.v1alpha1.reeve.dev/x",
        ] {
            assert_eq!(of::<Approval>(text).as_deref(), Ok("x"), "{text}");
        }
        assert_eq!(of::<RiskBudget>("budget/x").as_deref(), Ok("x"));
        assert_eq!(of::<KillSwitch>("killswitches/x").as_deref(), Ok("x"));
        assert_eq!(of::<Goal>("goal.reeve.dev/x").as_deref(), Ok("x"));
    }

    #[test]
    fn another_kind_and_what_is_no_name_are_refused() {
        for text in ["goal/x", "goal.reeve.dev/x", "approvals.example.com/x", "approval/", "/x", "approval/x/y"] {
            assert!(of::<Approval>(text).is_err(), "{text}");
        }
        assert_eq!(of::<Approval>("goal/x").err().as_deref(), Some("expected NAME or approval/NAME, found an object of kind goal"));
    }
}
