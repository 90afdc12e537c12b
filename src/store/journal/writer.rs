//! The one writer of a process. Appends that wait together share one transaction, and so one wait for the disk.
//!
//! What a transaction is judged by is read in it, or is what the last one left (`known`), and then the database takes it only if that still
//! holds. After any failure the connection is thrown away, and the next group starts on a fresh one that knows nothing.

use reeve_core::journal::Row;
use tokio::sync::{mpsc, oneshot};

use super::request::Request;
use crate::StoreError;

/// Appends that may wait for the writer before a caller has to wait to be heard.
pub(super) const INBOX: usize = 256;
/// Appends in one transaction: one wait for the disk serves them all, more would only make the first of them wait.
const MAX_GROUP_APPENDS: usize = 128;
/// Bodies in one transaction, bytes: bounds what the log grows by in one step.
const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;

pub(super) const APPENDING: &str = "appending to the journal";

/// What became of one append.
pub(super) type Outcome = Result<Vec<Row>, StoreError>;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Order {
    Append(Request, oneshot::Sender<Outcome>),
    Close(oneshot::Sender<()>),
}

/// A connection that writes, made anew when need be.
pub(super) trait Database: Send + 'static {
    /// One transaction for all. The outer error means that none of it counts, or that nobody knows; each inner one is the answer to its
    /// append. What is answered `Ok` is durable.
    fn transact(&mut self, group: &[Request]) -> impl Future<Output = Result<Vec<Outcome>, StoreError>> + Send;

    /// Ends the connection, its open transaction with it. A statement that is a transaction of its own may still come to its end.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}

/// Serves until told to close, or until nobody can ask any more.
pub(super) async fn serve(mut database: impl Database, mut inbox: mpsc::Receiver<Order>) {
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = inbox.recv().await else { break };
        let mut group = Vec::new();
        let mut replies = Vec::new();
        let mut bytes = 0;
        let mut order = Some(first);
        while let Some(next) = order.take() {
            match next {
                Order::Append(request, reply) => {
                    bytes += request.bytes();
                    group.push(request);
                    replies.push(reply);
                }
                Order::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            if group.len() < MAX_GROUP_APPENDS && bytes < MAX_GROUP_BYTES {
                order = inbox.try_recv().ok();
            }
        }
        for (reply, outcome) in replies.into_iter().zip(settle(&mut database, &group).await) {
            // Who was dropped while it waited does not want to know.
            let _ = reply.send(outcome);
        }
    }
    drop(inbox);
    database.disconnect().await;
    drop(database);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// What became of each append of the group.
pub(super) async fn settle(database: &mut impl Database, group: &[Request]) -> Vec<Outcome> {
    if group.is_empty() {
        return Vec::new();
    }
    let error = match database.transact(group).await {
        Ok(outcomes) => return outcomes,
        Err(error) => error,
    };
    tracing::warn!(%error, appends = group.len(), "a journal transaction failed");
    database.disconnect().await;
    if group.len() == 1 {
        return vec![Err(error)];
    }
    // One that the schema refuses, or that does not fit the disk, must not take the others with it. If the failed transaction became durable
    // all the same, each finds its stream moved on.
    let mut outcomes = Vec::with_capacity(group.len());
    for request in group {
        let outcome = database.transact(std::slice::from_ref(request)).await;
        if outcome.is_err() {
            database.disconnect().await;
        }
        outcomes.push(outcome.and_then(|mut outcomes| outcomes.pop().unwrap_or(Err(StoreError::Closed))));
    }
    outcomes
}
