//! One side of a book.

use crate::event::Level;
use crate::number::{Price, Qty};
use crate::order::Side;

/// Levels in a sorted vector, the best one last: markets change near the best price, where a change moves little.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    side: Side,
    /// Worst first.
    levels: Vec<Level>,
    capacity: usize,
}

impl Ladder {
    pub(super) fn new(side: Side, capacity: usize) -> Ladder {
        let capacity = capacity.max(1);
        Ladder { side, levels: Vec::with_capacity(capacity + 1), capacity }
    }

    /// Rises from the worst price to the best.
    fn rank(&self, price: Price) -> i64 {
        match self.side {
            Side::Buy => price.0,
            // No price is i64::MIN, so none loses its opposite.
            Side::Sell => price.0.saturating_neg(),
        }
    }

    /// Sets the quantity at a price; zero takes the level out.
    pub(super) fn set(&mut self, level: Level) {
        let rank = self.rank(level.price);
        match (self.levels.binary_search_by_key(&rank, |level| self.rank(level.price)), level.qty.0 > 0) {
            (Ok(place), true) => self.levels[place].qty = level.qty,
            (Ok(place), false) => {
                self.levels.remove(place);
            }
            (Err(place), true) => {
                self.levels.insert(place, level);
                if self.levels.len() > self.capacity {
                    self.levels.remove(0);
                }
            }
            (Err(_), false) => {}
        }
    }

    pub(super) fn at(&self, price: Price) -> Qty {
        let rank = self.rank(price);
        self.levels.binary_search_by_key(&rank, |level| self.rank(level.price)).map_or(Qty::ZERO, |place| self.levels[place].qty)
    }

    pub(super) fn best(&self) -> Option<&Level> {
        self.levels.last()
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
    }
}
