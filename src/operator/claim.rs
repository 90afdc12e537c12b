//! Makes the epoch that the Lease gave this process's alone.
//!
//! Architecture invariant: a process acts under an epoch only after its own `lease.taken` row is the first of that epoch.
//! (`cluster/lease/models.rs` explores it; without the claim, a Lease that is deleted gives two leaders the same epoch.)

use jiff::Timestamp;
use reeve_core::journal::{Actor, Epoch, Event, RowDraft, Stream};
use reeve_store::{Journal, StoreError};

use crate::cluster::may_claim;
use crate::error::Error;

/// Whose an epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Ours. No row of an older leader is taken any more.
    Ours,
    /// Another's: the journal has seen this one.
    Taken(Epoch),
}

/// Writes the first row of an epoch, or says that somebody else has.
///
/// # Errors
/// [`Error::Store`] when the journal cannot be read or written; whether the row is there is then unknown, and the epoch is spent.
pub(crate) async fn claim(journal: &Journal, epoch: Epoch, identity: &str, at: Timestamp) -> Result<Claim, Error> {
    let event = Event::LeaseTaken { identity: identity.to_owned() };
    let draft = RowDraft::of(&event, &Actor::Operator, at).map_err(|error| Error::bug(error.to_string()))?;
    loop {
        // The head first: a claim that comes between the two reads is seen by the second, one that comes after it moves the head.
        let after = journal.head(&Stream::operator()).await?.map(|head| head.seq);
        let highest = journal.highest_epoch().await?;
        if !may_claim(epoch, highest) {
            return Ok(Claim::Taken(highest));
        }
        match journal.append(epoch, &Stream::operator(), after, vec![draft.clone()]).await {
            Ok(_) => return Ok(Claim::Ours),
            Err(StoreError::StaleHead { .. }) => {}
            Err(StoreError::Fenced { highest, .. }) => return Ok(Claim::Taken(highest)),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures::future::join_all;

    use super::*;

    async fn journal() -> (tempfile::TempDir, Journal) {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(&directory.path().join("journal.db")).await.unwrap();
        (directory, journal)
    }

    async fn claimed(journal: &Journal, epoch: u64, identity: &str) -> Claim {
        claim(journal, Epoch(epoch), identity, Timestamp::UNIX_EPOCH).await.unwrap()
    }

    #[tokio::test]
    async fn of_many_that_were_given_the_same_epoch_one_has_it() {
        let (_directory, journal) = journal().await;
        let names: Vec<String> = (0..16).map(|number| format!("pod-{number}")).collect();
        let claims = join_all(names.iter().map(|name| claimed(&journal, 1, name))).await;
        assert_eq!(claims.iter().filter(|claim| **claim == Claim::Ours).count(), 1);
        assert_eq!(claims.iter().filter(|claim| **claim == Claim::Taken(Epoch(1))).count(), 15);
        assert_eq!(journal.head(&Stream::operator()).await.unwrap().unwrap().seq.0, 1, "one row");
    }

    #[tokio::test]
    async fn from_a_claim_on_no_row_of_an_older_leader_is_taken() {
        let (_directory, journal) = journal().await;
        assert_eq!(claimed(&journal, 1, "pod-a").await, Claim::Ours);
        assert_eq!(claimed(&journal, 2, "pod-b").await, Claim::Ours);
        let event = Event::ThoughtSummary { text: "late".to_owned() };
        let late = RowDraft::of(&event, &Actor::Model, Timestamp::UNIX_EPOCH).unwrap();
        let refused = journal.append(Epoch(1), &Stream::run("r"), None, vec![late]).await.unwrap_err();
        assert_eq!(refused, StoreError::Fenced { epoch: Epoch(1), highest: Epoch(2) });
        assert_eq!(claimed(&journal, 1, "pod-a").await, Claim::Taken(Epoch(2)));
        assert_eq!(
            claimed(&journal, 2, "pod-b").await,
            Claim::Taken(Epoch(2)),
            "not even by whoever has it: that would be another process"
        );
    }
}
