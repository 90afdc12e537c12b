//! `reeve/halt`: every tool process is killed at once, and the sandbox goes on.
//!
//! A call is in flight from before its ledger entry until after its outcome. A halt cuts those that are, and waits for their outcomes; a
//! call that comes meanwhile waits at the door. So nothing starts between the request to halt and its answer, and nothing is lost.

use std::sync::Arc;

use reeve_core::tool::wire::{Halted, Outcome, Status};
use tokio::sync::watch;

use super::Sandbox;
use crate::refusal::Refusal;

/// Who is in flight, and whether a halt is under way.
#[derive(Debug)]
pub(crate) struct Halts {
    state: watch::Sender<State>,
    /// Held by a halt: two at once would count each other's calls.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Halts so far, the one under way included.
    begun: u64,
    under_way: bool,
    in_flight: u32,
    /// Calls in flight that ended as halted, since the last halt began.
    halted: u32,
}

impl Default for Halts {
    fn default() -> Halts {
        Halts { state: watch::Sender::new(State::default()), turn: tokio::sync::Mutex::default() }
    }
}

/// A call in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Sandbox>);

impl InFlight {
    /// Lets a call in; while a halt is under way it waits.
    pub(crate) async fn enter(sandbox: Arc<Sandbox>) -> InFlight {
        let halts = &sandbox.halts;
        while !halts.state.send_if_modified(|state| {
            state.in_flight += u32::from(!state.under_way);
            !state.under_way
        }) {
            halts.over().await;
        }
        InFlight(sandbox)
    }

    /// Notes how the call ended. To be called when its outcome is recorded.
    pub(crate) fn ended(self, outcome: &Outcome) {
        let halted = u32::from(outcome.status == Status::Halted);
        self.0.halts.state.send_modify(|state| state.halted += halted);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.halts.state.send_modify(|state| state.in_flight -= 1);
    }
}

impl Halts {
    /// Whether a halt is under way. To a call in flight: whether it is being killed.
    pub(crate) fn under_way(&self) -> bool {
        self.state.borrow().under_way
    }

    /// Halts so far.
    pub(crate) fn begun(&self) -> u64 {
        self.state.borrow().begun
    }

    /// Whether a halt began since [`Halts::begun`] answered `before`. If so, answers when none is under way: what failed may be done over.
    /// Whoever asks must hold nothing that a call in flight waits for, since a halt waits for those.
    pub(crate) async fn cut_since(&self, before: u64) -> bool {
        let cut = self.begun() != before;
        if cut {
            self.over().await;
        }
        cut
    }

    async fn over(&self) {
        // An error means that the sender is gone, and we hold it.
        let _ = self.state.subscribe().wait_for(|state| !state.under_way).await;
    }
}

impl Sandbox {
    /// Kills every tool process. Answers when none is left and each call that was in flight has its outcome.
    ///
    /// # Errors
    /// INTERNAL when nothing is known to be dead: there is no descriptor to ask with, or the launcher is gone, and soon the sandbox is.
    pub(crate) async fn halt(self: Arc<Sandbox>) -> Result<Halted, Refusal> {
        let _turn = self.halts.turn.lock().await;
        self.halts.state.send_modify(|state| {
            state.begun += 1;
            state.under_way = true;
            state.halted = 0;
        });
        let dead = self.stages.halt().await;
        if dead.is_ok() {
            let _ = self.halts.state.subscribe().wait_for(|state| state.in_flight == 0).await;
            self.stages.resume();
        }
        let mut calls = 0;
        self.halts.state.send_modify(|state| {
            state.under_way = false;
            calls = state.halted;
        });
        dead.map(|()| Halted { calls })
    }
}
