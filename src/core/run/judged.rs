//! The facts of a recorded decision.

use super::{CallStage, RunState};
use crate::model::Arguments;
use crate::policy::{Agent, Facts, Keys};
use crate::redact::MASK;
use crate::tool::wire;

/// Why a decision on a text that is not kept cannot be made again.
pub(super) const MASKED: &str = "what was judged held a secret that the journal masks";

/// The facts of the call in hand, and whether the sandbox's words in them were masked after they were judged.
pub(super) fn facts(state: &RunState, human: u32) -> Option<(Facts<'_>, bool)> {
    let started = state.started.as_ref()?;
    let pending = state.pending.front()?;
    let (CallStage::Requested(canonical) | CallStage::Judged(canonical, _)) = &pending.stage else { return None };
    let agent = Agent { role: started.spec.role, namespace: started.namespace.clone(), autonomy: started.spec.autonomy };
    let facts = Facts { agent, call: canonical, keys: Keys { human, ..Keys::default() } };
    Some((facts, masked(canonical, &pending.call.arguments)))
}

/// What the model wrote was masked before it was resolved, so it was judged as it stands; what the sandbox added was not.
fn masked(canonical: &wire::Canonical, asked: &Arguments) -> bool {
    let opened = canonical.paths.iter().map(|touched| &touched.path).chain(canonical.program.iter().map(|program| &program.path));
    let in_call = canonical.argv.iter().chain(opened).any(|word| word.contains(MASK)) || canonical.arguments.to_string().contains(MASK);
    let in_asked = match asked {
        Arguments::Json(value) => value.to_string().contains(MASK),
        Arguments::Invalid(text) => text.contains(MASK),
    };
    in_call && !in_asked
}
