//! The ids of the fills that were counted.

/// Most orders fill in a few pieces, whose ids are kept in place; more go where there is room for any number.
const IN_PLACE: usize = 6;

/// A set of execution ids that asks for no memory until an order has more fills than most.
#[derive(Clone, Debug, Default)]
pub(super) struct Execs {
    few: [u64; IN_PLACE],
    count: usize,
    /// Rising.
    more: Vec<u64>,
}

impl Execs {
    /// Adds an id; false when it was there.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        if self.few[..self.count].contains(&id) {
            return false;
        }
        match self.more.binary_search(&id) {
            Ok(_) => false,
            Err(_) if self.count < IN_PLACE => {
                self.few[self.count] = id;
                self.count += 1;
                true
            }
            Err(place) => {
                self.more.insert(place, id);
                true
            }
        }
    }

    /// Without its ids, with its memory.
    pub(super) fn emptied(mut self) -> Execs {
        self.more.clear();
        Execs { count: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_goes_in_once() {
        let mut execs = Execs::default();
        for round in 0..2 {
            for id in [9, 3, 7, 1, 8, 2, 6, 4, 5, 0] {
                assert_eq!(execs.insert(id), round == 0, "{id}");
            }
        }
        let mut execs = execs.emptied();
        assert!(execs.insert(9) && execs.insert(0) && !execs.insert(9));
    }
}
