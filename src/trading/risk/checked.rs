//! The proof that an order passed the chain.

/// Something that passed the risk chain. Only the chain makes one, and it can be used once: it is neither copied nor cloned, so one
/// admission is one order at a venue.
///
/// ```compile_fail
/// let forged = reeve_trading::risk::Checked(7);
/// ```
///
/// ```compile_fail
/// fn twice<T>(order: reeve_trading::risk::Checked<T>) -> [reeve_trading::risk::Checked<T>; 2] {
///     [order.clone(), order]
/// }
/// ```
#[derive(Debug)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    pub(super) fn by_chain(passed: T) -> Checked<T> {
        Checked(passed)
    }

    /// What passed.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What passed, for a venue to send.
    pub fn into_inner(self) -> T {
        self.0
    }
}
