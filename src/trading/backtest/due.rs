//! What is due between two market events: words from the venue, timers, and wishes that reach the venue, each at its own time.

use super::engine::{Engine, EngineError};
use super::record::Record;
use crate::event::{Class, Key};
use crate::risk::LatchStore;
use crate::strategy::{Seen, Strategy};
use crate::time::Time;

impl<S: Strategy, L: LatchStore, R: Record> Engine<S, L, R> {
    /// Does what is due before a market event, in the order of times and classes.
    pub(super) fn catch_up(&mut self, before: Key) -> Result<(), EngineError> {
        while let Some((at, class)) = self.next_due().filter(|next| *next < (before.time, before.class)) {
            match class {
                Class::Timer => {
                    self.timers.remove(&at);
                    self.show(&Seen::Timer(at), at)?;
                }
                Class::UsToVenue => self.reach_venue(at)?,
                Class::VenueToUs => self.hear_next(at)?,
                Class::Status | Class::Disconnect | Class::Book | Class::Quote | Class::Trade | Class::Bar => {}
            }
            self.show_words(at)?;
        }
        Ok(())
    }

    fn next_due(&self) -> Option<(Time, Class)> {
        let word = self.returning.front().map(|(due, ..)| (*due, Class::VenueToUs));
        let timer = self.timers.first().map(|at| (*at, Class::Timer));
        let wish = self.ticks.next_arrival().map(|arrives| (arrives.time, arrives.class));
        [word, timer, wish].into_iter().flatten().min()
    }

    /// The next wish meets what the venue shows when it arrives, and what comes of it is on its way back from then on.
    fn reach_venue(&mut self, now: Time) -> Result<(), EngineError> {
        let mut tripped = false;
        let (_, ticks, mut desk) = self.venues(now, &mut tripped);
        ticks.arrival(&mut desk)?;
        self.after_trip(now, tripped);
        Ok(())
    }

    pub(super) fn hear_next(&mut self, now: Time) -> Result<(), EngineError> {
        let Some((_, id, event)) = self.returning.pop_front() else { return Ok(()) };
        let mut tripped = false;
        let (.., mut desk) = self.venues(now, &mut tripped);
        desk.hear(id, event)?;
        self.after_trip(now, tripped);
        Ok(())
    }
}
