//! What a fault of the API server may bring about: no more than this is passed over.

use reeve_sim::world::{Outcome, Scenario};

/// What is wrong with a world beyond what its faults may bring about.
pub(crate) fn pardoned(_: &Scenario, outcome: &Outcome) -> Vec<String> {
    outcome.wrong.clone()
}
