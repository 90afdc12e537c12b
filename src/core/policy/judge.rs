//! The judgement of one call by every set that applies.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Authorizer, Decision};

use super::CompiledSet;
use super::compile::{shortened, with_deep_stack};
use super::facts::{Facts, Keys, Question};
use crate::Digest;
use crate::journal::{Judgement, Verdict};
use crate::limits::{MAX_HUMAN_KEYS, MAX_JUDGEMENT_REASON_CHARS};

/// Whether a set decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It decides.
    Enforce,
    /// What it would have said is noted.
    Shadow,
}

/// Whose set it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The operator's namespace: it applies to every run, and without one that enforces nothing is allowed.
    Operator,
    /// The run's own namespace: it can only narrow.
    Namespace,
}

/// A set in force.
#[derive(Clone, Debug)]
pub struct ActiveSet {
    /// `<namespace>/<name>` or whatever tells sets apart; it is journaled.
    pub name: String,
    /// Digest of the spec that it was compiled from.
    pub digest: Digest,
    /// Whether it decides.
    pub mode: Mode,
    /// Whose it is.
    pub scope: Scope,
    /// The policies.
    pub compiled: Arc<CompiledSet>,
}

/// What one set says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opinion {
    pub(super) verdict: Verdict,
    /// Ids of the policies that decided, sorted.
    pub(super) policies: Vec<String>,
    /// Why, where it denies.
    pub(super) reason: String,
}

/// Judges a call by the sets that apply to its run, in the order given. Same arguments, same judgement.
///
/// Allow means: at least one enforcing set is the operator's, and every enforcing set, on its own, has a permit that holds, no forbid that
/// holds and no policy that failed. Everything else is Deny, and the reason says which rule and why, or what would be permitted.
pub fn judge(key: &str, sets: &[ActiveSet], facts: &Facts<'_>) -> Judgement {
    let asked = sets.iter().map(|set| (set.name.clone(), set.digest)).collect();
    let judged = |verdict, determining, reason: &str, shadow| Judgement {
        key: key.to_owned(),
        verdict,
        determining,
        reason: shortened(reason, MAX_JUDGEMENT_REASON_CHARS),
        sets: asked,
        shadow,
    };
    let question = match Question::of(facts) {
        Ok(question) => question,
        Err(why) => return judged(Verdict::Deny, Vec::new(), &why, Vec::new()),
    };
    let opinions: Vec<(&ActiveSet, Opinion)> = with_deep_stack(|| sets.iter().map(|set| (set, set.compiled.opinion(&question))).collect());
    let enforced = || opinions.iter().filter(|(set, _)| set.mode == Mode::Enforce);
    let in_force = enforced().any(|(set, _)| set.scope == Scope::Operator);
    let verdict = if in_force && enforced().all(|(_, opinion)| opinion.verdict == Verdict::Allow) { Verdict::Allow } else { Verdict::Deny };
    let decided: Vec<&(&ActiveSet, Opinion)> = enforced().filter(|(_, opinion)| opinion.verdict == verdict).collect();
    let determining = decided.iter().flat_map(|(set, opinion)| opinion.policies.iter().map(|id| format!("{}/{id}", set.name))).collect();
    let mut reasons: Vec<String> = match verdict {
        Verdict::Allow | Verdict::Ask { .. } => Vec::new(),
        Verdict::Deny => decided.iter().map(|(set, opinion)| format!("{}: {}", set.name, opinion.reason)).collect(),
    };
    if !in_force {
        reasons.insert(0, "no policy is in force: no PolicySet of the operator's namespace is active and enforces".to_owned());
    }
    let shadow = opinions
        .iter()
        .filter(|(set, opinion)| set.mode == Mode::Shadow && opinion.verdict != verdict)
        .map(|(set, opinion)| shadowed(set, opinion))
        .collect();
    let reason = if verdict == Verdict::Allow { "every set in force permits it".to_owned() } else { reasons.join("; ") };
    judged(verdict, determining, &reason, shadow)
}

/// Judges a call as it stands and, if it is denied, with keys that people might turn.
///
/// Ask means: denied as it stands, allowed when exactly so many people approve it, and with no fewer. Policies that want more keys the more
/// are turned are not understood: what neither one, two nor [`MAX_HUMAN_KEYS`] open is denied.
pub fn decide(key: &str, sets: &[ActiveSet], facts: &Facts<'_>) -> Judgement {
    let judgement = judge(key, sets, facts);
    if judgement.verdict != Verdict::Deny {
        return judgement;
    }
    let with = |human| judge(key, sets, &Facts { keys: Keys { human, ..facts.keys }, ..facts.clone() });
    let opens = |human: u32| with(human).verdict == Verdict::Allow;
    let more = facts.keys.human + 1;
    if ![more, more + 1, MAX_HUMAN_KEYS].into_iter().any(opens) {
        return judgement;
    }
    let Some(human) = (more..=MAX_HUMAN_KEYS).find(|human| opens(*human)) else { return judgement };
    let people = if human == 1 { "one person approves".to_owned() } else { format!("{human} people approve") };
    let Judgement { determining, .. } = with(human);
    let reason = format!("permitted when {people} it ({})", determining.join(", "));
    Judgement { verdict: Verdict::Ask { human }, determining, reason: shortened(&reason, MAX_JUDGEMENT_REASON_CHARS), ..judgement }
}

fn shadowed(set: &ActiveSet, opinion: &Opinion) -> String {
    let says = match opinion.verdict {
        Verdict::Allow | Verdict::Ask { .. } => format!("{} would allow: {}", set.name, opinion.policies.join(", ")),
        Verdict::Deny => format!("{} would deny: {}", set.name, opinion.reason),
    };
    shortened(&says, MAX_JUDGEMENT_REASON_CHARS)
}

impl CompiledSet {
    /// What this set says on its own. Call it [`with_deep_stack`].
    pub(super) fn opinion(&self, question: &Question) -> Opinion {
        let response = Authorizer::new().is_authorized(&question.request, &self.policies, &question.entities);
        let failed: Vec<(String, String)> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    (error.policy_id().to_string(), error.inner().to_string())
                }
            })
            .collect();
        let policies: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        match (failed.is_empty(), response.decision()) {
            (true, Decision::Allow) => Opinion { verdict: Verdict::Allow, policies: policies.into_iter().collect(), reason: String::new() },
            (true, Decision::Deny) if policies.is_empty() => {
                Opinion { verdict: Verdict::Deny, policies: Vec::new(), reason: self.unpermitted(question) }
            }
            (true, Decision::Deny) => {
                let reason = policies.iter().map(|id| self.says(id)).collect::<Vec<_>>().join("; ");
                Opinion { verdict: Verdict::Deny, policies: policies.into_iter().collect(), reason }
            }
            (false, Decision::Allow | Decision::Deny) => failure(failed),
        }
    }

    /// A policy in words.
    fn says(&self, id: &str) -> String {
        match self.notes.get(id).and_then(|note| note.reason.as_deref()) {
            Some(reason) => format!("{reason} ({id})"),
            None => format!("policy {id} forbids it"),
        }
    }

    /// That no policy permits it, and what those that name the tool would permit.
    fn unpermitted(&self, question: &Question) -> String {
        let permits: Vec<&str> = self
            .notes
            .values()
            .filter(|note| note.permits && note.tools.contains(&question.tool))
            .filter_map(|note| note.reason.as_deref())
            .collect();
        let mut says = format!("no policy permits this use of {}", question.tool);
        if !permits.is_empty() {
            says = format!("{says}. Permitted: {}", permits.join("; "));
        }
        says
    }
}

/// Cedar leaves out a policy that fails; a forbid left out is a permission. So a failure denies.
fn failure(mut failed: Vec<(String, String)>) -> Opinion {
    failed.sort();
    let reason = failed.iter().map(|(id, error)| format!("policy {id} failed while judging: {error}")).collect::<Vec<_>>().join("; ");
    Opinion { verdict: Verdict::Deny, policies: failed.into_iter().map(|(id, _)| id).collect(), reason }
}
