//! Several inputs as one, by the order of keys.

use super::{InputError, Source};
use crate::event::{Key, Stamped};

/// Sources merged by key. Each has to be in order itself.
pub struct Merge<S> {
    sources: Vec<(S, Option<Key>)>,
    started: bool,
    at: Option<usize>,
}

impl<S: Source> Merge<S> {
    /// Of these sources.
    pub fn new(sources: Vec<S>) -> Merge<S> {
        Merge { sources: sources.into_iter().map(|source| (source, None)).collect(), started: false, at: None }
    }
}

impl<S: Source> Source for Merge<S> {
    fn advance(&mut self) -> Result<Option<Key>, InputError> {
        if self.started {
            if let Some((source, key)) = self.at.and_then(|at| self.sources.get_mut(at)) {
                *key = source.advance()?;
            }
        } else {
            self.started = true;
            for (source, key) in &mut self.sources {
                *key = source.advance()?;
            }
        }
        // A handful of files at most: the least of a handful needs no heap.
        let next = self.sources.iter().enumerate().filter_map(|(place, (_, key))| key.map(|key| (key, place))).min();
        self.at = next.map(|(_, place)| place);
        Ok(next.map(|(key, _)| key))
    }

    fn current(&self) -> Option<Stamped<'_>> {
        self.sources.get(self.at?)?.0.current()
    }
}
