//! Where worlds part that are the same up to a fault.

use std::fmt;
use std::mem;

use super::{Counts, Fault, Plan};

/// Ways in which a world may go on beside that in which nothing more goes wrong: each with one fault, which begins where it is counted.
///
/// Worlds that differ in one late fault do the same until then. Who can hold a whole world in two places at once (by splitting the process
/// that plays it) plays that only once: at each such fault `split` is asked whether this world is the one that has it.
pub struct Branches {
    faults: Vec<Fault>,
    split: Split,
}

/// Says whether this is the world in which this goes wrong.
type Split = Box<dyn FnMut(&Fault) -> bool + Send>;

impl Branches {
    /// Asks `split` at each of these faults, in the order in which they come. Once it has said yes, nobody is asked any more.
    pub fn new(faults: Vec<Fault>, split: impl FnMut(&Fault) -> bool + Send + 'static) -> Branches {
        Branches { faults, split: Box::new(split) }
    }

    fn at(&mut self, is_here: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let (here, later): (Vec<Fault>, Vec<Fault>) = mem::take(&mut self.faults).into_iter().partition(|fault| is_here(fault));
        let taken = here.into_iter().find(|fault| (self.split)(fault));
        if taken.is_none() {
            self.faults = later;
        }
        taken
    }
}

/// None: nothing goes wrong beside what the setting and the text say.
impl Default for Branches {
    fn default() -> Branches {
        Branches::new(Vec::new(), |_| false)
    }
}

impl fmt::Debug for Branches {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_list().entries(&self.faults).finish()
    }
}

impl Plan {
    /// Comes by a place where faults may begin; if this is the world that has one, it is planned from now on, before what the text has planned
    /// for the same place.
    pub(super) fn part(&mut self, is_here: impl Fn(&Fault) -> bool) {
        let Some(fault) = self.branches.at(is_here) else { return };
        let mut first = Plan::default();
        first.add(&Counts::default(), fault);
        self.crashes.splice(0..0, first.crashes);
        self.events.splice(0..0, first.events);
        self.journal.splice(0..0, first.journal);
        self.requests.splice(0..0, first.requests);
    }
}
