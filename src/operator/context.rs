//! What every controller and every run shares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use reeve_core::journal::{Epoch, Event, Row, RowDraft, Seq, Stream};
use reeve_store::{Artifacts, Journal, StoreError};
use tokio::sync::{MutexGuard, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::anchors::Anchors;
use crate::cluster::Backoff;
use crate::config::Config;
use crate::controllers::Budgets;
use crate::error::Error;
use crate::health;
use crate::kill::Kill;
use crate::policies::Policies;
use crate::providers::Providers;
use crate::run::Registry;
use crate::sandbox::Pods;
use crate::scope::Scope;
use crate::secrets::Secrets;
use crate::surroundings::Surroundings;
use crate::web::Readiness;

/// One operator process while it leads.
pub(crate) struct Context {
    /// Settings, fixed at start.
    pub(crate) config: Config,
    /// Time of day, chance, and the way to sandboxes.
    pub(crate) surroundings: Surroundings,
    /// The API server.
    pub(crate) client: Client,
    /// Sandbox Pods as last seen, by scope.
    pub(crate) pods: BTreeMap<Scope, Pods>,
    /// The journal.
    pub(crate) journal: Journal,
    /// The artifact store.
    pub(crate) artifacts: Artifacts,
    /// Epoch of the Lease that this process holds.
    pub(crate) epoch: Epoch,
    /// Policy sets in force.
    pub(crate) policies: Policies,
    /// Model providers.
    pub(crate) providers: Providers,
    /// What must never be seen.
    pub(crate) secrets: Secrets,
    /// Failures of objects that are tried again, by kind, namespace and name.
    pub(crate) backoff: Backoff<String>,
    /// Runs that are driven.
    pub(crate) runs: Registry,
    /// Places for runs.
    pub(crate) places: Arc<Semaphore>,
    /// Rings when a profile, provider or policy changed: runs that wait for one look again.
    pub(crate) references: Notify,
    /// Whether runs must stand still.
    pub(crate) kill: Arc<Kill>,
    /// Counts changes of budgets: runs that wait for theirs look again.
    pub(crate) budgets: watch::Sender<u64>,
    /// Budgets in force, by the UID of their object.
    pub(crate) known_budgets: Budgets,
    /// Held while a row is appended to the operator's own stream: each needs the head of the one before.
    pub(crate) own_stream: tokio::sync::Mutex<()>,
    /// What signs the journal, and shows its heads outside of it.
    pub(crate) anchors: Option<Arc<Anchors>>,
    /// Whether this process does its work.
    pub(crate) readiness: Readiness,
    /// Set when this process must not act any more.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// The sandbox Pods of a namespace that is watched.
    pub(crate) fn pods(&self, namespace: &str) -> Option<&Pods> {
        self.pods.get(&Scope::Namespace(namespace.to_owned())).or_else(|| self.pods.get(&Scope::All))
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    /// Appends rows. What the journal answers is what readiness and metrics say of it.
    pub(crate) async fn append(&self, stream: &Stream, after: Option<Seq>, drafts: Vec<RowDraft>) -> Result<Vec<Row>, StoreError> {
        let written = self.journal.append(self.epoch, stream, after, drafts).await;
        health::heard(&self.readiness, stream, written.as_ref().err());
        written
    }

    /// Appends a row to the operator's own stream.
    pub(crate) async fn append_own(&self, draft: RowDraft) -> Result<(), Error> {
        let turn = self.own_turn().await;
        let after = self.own_head().await?;
        self.append_own_after(&turn, after, draft).await
    }

    /// Nobody else of this process appends to the operator's own stream meanwhile.
    pub(crate) async fn own_turn(&self) -> MutexGuard<'_, ()> {
        self.own_stream.lock().await
    }

    /// The last row of the operator's own stream.
    pub(crate) async fn own_head(&self) -> Result<Option<Seq>, Error> {
        Ok(self.journal.head(&Stream::operator()).await?.map(|head| head.seq))
    }

    /// Appends a row to the operator's own stream if this is its last row still.
    pub(crate) async fn append_own_after(&self, _turn: &MutexGuard<'_, ()>, after: Option<Seq>, draft: RowDraft) -> Result<(), Error> {
        self.append(&Stream::operator(), after, vec![draft]).await?;
        if let Some(anchors) = &self.anchors {
            anchors.want(&Stream::operator());
        }
        Ok(())
    }

    /// Shows each event of these kinds in the operator's own stream, and its time, oldest first. Answers its last row.
    pub(crate) async fn each_own(&self, kinds: &[&str], mut show: impl FnMut(Event, Timestamp)) -> Result<Option<Seq>, Error> {
        const PAGE: u32 = 500;
        let mut read = None;
        loop {
            let rows = self.journal.read(&Stream::operator(), read.map_or(Seq(1), Seq::next), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(read) };
            read = Some(last.seq);
            for row in rows.iter().filter(|row| kinds.contains(&row.kind.as_str())) {
                let unread = |error: &dyn std::fmt::Display| Error::bug(format!("row {}: {error}", row.gseq));
                show(row.event().map_err(|error| unread(&error))?, row.time.parse().map_err(|error: jiff::Error| unread(&error))?);
            }
        }
    }

    /// How long to wait before an object that failed is tried again.
    pub(crate) fn again_in(&self, object: &str) -> Duration {
        self.backoff.failed(object.to_owned(), self.surroundings.chance.of(object))
    }
}
