//! Where an order stands, by its name.

use super::ClientId;

/// Places of orders by their names: open addressing with linear probing (Knuth, The Art of Computer Programming 3, 6.4, algorithms L and
/// R). A map of the standard library costs three times as many instructions, a tenth of the whole chain.
#[derive(Debug)]
pub(super) struct Names {
    /// A power of two of them, at most half of them taken.
    cells: Vec<Option<(ClientId, u32)>>,
    taken: usize,
}

impl Default for Names {
    fn default() -> Names {
        Names::with_room(1)
    }
}

impl Names {
    /// Room for so many names, after which it grows.
    pub(super) fn with_room(names: usize) -> Names {
        Names { cells: vec![None; (2 * names.max(1)).next_power_of_two()], taken: 0 }
    }

    /// Names are all made here, so nobody can choose them to collide.
    #[inline]
    fn home(&self, id: ClientId) -> usize {
        // The golden ratio in 64 bits, as in Fibonacci hashing (same source): the upper half of the product depends on all of its input.
        let mixed = id.strategy.bits() ^ (u64::from(id.epoch) << 32) ^ id.intent.rotate_left(17);
        let product = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (product >> 32) as usize & (self.cells.len() - 1)
    }

    #[inline]
    fn next(&self, cell: usize) -> usize {
        (cell + 1) & (self.cells.len() - 1)
    }

    /// The cell of a name, or the empty one where it would be.
    #[inline]
    fn cell(&self, id: ClientId) -> usize {
        let mut cell = self.home(id);
        while self.cells[cell].is_some_and(|(there, _)| there != id) {
            cell = self.next(cell);
        }
        cell
    }

    /// The place of a name.
    #[inline]
    pub(super) fn find(&self, id: ClientId) -> Option<u32> {
        self.cells[self.cell(id)].map(|(_, place)| place)
    }

    /// Puts a name in; false when it is there already, and stays where it was.
    #[inline]
    pub(super) fn insert(&mut self, id: ClientId, place: u32) -> bool {
        let cell = self.cell(id);
        if self.cells[cell].is_some() {
            return false;
        }
        self.cells[cell] = Some((id, place));
        self.taken += 1;
        if 2 * self.taken > self.cells.len() {
            self.grow();
        }
        true
    }

    #[cold]
    fn grow(&mut self) {
        let mut larger = Names::with_room(self.cells.len());
        for (id, place) in self.cells.drain(..).flatten() {
            larger.insert(id, place);
        }
        *self = larger;
    }

    /// Takes a name out; those that stand behind it move up, so that nothing is left that would have to be stepped over.
    pub(super) fn remove(&mut self, id: ClientId) {
        let mut hole = self.cell(id);
        if self.cells[hole].take().is_none() {
            return;
        }
        self.taken -= 1;
        let mask = self.cells.len() - 1;
        let mut cell = self.next(hole);
        while let Some((moved, place)) = self.cells[cell] {
            // It may move up if its home is not between the hole and where it stands.
            let (from_home, from_hole) = (cell.wrapping_sub(self.home(moved)) & mask, cell.wrapping_sub(hole) & mask);
            if from_home >= from_hole {
                self.cells[hole] = Some((moved, place));
                self.cells[cell] = None;
                hole = cell;
            }
            cell = self.next(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::order::StrategyTag;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(steps in prop::collection::vec((0_u64..40, 0_u32..3, any::<bool>()), 0..400)) {
            let (mut names, mut map) = (Names::with_room(2), HashMap::new());
            let tag = StrategyTag::of("s");
            for ((intent, epoch, goes), place) in steps.into_iter().zip(0..) {
                let id = ClientId { strategy: tag, epoch, intent };
                if goes {
                    names.remove(id);
                    map.remove(&id);
                } else {
                    prop_assert_eq!(names.insert(id, place), !map.contains_key(&id));
                    map.entry(id).or_insert(place);
                }
                for (intent, epoch) in (0..40).flat_map(|intent| (0..3).map(move |epoch| (intent, epoch))) {
                    let id = ClientId { strategy: tag, epoch, intent };
                    prop_assert_eq!(names.find(id), map.get(&id).copied());
                }
            }
        }
    }
}
