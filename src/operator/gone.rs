//! UIDs of objects that were seen to go.

use std::collections::{BTreeSet, VecDeque};

/// How many are remembered. Deletions and objects come over two watches, seconds apart at most; this many are not deleted in between.
const REMEMBERED: usize = 4096;

/// The last objects that were seen to go. What another watch still says of one of them is late: a UID never comes back.
#[derive(Default)]
pub(crate) struct Gone {
    uids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Gone {
    /// Remembers that this object is gone.
    pub(crate) fn remember(&mut self, uid: &str) {
        if !self.uids.insert(uid.to_owned()) {
            return;
        }
        self.order.push_back(uid.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }

    /// Whether this object is known to be gone.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_no_more() {
        let mut gone = Gone::default();
        for uid in 0..=REMEMBERED {
            gone.remember(&uid.to_string());
            gone.remember(&uid.to_string());
        }
        assert!(!gone.knows("0"));
        assert!(gone.knows("1") && gone.knows(&REMEMBERED.to_string()));
        assert_eq!(gone.uids.len(), REMEMBERED);
    }
}
