//! Recorded decisions under another policy.

use reeve_api::{PolicyMode, PolicySetSpec};

use super::histories::{History, histories, the};
use super::*;
use crate::policy::Instead;

/// The operator's set that a history was judged by, and more.
fn in_force(history: &History, more: &str) -> PolicySetSpec {
    let decisions =
        history.rows.iter().filter_map(|row| if let Event::PolicyDecision(said) = row.event().unwrap() { Some(said) } else { None });
    let digest = decisions.map(|said| said.sets[0].1).next().unwrap();
    let PolicySetSpec { cedar, mode, .. } = history.specs[&digest].clone();
    PolicySetSpec { cedar: format!("{cedar}\n{more}"), mode, cases: Vec::new() }
}

fn only(cedar: &str) -> PolicySetSpec {
    PolicySetSpec { cedar: cedar.to_owned(), mode: PolicyMode::Enforce, cases: Vec::new() }
}

fn set(namespace: Option<&str>, name: &str, spec: &PolicySetSpec) -> Instead {
    Instead::of(namespace.map(str::to_owned), name.to_owned(), spec).unwrap()
}

fn judged(history: &History, instead: &Instead) -> Totals {
    let mut run = WhatIf::new(history.rows[0].stream.as_str());
    for row in &history.rows {
        run.row(&history.texts, instead, row).unwrap();
    }
    run.finish()
}

const NO_TESTS: &str = r#"@id("no-tests") @reason("no tests here") forbid (principal, action, resource == Tool::"tests.run");"#;
const NO_PERSON: &str = r#"@id("all") permit (principal, action, resource);"#;

#[test]
fn a_set_that_is_what_was_in_force_changes_nothing() {
    for history in histories() {
        let totals = judged(&history, &set(None, "default", &in_force(&history, "")));
        assert_eq!((totals.changed, totals.unjudged, totals.drifted), (vec![], vec![], vec![]), "{}", history.name);
        assert!(totals.judged > 0);
    }
}

#[test]
fn a_stricter_set_lists_the_calls_that_it_would_have_stopped() {
    let history = the("acceptance");
    let totals = judged(&history, &set(None, "default", &in_force(&history, NO_TESTS)));
    assert_eq!(totals.changed.len(), 2);
    for changed in &totals.changed {
        assert_eq!((changed.recorded.verdict, changed.instead.verdict), (Verdict::Allow, Verdict::Deny));
        assert_eq!(changed.instead.determining, ["reeve-system/default/no-tests"]);
        assert!(!changed.widens() && !changed.recorded.determining.is_empty() && !changed.call.is_empty(), "{changed:?}");
    }
}

#[test]
fn a_wider_set_is_said_to_widen() {
    let denied = judged(&the("merge-denied"), &set(None, "default", &only(NO_PERSON)));
    assert!(denied.changed.iter().all(Changed::widens) && denied.changed.len() == 1, "{denied:?}");
    // Asked for one person, then allowed with that person's key: only the first would be another.
    let asked = judged(&the("merge-approved"), &set(None, "default", &only(NO_PERSON)));
    assert_eq!(asked.judged, 2);
    assert!(matches!(asked.changed.as_slice(), [changed] if changed.widens() && changed.recorded.verdict == Verdict::Ask { human: 1 }));
}

#[test]
fn an_added_set_of_a_namespace_narrows_its_own_runs_only() {
    let history = the("acceptance");
    let spec = only(NO_TESTS);
    let own = judged(&history, &set(Some("reeve-demo"), "team", &spec));
    assert_eq!(own.changed.len(), 2);
    assert_eq!(judged(&history, &set(Some("elsewhere"), "team", &spec)).changed, []);
    // It permits everything, and the operator's set is still asked.
    let wide = judged(&the("merge-denied"), &set(Some("reeve-demo"), "team", &only(NO_PERSON)));
    assert_eq!(wide.changed, []);
}

#[test]
fn the_keys_that_were_turned_are_judged_with() {
    let two = r#"@id("two") permit (principal, action, resource) when { context.keys.human >= 2 };"#;
    let totals = judged(&the("merge-approved"), &set(None, "default", &only(two)));
    let verdicts: Vec<_> = totals.changed.iter().map(|changed| (changed.recorded.verdict, changed.instead.verdict)).collect();
    assert_eq!(verdicts, [(Verdict::Ask { human: 1 }, Verdict::Ask { human: 2 }), (Verdict::Allow, Verdict::Ask { human: 2 })]);
}

#[test]
fn a_set_in_shadow_decides_nothing() {
    let history = the("acceptance");
    let spec = PolicySetSpec { mode: PolicyMode::Shadow, ..in_force(&history, "") };
    let totals = judged(&history, &set(None, "default", &spec));
    assert!(totals.changed.iter().all(|changed| changed.instead.reason.contains("no policy is in force")), "{totals:?}");
    assert_eq!(totals.changed.len(), 2);
}

#[test]
fn a_set_that_could_never_be_in_force_is_refused() {
    assert!(Instead::of(None, "x".to_owned(), &only("permit (principal, action, resource);")).is_err());
    let mut spec = crate::policy::default_spec().unwrap().clone();
    spec.cedar = NO_PERSON.to_owned();
    assert!(Instead::of(None, "x".to_owned(), &spec).unwrap_err().contains("case"));
}

#[test]
fn a_text_that_is_gone_is_needed_only_where_it_stays_in_force() {
    let mut history = the("acceptance");
    history.texts = crate::policy::Texts::default();
    let replaced = judged(&history, &set(None, "default", &in_force(&history, NO_TESTS)));
    assert_eq!((replaced.changed.len(), replaced.unjudged.len()), (2, 0));
    let added = judged(&history, &set(None, "more", &only(NO_TESTS)));
    assert_eq!((added.judged, added.unjudged.len()), (0, 2));
}
