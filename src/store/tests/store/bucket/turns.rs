//! Who is answered when.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use tokio::sync::{MutexGuard, Notify};

/// An order of users, each of whose requests takes one place.
#[derive(Default)]
pub(super) struct Turns {
    left: Mutex<Left>,
    changed: Notify,
    /// One request at a time is carried out.
    one: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Left {
    order: VecDeque<&'static str>,
    finished: BTreeSet<&'static str>,
}

impl Turns {
    pub(super) fn set(&self, users: impl IntoIterator<Item = &'static str>) {
        *self.left.lock().unwrap() = Left { order: users.into_iter().collect(), finished: BTreeSet::new() };
    }

    pub(super) fn finished(&self, user: &'static str) {
        self.left.lock().unwrap().finished.insert(user);
        self.changed.notify_waiters();
    }

    /// Waits for this user's turn. It lasts until what is given is dropped.
    pub(super) async fn of(&self, user: &str) -> MutexGuard<'_, ()> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let one = self.one.lock().await;
                if self.left.lock().unwrap().is_turn_of(user) {
                    self.changed.notify_waiters();
                    return one;
                }
            }
            changed.await;
        }
    }
}

impl Left {
    /// Whether it is; then the place is taken.
    fn is_turn_of(&mut self, user: &str) -> bool {
        while self.order.front().is_some_and(|next| self.finished.contains(next)) {
            self.order.pop_front();
        }
        let own = self.order.front().is_none_or(|next| *next == user);
        if own {
            self.order.pop_front();
        }
        own
    }
}
